"""The declarative pipeline has the rows of the published tables, as long as files are only added."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from feeds.synthetic.feed import generate
from feeds.synthetic.feed_settings import FeedSettings
from tests.e2e.lake import days_of
from tests.spark.declarative.pipeline import Twin
from tests.spark.publishing.lakehouse import Lakehouse

REAL, INVENTED = date(2018, 1, 1), date(2018, 1, 10)
FEED = FeedSettings(scale=150, late=100_000, repeated=20_000, corrupt=20_000, malformed=5_000)


def again_as_another_segment(header: bytes, line: bytes, customer: bytes) -> bytes:
    """An order item like `line`, of the customer of the line `customer`, who belongs to another segment by then."""
    names, values, theirs = (
        next(csv.reader([header.decode("cp1252")])),
        *(next(csv.reader([one.decode("cp1252")])) for one in (line, customer)),
    )
    new, old = dict(zip(names, values, strict=True)), dict(zip(names, theirs, strict=True))
    new |= {name: value for name, value in old.items() if name.startswith("Customer ")}
    new |= {"Order Customer Id": old["Order Customer Id"], "Order Id": "900001", "Order Item Id": "900001"}
    new["Customer Segment"] = "Corporate" if old["Customer Segment"] != "Corporate" else "Consumer"
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(new[name] for name in names)
    return text.getvalue().encode("cp1252")


def test_the_pipeline_has_the_published_rows_also_after_more_files(
    new_lakehouse: Callable[[], Lakehouse], dataco: Path, spark_remote: str, tmp_path: Path
) -> None:
    """A slice of the real data set, and a feed with history, late orders and faults."""
    lakehouse = new_lakehouse()
    header, real = days_of(dataco, {REAL, REAL + timedelta(days=1)})
    generate(tmp_path / "feed", INVENTED, 8, FEED)

    def land(day: date, invented: range) -> None:
        folder = lakehouse.landing / f"dt={day}"
        folder.mkdir()
        lines = list(real[day].lines)
        if day != REAL:
            lines.append(again_as_another_segment(header, lines[-1], real[REAL].lines[0]))
        (folder / "orders.csv").write_bytes(header + b"".join(lines))
        for number in invented:
            name = f"dt={INVENTED + timedelta(days=number)}"
            shutil.copytree(tmp_path / "feed" / name, lakehouse.landing / name)

    twin = Twin(lakehouse, tmp_path / "twin", spark_remote)
    try:
        for day, invented in ((REAL, range(5)), (REAL + timedelta(days=1), range(5, 8))):
            land(day, invented)
            twin.update()
            lakehouse.run("2018-01-01", "2018-02-01", audited=False, allow_missing_dates="true")
            found, published = twin.tables(), lakehouse.everything()
            for table, rows in published.items():
                assert found[table] == rows, f"{table} differs"
        versions = [row["is_current"] for row in lakehouse.published("silver.dim_customers").collect()]
        assert not all(versions), "there is a history"
        late = lakehouse.published("silver.orders").where("datediff(landing_date, to_date(order_date)) > 0").count()
        assert late, "there are late orders"
        assert published["bronze.quarantine"], "there are faults"
    finally:
        twin.drop()
