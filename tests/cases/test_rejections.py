"""A "no" explains itself: each reason, how often, where first, a masked sample, and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.failures import JobRefused
from include.gate import AuditGate
from laptop.follow import error_lines
from laptop.laptop_state import LaptopState
from laptop.rejected import newest_rejection
from machine.command_line import UserError
from spark_jobs.quality.quarantine_reasons import quarantine_reasons
from spark_jobs.runtime.errors import HeaderRefused
from spark_jobs.runtime.interval import Interval
from spark_jobs.storage.landing import landed_files
from spark_jobs.storage.verdicts import Verdict
from spark_jobs.tables.source import SOURCE_NAMES
from tests.cases.test_api_answers import WAYS
from tests.dags.tiny_workspace import OPS, TinyWorkspace
from tests.spark.publishing.lakehouse import Lakehouse, order_item

DAY = Interval(date(2018, 1, 1), date(2018, 1, 2))
ORDERED, UNKNOWN_STATUS = "order_date_dateorders", "order_status is not a known value"
DIFFERS = "sales_per_customer differs from order_item_total"
REPEATED = "order item occurs more than once in its file"
A, B = "dt=2018-01-01/a.csv", "dt=2018-01-01/b.csv"


def line(item: int, **changes: Any) -> bytes:
    values = order_item(item, day=1, **changes)
    return ",".join(values[column] for column in SOURCE_NAMES).encode("windows-1252")


# A line of a.csv from its third on; why it is in quarantine, a sample, and what is to be done ("": nothing).
Case = tuple[bytes, str, str, str]
DATE, ZURICH = "order date (DateOrders)", ",Zürich,".encode()
SPOILED: list[Case] = [
    (
        line(3, **{"Order City": "x"}).replace(b",x,", ZURICH, 1),
        "wrong encoding",
        "ZÃ¼rich",
        "source_encoding to utf-8",
    ),
    (b"", "", "", ""),
    (
        line(5) + b",more",
        "wrong number of fields: found 54 instead of 53",
        "DEBIT,3,4,20.5,90.00",
        "a value with a comma",
    ),
    (line(6).replace(b",Watch,", b',Watch "XL",'), "broken quoting", "", "double the quotes"),
    (
        line(7, **{DATE: "13/45/2018 10:00"}),
        f"{ORDERED} does not parse as TIMESTAMP",
        "'13/45/2018 10:00'",
        "day first",
    ),
    (line(8, Sales='"1.234,50"'), "sales does not parse as DECIMAL(12,2)", "sales '1.234,50'", "decimal point"),
    (line(9, status="LOST"), UNKNOWN_STATUS, "order_status 'LOST'", "value_set"),
    (line(10), "", "", ""),
    (line(10), "exact duplicate", "order_item_id '10', order_id '10'", ""),
    (line(12), REPEATED, "order_item_id '12'", "once in a file"),
    (line(12, total="91.00"), "", "", ""),
    (line(14, customer=""), "customer_id is null", "customer_id ''", ""),
    (line(15, **{"Sales per customer": "80.00"}), DIFFERS, "sales_per_customer '80.00', order_item_total '90.00'", ""),
]


@pytest.fixture(scope="module")
def rejected(new_lakehouse: Callable[[], Lakehouse]) -> tuple[Lakehouse, Verdict]:
    lakehouse = new_lakehouse()
    folder = lakehouse.landing / "dt=2018-01-01"
    folder.mkdir()
    header = ",".join(SOURCE_NAMES).encode()
    (folder / "a.csv").write_bytes(b"\r\n".join([header, line(2), *(spoiled for spoiled, *_ in SPOILED), b""]))
    (folder / "b.csv").write_bytes(b"\r".join([header, line(20), line(21, status="LOST")]))
    verdict = lakehouse.audit(lakehouse.build("bronze"))
    assert not verdict.success
    return lakehouse, verdict


def test_each_reason_with_its_place_sample_and_remedy(rejected: tuple[Lakehouse, Verdict]) -> None:
    found = {reason.reason: reason for reason in rejected[1].quarantine}
    expected = {
        reason: (number, sample, remedy) for number, (_, reason, sample, remedy) in enumerate(SPOILED, 3) if reason
    }
    assert found.keys() == expected.keys()
    for reason, (number, sample, remedy) in expected.items():
        one = found[reason]
        assert (one.file, one.line) == (A, number), reason
        assert one.lines == (2 if reason in (UNKNOWN_STATUS, REPEATED) else 1), reason
        assert sample in one.sample, reason
        assert remedy in one.remedy, reason
        assert bool(one.remedy) == bool(remedy), reason


def test_nothing_private_is_shown(rejected: tuple[Lakehouse, Verdict]) -> None:
    lakehouse, verdict = rejected
    page = (lakehouse.ops.root / verdict.data_docs).read_text(encoding="utf-8")
    for text in (json.dumps(verdict.as_dict()), page, "\n".join(verdict.lines())):
        for private in ("ann@example.com", "hunter2", "1 Main", "Lee", "18.25"):
            assert private not in text


def test_data_docs_and_the_log_of_the_job_show_the_reasons(rejected: tuple[Lakehouse, Verdict]) -> None:
    lakehouse, verdict = rejected
    page = (lakehouse.ops.root / verdict.data_docs).read_text(encoding="utf-8")
    assert "Why lines are in quarantine" in page
    assert f"<td>{A} line 9</td>" in page
    assert f"- order_status is not a known value: 2 lines, first {A} line 9 (order_status 'LOST')." in "\n".join(
        verdict.lines()
    )


def test_the_gate_and_the_terminal_show_them_on_one_screen(
    rejected: tuple[Lakehouse, Verdict], workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    verdict = rejected[1].as_dict() | {"interval_end": "2018-01-08"}
    workspace.write(f"{OPS}/verdicts/bronze/{verdict['job_run_id']}.json", verdict)
    gate = AuditGate(task_id="gate", layer="bronze", build_job_run_id=verdict["job_run_id"])
    with pytest.raises(AirflowFailException) as refused:
        gate.execute(context)
    event = {"level": "error", "error_detail": [{"exc_type": "PublicationForbidden", "exc_value": str(refused.value)}]}
    screen = error_lines([event])
    assert len(screen) <= 25
    for words in ("few_lines_of_a_small_date_are_quarantined", "quarantined 12", f"first {A} line 3", "make rejected"):
        assert any(words in text for text in screen), words


@pytest.mark.parametrize("way", WAYS)
def test_airflow_shows_why_a_job_run_failed_that_another_one_has_started(
    way: Callable[..., None], workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    """As the job ecommerce_medallion starts those of the layers. The reason decides whether there is another try."""
    workspace.duration, workspace.result = 0.1, "FAILED"
    workspace.error = "spark_jobs.runtime.errors.HeaderRefused: 1 of 1 landed files have a wrong header"
    workspace.runs[1] = {"run_id": 1, "job": "bronze_build", "parameters": {}, "started": 0.0, "result": "FAILED"}
    workspace.children[1001] = 1
    with pytest.raises(JobRefused, match=r"Job run 1001 ended as FAILED, http\S*: spark_jobs\S*HeaderRefused: 1 of 1"):
        way(context, patience=30)


def test_a_thousand_rejected_dates_fit_on_one_screen(rejected: tuple[Lakehouse, Verdict]) -> None:
    verdict = rejected[1]
    dates = [f"20{year}-01-{day:02}" for year in range(10, 50) for day in range(1, 26)]
    many = replace(verdict, failures=tuple(replace(verdict.failures[0], landing_date=day) for day in dates))
    assert len(many.explanation()) <= 20
    assert "So do 999 more landing dates up to 2049-01-25." in many.explanation()[0]


def test_the_quarantined_lines_of_a_rejected_build_can_be_queried(
    rejected: tuple[Lakehouse, Verdict], tmp_path: Path
) -> None:
    lakehouse, verdict = rejected
    state = replace(LaptopState.from_environment(), root=tmp_path)
    with pytest.raises(UserError, match="no rejected build of bronze has lines to show"):
        newest_rejection(state)
    state.ops.parent.mkdir(parents=True)
    state.ops.symlink_to(lakehouse.ops.root)
    found = newest_rejection(state)
    assert found["build_id"] == verdict.build_id
    rows = lakehouse.spark.sql(
        f"SELECT source_file, reasons, line FROM parquet.`{found['staged_quarantine']}`"
    ).collect()
    assert len(rows) == sum(reason.lines for reason in verdict.quarantine)
    assert any(row["reasons"] == [UNKNOWN_STATUS] and row["source_file"] == B for row in rows)


def test_a_file_that_is_gone_leaves_the_number_of_the_line_out(tmp_path: Path) -> None:
    rows = [(B, "***", ["broken quoting"]), (A, "***", ["broken quoting"]), (A, "***", ["broken quoting"])]
    (found,) = quarantine_reasons(rows, tmp_path, "windows-1252")
    assert found.text.startswith(f"broken quoting: 3 lines, first {A}. Put a value")


def test_many_reasons_end_in_one_for_all_others(tmp_path: Path) -> None:
    rows = [(A, "***", [f"wrong number of fields: found {n} instead of 53"]) for n in range(1, 21) for _ in range(n)]
    *found, others = quarantine_reasons(rows, tmp_path, "windows-1252")
    assert [reason.lines for reason in found] == [*range(20, 8, -1)]
    assert others.text == f"8 other reasons: {sum(range(1, 9))} lines, first {A}."


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("order_item_quantity does not parse as INT", "3, and not 3.0"),
        ("order_id does not parse as BIGINT", "3, and not 3.0"),
        ("product_status does not parse as BOOLEAN", "0 or 1"),
    ],
)
def test_the_remedy_is_that_of_the_type(tmp_path: Path, reason: str, words: str) -> None:
    (found,) = quarantine_reasons([(A, "***", [reason])], tmp_path, "windows-1252")
    assert words in found.remedy


def test_a_sample_is_found_below_empty_records(tmp_path: Path) -> None:
    (tmp_path / "dt=2018-01-01").mkdir()
    (tmp_path / A).write_bytes(b"\r\n".join([b"," * 52, b"", ",".join(SOURCE_NAMES).encode(), line(2, status="LOST")]))
    masked = line(2, status="LOST").decode().replace("hunter2", "***").replace("ann@example.com", "***")
    (found,) = quarantine_reasons([(A, masked, [UNKNOWN_STATUS])], tmp_path, "windows-1252")
    assert (found.line, found.sample) == (4, "order_status 'LOST'")


@pytest.mark.parametrize(
    ("written", "reason", "sample"),
    [
        # As in github.com/simonw/datasette-lite/issues/84: the csv module's "field larger than field limit".
        (line(2, status="LOST", **{"Product Description": "x" * 200_000}), UNKNOWN_STATUS, "order_status 'LOST'"),
        (line(2, status='"LOST ""2"""'), UNKNOWN_STATUS, "order_status 'LOST \"2\"'"),
        # As in github.com/rust-lang/log/issues/611: a value that clears the screen of who reads it.
        (
            b"\x1b[2J" + line(2) + b",more",
            "wrong number of fields: found 54 instead of 53",
            r"'\x1b[2JDEBIT,3,4,20.5,90.00,Advance shipping,0,73,Sporting Goods,Caguas'...",
        ),
    ],
    ids=["long", "quotes", "escapes"],
)
def test_a_sample_shows_any_value_and_writes_no_escapes(
    tmp_path: Path, written: bytes, reason: str, sample: str
) -> None:
    (tmp_path / "dt=2018-01-01").mkdir()
    (tmp_path / A).write_bytes(b"\r\n".join([",".join(SOURCE_NAMES).encode(), written]))
    masked = written.decode().replace("hunter2", "***").replace("ann@example.com", "***")
    (found,) = quarantine_reasons([(A, masked, [reason])], tmp_path, "windows-1252")
    assert (found.line, found.sample) == (2, sample)


def test_a_line_that_is_masked_as_a_whole_is_found(tmp_path: Path) -> None:
    (tmp_path / "dt=2018-01-01").mkdir()
    lines = [",".join(SOURCE_NAMES).encode(), b"", line(2), b"no order item", line(3).replace(b",x,", b',"x,\x81'), b""]
    (tmp_path / A).write_bytes(b"\r\n".join(lines))
    one_field, quoting, encoding = "wrong number of fields: found 1 instead of 53", "broken quoting", "wrong encoding"
    rows = [(A, "***", [one_field]), (A, "***", [encoding, quoting])]
    found = {reason.reason: reason.line for reason in quarantine_reasons(rows, tmp_path, "windows-1252")}
    assert found == {one_field: 4, quoting: 5, encoding: 5}


@pytest.mark.parametrize(
    ("setting", "written", "words"),
    [
        ("windows-1252", "utf-8", "is read as windows-1252: set source_encoding to utf-8"),
        (
            "utf-8",
            "windows-1252",
            "is read as utf-8: set source_encoding to windows-1252",
        ),
    ],
)
def test_the_other_encoding_is_named(tmp_path: Path, setting: str, written: str, words: str) -> None:
    name = "order_city"
    values = {**order_item(2, day=1), "Order City": "Zürich"}
    row = ",".join(values[column] for column in SOURCE_NAMES).encode(written)
    (tmp_path / "dt=2018-01-01").mkdir()
    (tmp_path / A).write_bytes(",".join(SOURCE_NAMES).encode() + b"\r\r\n" + row)
    masked = row.decode("utf-8" if setting == "utf-8" else "windows-1252", "replace").replace("hunter2", "***")
    (found,) = quarantine_reasons([(A, masked, ["wrong encoding"])], tmp_path, setting)
    assert (found.line, found.sample[: len(name)]) == (3, name)
    assert words in found.remedy


HEADER = ",".join(SOURCE_NAMES)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (HEADER.replace(",", ";").encode(), "separated by semicolons: deliver it separated by commas"),
        (HEADER.replace(",", "\t").encode(), "separated by tabs: deliver it separated by commas"),
        (HEADER.replace(",", "|").encode(), "separated by vertical bars: deliver it separated by commas"),
        (b"sep=,\r\n" + HEADER.encode(), "Excel's line sep=: remove that line"),
        (HEADER.encode("utf-16"), "looks like UTF-16"),
        (HEADER.encode("utf-16-le"), "looks like UTF-16"),
        (b"PK\x03\x04\x14\0\x06\0", "looks like zip, or an Excel workbook: unpack it before"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "looks like an old Excel workbook: save it as CSV"),
        (b"<!DOCTYPE html><html><title>Sign in", "a web page, such as a sign-in: get the file again"),
        (b"<html><title>403", "a web page, such as a sign-in: get the file again"),
        (b'[{"Type": "DEBIT"}]', "looks like JSON: deliver it as CSV"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS: get the file itself"),
        (f'"{HEADER}"'.encode(), "one value in quotes: deliver it without quotes around whole lines"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_header_that_is_none_says_what_the_file_seems_to_be(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "dt=2018-01-01").mkdir()
    (tmp_path / "dt=2018-01-01" / "orders.csv").write_bytes(content)
    with pytest.raises(HeaderRefused) as refused:
        landed_files(tmp_path, DAY)
    assert words in str(refused.value)
