"""Ten thousand small files of one date have the tables of the same lines in one file."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date

from spark_jobs.layers.bronze.bronze_tables import AUDIT_ONLY
from tests.prove.budget import only_in_make_prove
from tests.spark.publishing.conftest import email_key, new_lakehouse
from tests.spark.publishing.lakehouse import Lakehouse, order_item

__all__ = ["email_key", "new_lakehouse"]
pytestmark = [only_in_make_prove("test_pieces.py has sixty files, tests/cases/test_open_days.py a few")]
DAY, AFTER = date(2018, 1, 5), date(2018, 1, 6)
FILES = 10_000


def test_ten_thousand_files_are_the_same_lines_in_one(new_lakehouse: Callable[[], Lakehouse]) -> None:
    """Also when one more file arrives, which delivers all of them again."""
    many, single = new_lakehouse(), new_lakehouse()
    lines = [order_item(n, customer=n % 500, product=n % 20, day=5) for n in range(1, FILES + 1)]
    many.deliver(str(DAY), {f"{n:05}.csv": [line] for n, line in enumerate(lines)})
    single.deliver(str(DAY), {"orders.csv": lines})
    seconds = [_look_and_run(many)]
    single.run(str(DAY), str(AFTER), audited=False)
    ours, theirs = content(many), content(single)
    for table, rows in theirs.items():
        is_equal = ours[table] == rows  # of ten thousand rows pytest would show the difference for hours
        assert is_equal, f"{table} differs"
    assert many.published("bronze.landed_files").count() == FILES
    assert many.look(AFTER)["changed"] == "false"

    (many.landing / f"dt={DAY}" / "late.csv").write_bytes((single.landing / f"dt={DAY}" / "orders.csv").read_bytes())
    seconds.append(_look_and_run(many))
    assert many.published("silver.orders").count() == FILES
    print(f"seconds of the look and the build of bronze: {seconds}")


def content(lakehouse: Lakehouse) -> dict[str, list[str]]:
    """The tables of silver and gold, but the name of the file that a row is from."""
    return {
        name: sorted(map(repr, frame.drop(*AUDIT_ONLY, "source_file").collect()))
        for name, frame in lakehouse.tables("silver", "gold").items()
    }


def _look_and_run(lakehouse: Lakehouse) -> float:
    begun = time.monotonic()
    found = lakehouse.look(AFTER)
    assert found.pop("changed") == "true"
    del found["behind"]
    start, end = found.pop("interval_start"), found.pop("interval_end")
    build = lakehouse.build("bronze", start, end, **found)
    seconds = time.monotonic() - begun
    lakehouse.publish(build, lakehouse.approve(build).fingerprint)
    lakehouse.run(start, end, ("silver", "gold"), audited=False, **found)
    return seconds
