"""How long a proof tries: its short version in the suite, or its share of PROVE_MINUTES minutes.

Proofs that last as long as one likes are marked `timed`, and share these minutes in equal parts.

A proof counts either in examples (`@settings(max_examples=examples(25))`) or in rounds, of which there is always one:

    for round_ in rounds():
        ...try something new with the seed `round_`...
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator

import pytest

_proofs = 1


def share_among(proofs: int) -> None:
    """How many proofs the minutes are for."""
    global _proofs
    _proofs = proofs


def minutes() -> float | None:
    """What PROVE_MINUTES says for one proof; None in the suite. Raises ValueError if it is no positive number."""
    text = os.environ.get("PROVE_MINUTES", "").strip()
    if not text:
        return None
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"PROVE_MINUTES={text}: it must be a number above 0.")
    return number / _proofs


def examples(short: int, seconds: float = 10) -> int:
    """How many examples to try, if `short` of them, the suite's number, take about `seconds`."""
    given = minutes()
    return short if given is None else max(short, round(short * given * 60 / seconds))


def deadline() -> float:
    """When (by `time.monotonic()`) to begin nothing new: at once in the suite, so that one round is all."""
    return time.monotonic() + 60 * (minutes() or 0)


def rounds() -> Iterator[int]:
    """0, 1, 2, ... until the time is over; 0 alone in the suite."""
    end, number = deadline(), 0
    while True:
        yield number
        number += 1
        if time.monotonic() >= end:
            return


def only_in_make_prove(short_version: str) -> pytest.MarkDecorator:
    """Skip a long version in the suite, which runs its short version."""
    return pytest.mark.skipif(minutes() is None, reason=f"long version, run by `make prove`; short: {short_version}")
