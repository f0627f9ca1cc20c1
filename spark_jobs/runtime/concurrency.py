"""Several statements at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = 4
"""Most of a small statement is Spark's planning, which keeps one core busy. More threads would only queue there."""


def run_together(*functions: Callable[[], Any]) -> list[Any]:
    """Call functions at the same time. Return their results in order, and raise as `run_each` does."""
    return run_each(lambda function: function(), functions)


def run_each(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Call `function` for each of `items` at the same time. Return the results in the order of the items.

    Waits for all of them, and raises what the first failed item raised.
    """
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        running = [pool.submit(function, item) for item in items]
    return [one.result() for one in running]
