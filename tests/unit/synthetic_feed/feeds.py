"""Reading a generated feed, and comparing dimensions with its truth."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

# ruff: noqa: DTZ001, DTZ007 - instants in UTC are naive in Python where Spark hands them over

Row = dict[str, Any]
LAST = datetime(9999, 1, 1)


def contents(landing: Path) -> dict[str, bytes]:
    """All files of a feed, truth included, by path."""
    return {str(path.relative_to(landing)): path.read_bytes() for path in sorted(landing.rglob("*")) if path.is_file()}


def fingerprint(landing: Path) -> str:
    digest = hashlib.sha256()
    for name, content in contents(landing).items():
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def lines(landing: Path) -> list[Row]:
    """All lines as texts by column, with the landing date and the file."""
    found = []
    for path in sorted(landing.glob("dt=*/*.csv")):
        with path.open(encoding="windows-1252", newline="") as stream:
            for row in csv.DictReader(stream):
                found.append(row | {"landing_date": path.parent.name[3:], "file": f"{path.parent.name}/{path.name}"})
    return found


def truth(landing: Path, *kinds: str) -> list[Row]:
    entries = [
        json.loads(line) for path in sorted((landing / "_truth").iterdir()) for line in path.read_text().splitlines()
    ]
    return [entry for entry in entries if entry["kind"] in kinds]


def changes(landing: Path, kind: str) -> dict[int, list[tuple[datetime, Row]]]:
    """The changes of a kind by key: the instant and the new values, as they should be in the dimension."""
    found: dict[int, list[tuple[datetime, Row]]] = defaultdict(list)
    for entry in truth(landing, kind):
        key, at = entry.pop(f"{kind}_id"), datetime.fromisoformat(entry.pop("at"))
        del entry["kind"]
        if kind == "product":
            entry["product_price"] = Decimal(entry["product_price"])
        found[key].append((at, entry))
    return found


def order_date(row: Row) -> datetime:
    return datetime.strptime(row["order date (DateOrders)"], "%m/%d/%Y %H:%M")


def effective_at(order_date: datetime, landing_date: date) -> datetime:
    begin, end = datetime.combine(landing_date, time.min), datetime.combine(landing_date, time.max)
    return min(max(order_date, begin), end)


def check_dimension(
    versions: Iterable[Row], key: str, changed: dict[int, list[tuple[datetime, Row]]], seen: dict[int, list[datetime]]
) -> int:
    """Every change that a row could show is in the dimension, and every new version is a change of the truth.

    `seen` are the instants at which rows speak, by key. Returns how many changes the dimension shows.
    """
    of_key: dict[int, list[Row]] = defaultdict(list)
    for version in sorted(versions, key=lambda version: version["valid_from"]):
        of_key[version[key]].append(version)

    def shows(version: Row, values: Row) -> bool:
        return all(version[name] == value for name, value in values.items())

    shown = 0
    for number, history in of_key.items():
        for version in history[1:]:
            before = [values for at, values in changed.get(number, []) if at <= version["valid_from"]]
            assert before, f"{number} has a version that no change explains: {version}"
            assert shows(version, before[-1]), (version, before[-1])
    for number, of_number in changed.items():
        instants = sorted(seen.get(number, []))
        for (at, values), following in zip(of_number, [*(at for at, _ in of_number[1:]), LAST], strict=True):
            speaking = [instant for instant in instants if at <= instant < following]
            if not speaking:
                continue
            (valid,) = [
                version
                for version in of_key[number]
                if version["valid_from"] <= speaking[0]
                and (version["valid_to"] is None or speaking[0] < version["valid_to"])
            ]
            assert shows(valid, values), f"{number} does not show its change at {at}: {valid}"
            if instants[0] < at and valid["valid_from"] == speaking[0]:
                shown += 1
    return shown
