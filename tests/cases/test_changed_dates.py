"""Which landing dates a run without an interval takes: those whose files are not what bronze counted.

Where there are none, these are the dates that bronze or silver has published and the next layer has not taken in.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.spark_calls import STATEMENT, SparkCalls
from spark_jobs.runtime.errors import GateRejected
from spark_jobs.runtime.job_parameters import GateParameters
from spark_jobs.tasks.build_to_publish import build_to_publish
from spark_jobs.tasks.changed_dates import changed_dates
from tests.spark.publishing.lakehouse import Lakehouse, order_item

TODAY = date(2018, 1, 9)
CALLER = "77"
"""The job run that has started the build, as the job ecommerce_medallion does."""
PUBLISHED = {
    "2018-01-01": {"orders.csv": 2, "late.csv": 1},
    "2018-01-02": {"orders.csv": 1},
    "2018-01-04": {"orders.csv": 0},
}
"""By landing date: the files with the number of their lines."""
FOUND = ("interval_start", "interval_end", "dates", "changed", "behind")
"""What a look finds."""
NOTHING = ("", "", "", "false", "false")


def replace_keeping_size(file: Path) -> None:
    """Another content of the same size, written later."""
    content, details = file.read_bytes(), file.stat()
    file.write_bytes(content.replace(b"DEBIT", b"TIBED"))
    os.utime(file, ns=(details.st_atime_ns, details.st_mtime_ns + 2_000_000))


def clock_set_back(file: Path) -> None:
    """The same, by a clock that was an hour behind."""
    details = file.stat()
    os.utime(file, ns=(details.st_atime_ns, details.st_mtime_ns - 3_600_000_000_000))


def header_only(file: Path) -> None:
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])


def copied(source: str, target: str) -> Callable[[Path], None]:
    def copy(landing: Path) -> None:
        (landing / target).parent.mkdir(exist_ok=True)
        shutil.copy2(landing / source, landing / target)

    return copy


CASES: dict[str, tuple[Callable[[Path], object], dict[str, str]]] = {
    "nothing": (lambda landing: None, {}),
    "replaced under its name": (
        lambda landing: replace_keeping_size(landing / "dt=2018-01-02/orders.csv"),
        {"2018-01-02": "changed: orders.csv"},
    ),
    "written by a clock that is behind": (
        lambda landing: clock_set_back(landing / "dt=2018-01-01/late.csv"),
        {"2018-01-01": "changed: late.csv"},
    ),
    "withdrawn by a header": (
        lambda landing: header_only(landing / "dt=2018-01-02/orders.csv"),
        {"2018-01-02": "changed: orders.csv"},
    ),
    "one of two files removed": (
        lambda landing: (landing / "dt=2018-01-01/late.csv").unlink(),
        {"2018-01-01": "removed: late.csv"},
    ),
    "one more file": (
        copied("dt=2018-01-02/orders.csv", "dt=2018-01-02/more.csv"),
        {"2018-01-02": "new: more.csv"},
    ),
    "orders for a day that had none": (
        copied("dt=2018-01-02/orders.csv", "dt=2018-01-04/orders.csv"),
        {"2018-01-04": "changed: orders.csv"},
    ),
    "another date": (copied("dt=2018-01-02/orders.csv", "dt=2018-01-03/orders.csv"), {"2018-01-03": "has landed"}),
    "a file that is being written": (copied("dt=2018-01-02/orders.csv", "dt=2018-01-02/x.csv.part"), {}),
    "a broken folder name": (copied("dt=2018-01-02/orders.csv", "dt=2018-1-3/orders.csv"), {}),
    "a folder without files": (lambda landing: (landing / "dt=2018-01-03").mkdir(), {}),
    "a date whose folder is gone": (lambda landing: shutil.rmtree(landing / "dt=2018-01-02"), {}),
}


@pytest.fixture(scope="module")
def published(lakehouse: Lakehouse) -> Lakehouse:
    number = 1
    for day, files in PUBLISHED.items():
        lines: dict[str, list[dict[str, str]]] = {}
        for name, count in files.items():
            lines[name] = [order_item(number + i, day=int(day[-2:])) for i in range(count)]
            number += count
        lakehouse.deliver(day, lines)
    assert list(changed_dates(lakehouse.jobs, None, lakehouse.landing, TODAY)) == [
        date.fromisoformat(day) for day in PUBLISHED
    ]
    lakehouse.run("2018-01-01", "2018-01-05", layers=("bronze",), allow_missing_dates="true", called_by=CALLER)
    return lakehouse


@pytest.mark.parametrize("case", CASES)
def test_what_changed_is_found(published: Lakehouse, case: str, tmp_path: Path) -> None:
    change, expected = CASES[case]
    landing = tmp_path / "landing"
    shutil.copytree(published.landing, landing)  # with the times of the files
    change(landing)
    changes = changed_dates(published.jobs, published.publications.newest("bronze"), landing, TODAY)
    assert {str(day): reason for day, reason in changes.items()} == expected


def gate(lakehouse: Lakehouse, job_run_id: str) -> dict[str, str]:
    parameters = GateParameters(
        catalog="spark_catalog",
        schema_prefix=lakehouse.names.schema_prefix,
        ops_root=lakehouse.ops.root,
        staging_root=lakehouse.staging_root,
        job_run_id=job_run_id,
        repair_count=0,
        layer="bronze",
    )
    return build_to_publish(lakehouse.ops, parameters)


def test_the_gate_finds_the_verdict_on_the_build_that_its_job_run_has_started(published: Lakehouse) -> None:
    newest = published.publications.newest("bronze")
    assert newest is not None
    allowed = gate(published, CALLER)
    assert (allowed["build_id"], allowed["fingerprint"]) == (newest.build_id, newest.gate_fingerprint)
    assert gate(published, allowed["build_job_run_id"]) == allowed, "the verdict is found by the build's own run too"
    with pytest.raises(GateRejected, match="job run 78 has no verdict on bronze"):
        gate(published, "78")


def test_the_gate_fails_where_the_verdict_rejects(published: Lakehouse) -> None:
    verdict = published.ops.read_json(f"verdicts/bronze/{CALLER}.json") or {}
    rejected = verdict | {"success": False, "explanation": ["a rule does not hold"]}
    published.ops.write_json("verdicts/bronze/79.json", rejected)
    with pytest.raises(GateRejected, match=r"forbids publishing; .*untouched\.\n  a rule"):
        gate(published, "79")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("2018-01-01", "2018-01-03"), ("2018-01-01", "2018-01-03", "", "true", "true")),
        (("", ""), ("2018-01-01", "2018-01-05", "", "false", "true")),  # silver was never published
    ],
)
def test_the_dates_of_a_run(published: Lakehouse, given: tuple[str, str], expected: tuple[str, ...]) -> None:
    values = published.look(TODAY, *given)
    assert tuple(values[name] for name in FOUND) == expected
    assert (values["allow_missing_dates"], values["open_from"]) == ("false", str(TODAY))


def test_a_look_that_finds_no_change_asks_two_statements(published: Lakehouse, spark_remote: str) -> None:
    calls = SparkCalls()
    session = calls.session(spark_remote)
    plain, published.jobs = published.jobs, replace(published.jobs, spark=session)
    try:
        published.look(TODAY)
    finally:
        session.stop()
        published.jobs = plain
    made = "\n".join(f"{call.method} {call.kind} {call.where}" for call in calls.recorded)
    assert calls.count(STATEMENT) == 2, made


def found(lakehouse: Lakehouse) -> tuple[str, ...]:
    values = lakehouse.look(TODAY)
    return tuple(values[name] for name in FOUND)


def test_what_a_layer_has_published_and_the_next_has_not_taken_in_is_found(
    new_lakehouse: Callable[[], Lakehouse],
) -> None:
    """Runs that ended after bronze, and after silver."""
    lakehouse, interval = new_lakehouse(), ("2018-01-02", "2018-01-05")
    assert found(lakehouse) == NOTHING
    lakehouse.land("2018-01-01", order_item(1, day=1))
    lakehouse.run("2018-01-01", "2018-01-02")
    assert found(lakehouse) == NOTHING
    for day, after in (("2018-01-02", "2018-01-03"), ("2018-01-04", "2018-01-05")):
        lakehouse.land(day, order_item(int(day[-2:]), day=int(day[-2:])))
        lakehouse.run(day, after, layers=("bronze",))
    assert found(lakehouse) == (*interval, "", "false", "true")
    lakehouse.land("2018-01-05", order_item(5, day=5))
    assert found(lakehouse) == ("2018-01-05", "2018-01-06", "", "true", "true"), "silver follows the run of bronze"
    shutil.rmtree(lakehouse.landing / "dt=2018-01-05")
    lakehouse.run(*interval, layers=("silver",))
    assert found(lakehouse) == (*interval, "", "false", "true"), "gold is behind"
    lakehouse.run(*interval, layers=("silver", "gold"))
    assert found(lakehouse) == NOTHING
    for layer in ("bronze", "silver"):
        newest = lakehouse.publications.newest(layer)
        assert newest is not None
        next_one = replace(newest, seq=newest.seq + 1, previous_seq=newest.seq, interval_start=None, interval_end=None)
        assert lakehouse.publications.append(next_one)
    assert found(lakehouse) == NOTHING, "what maintenance publishes is the same data"


def come_to(lakehouse: Lakehouse, layer: str) -> tuple[int, int | None] | None:
    """How far a layer has come, as the live DAG reads it."""
    progress = lakehouse.ops.read_json(f"progress_{layer}.json")
    return (progress["seq"], progress["upstream_seq"]) if progress else None


def test_the_live_dag_learns_what_was_published_and_what_was_rejected(new_lakehouse: Callable[[], Lakehouse]) -> None:
    lakehouse, interval = new_lakehouse(), ("2018-01-01", "2018-01-02")
    lakehouse.land("2018-01-01", order_item(1, day=1), order_item(2, day=1))
    first = lakehouse.build("bronze", *interval)
    verdict = lakehouse.audit(first)
    lakehouse.publish(first, verdict.fingerprint)
    assert (come_to(lakehouse, "bronze"), come_to(lakehouse, "silver")) == ((1, None), None)

    build = lakehouse.build("silver", *interval)
    (file,) = (lakehouse.staging_root / build.staged["silver.orders"].folder).glob("*.parquet")
    pq.write_table(pq.read_table(file).slice(1), file)
    assert not lakehouse.audit(build).success
    assert come_to(lakehouse, "silver") == (0, 1)
    assert found(lakehouse) == (*interval, "", "false", "true"), "a run that is started by other news tries it again"

    lakehouse.run(*interval)
    assert [come_to(lakehouse, layer) for layer in ("bronze", "silver", "gold")] == [(2, None), (1, 2), (1, 1)]
    lakehouse.publish(first, verdict.fingerprint)
    assert come_to(lakehouse, "bronze") == (2, None), "the publication that is repeated is not the newest"
