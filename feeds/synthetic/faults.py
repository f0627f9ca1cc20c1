"""Damage to lines, as it happens on the way from a source, each kind with the reasons that quarantine must give it.

The row rules are in gx/suites alone: the corruptions here, and their reasons, are derived from them, one for each.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import Any

import numpy as np

from feeds.synthetic.csv_text import body, ends
from feeds.synthetic.draws import Stream, Weighted, below
from feeds.synthetic.feed_settings import MISSING_VALUES, FeedSettings
from feeds.synthetic.lines import Lines
from gx.row_rule_reasons import row_rule_reason
from spark_jobs.layers.bronze.landed_lines import (
    BROKEN_QUOTING,
    CONTROL_CHARACTER,
    EXACT_DUPLICATE,
    REPEATED_ITEM,
    WRONG_ENCODING,
)
from spark_jobs.tables import source

_MILLION = 1_000_000
_END = b"\r\n"
_WIDTH = len(source.COLUMNS)
_CITY = source.position("order_city")
LEFT_EMPTY = "department_name"
"""The column that is left empty in the share `missing` of the lines."""
MISSING_VALUES_SHARE = 100_000
"""That share on a day of missing_values, in millionths."""

Fields = list[bytes]
# The lines that replace one, each with its reasons; a line without reasons is valid.
Damaged = list[tuple[bytes, tuple[str, ...]]]


@dataclass(frozen=True)
class Fault:
    """One kind of damage."""

    name: str
    damage: Callable[[Fields, int], Damaged]
    """The lines that replace one, from its fields and a draw of 32 bits."""


@dataclass(frozen=True)
class Injected:
    """A line that quarantine must hold."""

    position: int
    """The index of the damaged line in its chunk."""
    offset: int
    """The index of this line among those that replace it."""
    kind: str
    fault: str
    reasons: tuple[str, ...]


class FaultInjector:
    """Damages the shares of lines that the settings ask for."""

    def __init__(self, settings: FeedSettings) -> None:
        self._settings = settings

    def inject(self, lines: Lines) -> tuple[dict[int, list[bytes]], list[Injected]]:
        """Return the lines that replace damaged ones, by position, and what quarantine must hold of them."""
        shares = self._shares(lines.day)
        if not shares:
            return {}, []
        stream = Stream(self._settings.seed, f"faults of day {lines.day}")
        chance, which = stream.halves(lines.item_ids)
        found = np.flatnonzero(below(chance, _MILLION) < sum(shares.values()))
        names = list(shares)
        kinds = Weighted(list(shares.values())).pick(which[found])
        choice, detail = Stream(self._settings.seed, f"damage of day {lines.day}").halves(lines.item_ids[found])
        text, bounds = body(lines.text), ends(lines.text)
        replaced: dict[int, list[bytes]] = {}
        injected: list[Injected] = []
        for number, position in enumerate(found.tolist()):
            kind = names[int(kinds[number])]
            options = _FAULTS[kind]()
            fault = options[int(below(choice[number : number + 1], len(options))[0])]
            begin, end = int(bounds[position] - bounds[0]), int(bounds[position + 1] - bounds[0])
            row = bytes(text[begin:end]).removesuffix(_END).split(b",")
            damaged = fault.damage(row, int(detail[number]))
            replaced[position] = [line + _END for line, _ in damaged]
            injected += [
                Injected(position, offset, kind, fault.name, reasons)
                for offset, (_, reasons) in enumerate(damaged)
                if reasons
            ]
        return replaced, injected

    def _shares(self, day: int) -> dict[str, int]:
        """Return the share of each kind of damage that occurs on a day."""
        settings = self._settings
        shares = {kind: int(getattr(settings, kind)) for kind in _FAULTS}
        if MISSING_VALUES in settings.incidents_on(day):
            shares["missing"] = MISSING_VALUES_SHARE
        return {kind: share for kind, share in shares.items() if share}


def _line(fields: Fields) -> bytes:
    return b",".join(fields)


def _with(fields: Fields, values: dict[int, bytes]) -> bytes:
    return _line([values.get(number, field) for number, field in enumerate(fields)])


@functools.cache
def repetitions() -> tuple[Fault, ...]:
    def copy(fields: Fields, _: int) -> Damaged:
        return [(_line(fields), ()), (_line(fields), (EXACT_DUPLICATE,))]

    def differ(fields: Fields, _: int) -> Damaged:
        other = _with(fields, {_CITY: b"Elsewhere"})
        return [(_line(fields), (REPEATED_ITEM,)), (other, (REPEATED_ITEM,))]

    return Fault("the line twice", copy), Fault("the order item twice, with another city", differ)


@functools.cache
def malformations() -> tuple[Fault, ...]:
    def counted(fields: Fields) -> tuple[bytes, tuple[str, ...]]:
        return _line(fields), (f"wrong number of fields: found {len(fields)} instead of {_WIDTH}",)

    def cut(fields: Fields, draw: int) -> Damaged:
        return [counted(fields[: 5 + draw % 40])]

    def quote(fields: Fields, _: int) -> Damaged:
        name = source.position("product_name")
        return [(_with(fields, {name: fields[name][:3] + b'"' + fields[name][3:]}), (BROKEN_QUOTING,))]

    def line_break(fields: Fields, _: int) -> Damaged:
        first, second = [*fields[:_CITY], b'"' + fields[_CITY]], [fields[_CITY] + b'"', *fields[_CITY + 1 :]]
        return [(_line(first), (BROKEN_QUOTING,)), (_line(second), (BROKEN_QUOTING,))]

    return (
        Fault("a field is missing", lambda fields, _: [counted(fields[:-1])]),
        Fault("a field too many", lambda fields, _: [counted([*fields, b"surplus"])]),
        Fault("the line is cut off", cut),
        Fault("a quote inside a field", quote),
        Fault("a quoted line break", line_break),
    )


@functools.cache
def corruptions() -> tuple[Fault, ...]:
    """Return one fault for each row rule, one for each column of another type than text, and two for the encoding."""
    suite = json.loads((files("gx") / "suites" / "bronze_rows.json").read_text(encoding="utf-8"))
    return (
        *_broken_rules(suite["expectations"]),
        *(
            _value(f"{column.name} cannot be read", {column.name: b"unknown"}, _unparsed(column))
            for column in source.COLUMNS
            if column.type != source.TEXT
        ),
        # 0x81 means nothing in windows-1252, and after an ASCII character nothing in UTF-8.
        _value("a byte that the encoding lacks", {"order_city": b"x\x81"}, (WRONG_ENCODING,)),
        _value("a control character", {"order_city": b"x\x07"}, (CONTROL_CHARACTER,)),
    )


def _unparsed(column: source.SourceColumn) -> tuple[str, ...]:
    return (f"{column.name} does not parse as {column.type_name}",)


def _value(name: str, values: dict[str, bytes], reasons: tuple[str, ...]) -> Fault:
    places = {source.position(column): value for column, value in values.items()}
    return Fault(name, lambda fields, _: [(_with(fields, places), reasons)])


def _broken_rules(expectations: list[dict[str, Any]]) -> Iterator[Fault]:
    rules = [
        (rule["type"].removeprefix("expect_column_"), rule["kwargs"], row_rule_reason(rule)) for rule in expectations
    ]
    partners: dict[str, str] = {}
    needed: dict[str, str] = {}
    for kind, kwargs, reason in rules:
        if kind == "pair_values_to_be_equal":
            partners[kwargs["column_A"]], partners[kwargs["column_B"]] = kwargs["column_B"], kwargs["column_A"]
        elif kind == "values_to_not_be_null":
            needed[kwargs["column"]] = reason
    for kind, kwargs, reason in rules:
        # Columns that must be equal get the same value, so that no other rule is broken.
        pair = [column for column in (kwargs.get("column"), partners.get(kwargs.get("column", ""))) if column]
        match kind:
            case "values_to_not_be_null":
                reasons = tuple(needed[column] for column in needed if column in pair)
                yield _value(reason, dict.fromkeys(pair, b""), reasons)
            case "values_to_be_between" if kwargs.get("strict_min"):
                yield _value(reason, dict.fromkeys(pair, str(int(kwargs["min_value"])).encode()), (reason,))
            case "values_to_be_in_set":
                yield _value(reason, {kwargs["column"]: b"UNKNOWN"}, (reason,))
            case "pair_values_to_be_equal":
                yield _disagreement(kwargs["column_B"], reason)


def _disagreement(column: str, reason: str) -> Fault:
    place = source.position(column)

    def damage(fields: Fields, _: int) -> Damaged:
        other = b"2" if Decimal(fields[place].decode()) == 1 else b"1"
        return [(_with(fields, {place: other}), (reason,))]

    return Fault(reason, damage)


@functools.cache
def omissions() -> tuple[Fault, ...]:
    """Return the damage that leaves a line valid: an empty column."""
    place = source.position(LEFT_EMPTY)
    return (Fault("a value is missing", lambda fields, _: [(_with(fields, {place: b""}), ())]),)


_FAULTS = {"repeated": repetitions, "corrupt": corruptions, "malformed": malformations, "missing": omissions}
