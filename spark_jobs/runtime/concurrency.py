"""Several questions to Spark at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

AT_ONCE = 4
"""Most of a small statement is Spark's planning, which keeps one core busy; more than this only queue there."""


def at_once(*questions: Callable[[], Any]) -> list[Any]:
    """The answers to several questions, asked at the same time, in their order; raises as `each_at_once` does."""
    return each_at_once(lambda question: question(), questions)


def each_at_once(do: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
    """`do` for each of `items`, at the same time; the answers in the order of the items.

    Waits for all of them, and raises what the first failed item raised.
    """
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        running = [pool.submit(do, item) for item in items]
    return [one.result() for one in running]
