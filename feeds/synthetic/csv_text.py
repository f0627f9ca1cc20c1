"""Columns of text as the source writes them: arrays of windows-1252 bytes, joined by Arrow without a Python loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feeds.synthetic.draws import Integers

ENCODING = "windows-1252"
_NOTHING = pa.scalar(b"", pa.binary())
_DECIMALS = 9


def texts(values: Iterable[str]) -> pa.Array:
    """Return the values as they are in a file.

    The source quotes nothing, as none of its values needs it. Raises ValueError for one that would.
    """
    return _encoded(map(_plain, values))


def fields(rows: Iterable[Sequence[str]]) -> pa.Array:
    """Return adjacent fields, each followed by a comma. Raises ValueError as `texts` does."""
    return _encoded("".join(f"{_plain(value)}," for value in row) for row in rows)


def _plain(value: str) -> str:
    if any(character in value for character in ',"\r\n'):
        raise ValueError(f"a value with a comma, quote or line break would have to be quoted: {value!r}")
    return value


def _encoded(values: Iterable[str]) -> pa.Array:
    return pa.array([value.encode(ENCODING) for value in values], pa.binary())


def numbers(values: Integers) -> pa.Array:
    return pc.cast(pc.cast(pa.array(values), pa.string()), pa.binary())


def constant(value: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(value.encode(ENCODING), pa.binary()), count)


def joined(*parts: Any) -> pa.Array:
    """Join the parts row by row, one after the other."""
    return pc.binary_join_element_wise(*parts, _NOTHING)


def ends(lines: pa.Array) -> npt.NDArray[np.int32]:
    """Return the offsets at which the values of an array begin in its bytes, and the end of the last one."""
    return np.frombuffer(lines.buffers()[1], dtype=np.int32)[lines.offset : lines.offset + len(lines) + 1]


def body(lines: pa.Array) -> memoryview:
    """Return all bytes of an array, without a copy."""
    bounds = ends(lines)
    return memoryview(lines.buffers()[2])[bounds[0] : bounds[-1]]


def float32_texts(values: npt.NDArray[np.float64]) -> pa.Array:
    """Return the numbers as the source writes them: in single precision (327.75, but 59.99000168), rounded half-up to
    nine decimals, and then again to ten digits.

    The conversion to single precision is exact by IEEE 754, and the digits come from integers: a single is a whole
    number of 24 bits, shifted. Raises ValueError for a million or more.
    """
    singles = np.abs(values).astype(np.float32)
    if singles.size and float(singles.max()) >= 1e6:
        raise ValueError("only numbers below a million can be written")
    mantissas, exponents = np.frexp(singles)
    whole = (mantissas * np.float32(2**24)).astype(np.int64)
    # A number shifted by more than 62 bits is zero in nine decimals.
    shifts = np.minimum(24 - exponents.astype(np.int64), 62)
    billionths = (whole * 10**_DECIMALS + (np.int64(1) << (shifts - 1))) >> shifts
    step = np.ones(len(singles), dtype=np.int64)
    for digits in range(2, 7):
        step[billionths >= 10 ** (_DECIMALS + digits - 1)] = 10 ** (digits - 1)
    billionths = (billionths + step // 2) // step * step
    above, fraction = np.divmod(billionths, 10**_DECIMALS)
    padded = pc.utf8_lpad(pc.cast(pa.array(fraction), pa.string()), _DECIMALS, "0")
    text = pc.binary_join_element_wise(pc.cast(pa.array(above), pa.string()), padded, ".")
    # The zeros of a whole number end at its point.
    text = pc.utf8_rtrim(pc.utf8_rtrim(text, characters="0"), characters=".")
    minus = pc.if_else(pa.array((values < 0) & (billionths > 0)), "-", "")
    return pc.cast(pc.binary_join_element_wise(minus, text, ""), pa.binary())


class Amounts:
    """Amounts of money in cents, as texts that end with a comma. Those of the usual range are rendered once."""

    def __init__(self, lowest: int, highest: int) -> None:
        self._lowest, self._highest = lowest, highest
        self._known = _amounts(np.arange(lowest, highest + 1))

    def texts(self, cents: Integers) -> pa.Array:
        rare = (cents < self._lowest) | (cents > self._highest)
        found = self._known.take(pa.array(np.where(rare, 0, cents) - self._lowest))
        if rare.any():
            found = pc.replace_with_mask(found, pa.array(rare), _amounts(cents[rare]))
        return found


def _amounts(cents: Integers) -> pa.Array:
    return joined(float32_texts(cents / 100), constant(",", len(cents)))
