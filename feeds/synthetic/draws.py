"""Random numbers as a function: the same for the same seed, stream and index, on any machine and in any order.

SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators"), used as a counter-based
generator: draw i of a stream is the mix of key + (i + 1) * golden, so any draw costs the same. Only 64-bit integer
arithmetic is used, for which NumPy promises the same results everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


class Stream:
    """The draws for one purpose. Streams of different names or seeds are independent of each other."""

    def __init__(self, seed: int, name: str) -> None:
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        self._key = np.uint64(int.from_bytes(digest[:8], "little"))

    def bits(self, index: Integers) -> Bits:
        """Return 64 random bits for each index."""
        x = index.astype(np.uint64)
        x += np.uint64(1)
        x *= _GOLDEN
        x += self._key
        x ^= x >> np.uint64(30)
        x *= _FIRST
        x ^= x >> np.uint64(27)
        x *= _SECOND
        x ^= x >> np.uint64(31)
        return x

    def halves(self, index: Integers) -> tuple[Bits, Bits]:
        """Return two independent draws of 32 bits for each index."""
        x = self.bits(index)
        return x >> _HALF, x & _LOW


def pair(first: Integers, second: Integers) -> Integers:
    """Return one index for two: `second` counts from 0 to 65,535."""
    return (first << 16) + second


def below(draw: Bits, limit: int | Integers) -> Integers:
    """Return a whole number from 0 to limit - 1 from a draw of 32 bits; limit is at most 2 ** 32."""
    # The shift leaves less than 2 ** 32, so the view as signed integers changes no value.
    return ((draw * np.asarray(limit, dtype=np.uint64)) >> _HALF).view(np.int64)


class Weighted:
    """Positions in a list, each as often as its weight says. Weights are whole numbers."""

    def __init__(self, weights: Sequence[int] | Integers) -> None:
        self._ends = np.cumsum(np.asarray(weights, dtype=np.int64))
        self.total = int(self._ends[-1])
        if not 0 < self.total < 2**32:
            raise ValueError(f"weights must sum to 1 to 2 ** 32 - 1, not {self.total}")

    def pick(self, draw: Bits) -> Integers:
        """Return a position for each draw of 32 bits."""
        return np.searchsorted(self._ends, below(draw, self.total), side="right")
