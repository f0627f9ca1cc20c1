"""Nothing grows for ever: 400 simulated days, and what is left of them after each clean-up.

A day leaves what a real one leaves, in files and rows with the times of that day. The real clean-ups get dates of that
time, and sizes are flat once the retention is over.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from local_workspace.deployer import deploy
from local_workspace.entities import LifeCycle, Run, TaskRun
from local_workspace.job_settings import JobSettings
from local_workspace.redaction import Redactor
from local_workspace.retention import remove_old
from local_workspace.runner import Runner
from local_workspace.store import Store
from machine import airflow_cleanup
from machine.state_folder import StateFolder
from spark_jobs.runtime.errors import ParameterRefused
from spark_jobs.runtime.job_parameters import MaintenanceParameters
from spark_jobs.storage.delta import create_table
from spark_jobs.storage.publications import PUBLICATIONS
from spark_jobs.storage.verdicts import VERDICTS
from spark_jobs.tables.spec import conform
from spark_jobs.tasks.run_report import RUNS
from tests.docs.pages import DOCS
from tests.spark.publishing.lakehouse import Lakehouse, order_item
from tests.workspace.conftest import Workspace, make_wheel

DAY = timedelta(days=1)
DAY_MS = 24 * 3600 * 1000


def touch(file: Path, day: datetime, content: str = "{}") -> None:
    """A file, and the folders above it, as they were last written on that day."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    os.utime(file, (day.timestamp(), day.timestamp()))
    os.utime(file.parent, (day.timestamp(), day.timestamp()))


# --- The lakehouse: staging, the ops volume and the tables of ops --------------------------------------------------


class Year:
    """A lakehouse with one real publication of bronze, and what later days leave beside it."""

    def __init__(self, lakehouse: Lakehouse) -> None:
        self.lakehouse = lakehouse
        lakehouse.land("2018-01-01", order_item(1))
        lakehouse.run("2018-01-01", "2018-01-02", layers=("bronze",))
        self.begin = datetime.now(UTC)
        self.days = 0

    def live(self, days: int) -> None:
        """Let days pass without maintenance."""
        moments = [self.begin + (self.days + number) * DAY for number in range(1, days + 1)]
        for number, moment in enumerate(moments, self.days + 1):
            self._leave_files(f"9{number:05}", moment)
        self._insert_rows(moments)
        self.days += days

    def _leave_files(self, job_run_id: str, moment: datetime) -> None:
        ops, staging = self.lakehouse.ops.root, self.lakehouse.staging_root
        for layer in ("bronze", "silver", "gold"):
            touch(ops / "builds" / layer / f"{job_run_id}.json", moment)
            touch(ops / "verdicts" / layer / f"{job_run_id}.json", moment)
            touch(ops / "data_docs" / layer / f"{job_run_id}_0" / "index.html", moment)
        touch(ops / "publications" / f"{job_run_id}.json", moment)
        touch(ops / "verdicts" / "gold" / f".{job_run_id}.json.unfinished", moment)  # of a job that was killed
        # What a rejected build leaves, and one that was cancelled in its first seconds.
        touch(staging / f"{job_run_id}_0" / "bronze.order_items" / "part-0.parquet", moment)
        touch(staging / f"{job_run_id}_1" / "bronze.order_items" / "_temporary" / "0" / "empty", moment, "")
        folder = staging / f"{job_run_id}_2"
        folder.mkdir(parents=True)
        os.utime(folder, (moment.timestamp(), moment.timestamp()))

    def _insert_rows(self, moments: list[datetime]) -> None:
        spark, names = self.lakehouse.spark, self.lakehouse.names
        newest = self.lakehouse.publications.newest("bronze")
        assert newest is not None
        days = spark.createDataFrame(
            [(newest.seq + number, moment) for number, moment in enumerate(moments, 1)], "day LONG, moment TIMESTAMP"
        )
        for spec, moment in ((PUBLICATIONS, "published_at"), (VERDICTS, "audited_at")):
            name = names.table(spec.name)
            one = spark.table(name).where("layer = 'bronze'").limit(1).drop(moment)
            rows = one.crossJoin(days).withColumn("build_id", F.concat("day", F.lit("_0")))
            if spec is PUBLICATIONS:
                rows = rows.withColumn("seq", F.col("day"))
                tables = F.create_map(*[F.lit(item) for pair in newest.tables.items() for item in pair])
                rows = rows.withColumn("tables", tables.cast("map<string, bigint>"))
            rows = rows.withColumnRenamed("moment", moment).select(*spec.columns)
            rows.write.format("delta").mode("append").saveAsTable(name)
        create_table(spark, names.table(RUNS.name), RUNS)
        run = {"day": "job_run_id", "moment": "published_at"}
        counts = {name: F.lit(1) for name in ("landed_dates", "files", "lines", "bytes")}
        times = dict.fromkeys(("interval_start", "interval_end", "started_at"), F.col("moment"))
        runs = days.withColumns(counts | times).withColumnsRenamed(run)
        rows = conform(runs, StructType([RUNS.schema[name] for name in runs.columns]))
        rows.write.format("delta").mode("append").saveAsTable(names.table(RUNS.name))

    def sizes(self) -> dict[str, int]:
        """Numbers of files and rows."""
        ops, tables = self.lakehouse.ops.root, self.lakehouse.names.table
        kinds = {kind: ops / kind for kind in ("builds", "verdicts", "publications", "data_docs")}
        kinds["staging"] = self.lakehouse.staging_root
        found = {name: sum(1 for _ in folder.rglob("*")) for name, folder in kinds.items()}
        found |= {
            spec.name: self.lakehouse.spark.table(tables(spec.name)).count() for spec in (PUBLICATIONS, VERDICTS, RUNS)
        }
        return found


def left_by_a_killed_write(lakehouse: Lakehouse, table: str) -> Path:
    """A file of a published table that no version names, older than the retention."""
    (detail,) = lakehouse.spark.sql(f"DESCRIBE DETAIL {lakehouse.names.table(table)}").collect()
    file = Path(unquote(urlsplit(detail["location"]).path)) / "part-00000-left.snappy.parquet"
    file.write_bytes(b"")
    make_old(file)
    return file


def make_old(file: Path) -> None:
    os.utime(file, (datetime(2018, 1, 1, tzinfo=UTC).timestamp(),) * 2)


@pytest.fixture(scope="module")
def year(new_lakehouse: Callable[[], Lakehouse]) -> tuple[Year, list[dict[str, int]]]:
    """The sizes after maintenance on the days 200 and 400."""
    year, sizes = Year(new_lakehouse()), []
    for _ in range(2):
        year.live(200)
        year.lakehouse.maintain((year.begin + year.days * DAY).isoformat())
        sizes.append(year.sizes())
    return year, sizes


def test_sizes_are_flat_after_the_retention(year: tuple[Year, list[dict[str, int]]]) -> None:
    _, (after_200, after_400) = year
    # Each maintenance leaves a verdict, Data Docs and a publication of its own, which are new by the real clock.
    for name, size in after_400.items():
        assert abs(size - after_200[name]) <= 2, f"{name}: {after_200}, {after_400}"
    # Of a day 9 files and folders; kept are the last 7 days and, where no time was rounded, the one right at the limit.
    assert 7 * 9 <= after_400["staging"] <= 8 * 9
    assert 85 <= after_400["publications"] <= 100
    assert 85 <= after_400[VERDICTS.name] <= 100
    assert 85 <= after_400[RUNS.name] <= 100


def test_the_newest_publication_keeps_what_belongs_to_it(year: tuple[Year, list[dict[str, int]]]) -> None:
    lakehouse = year[0].lakehouse
    newest = lakehouse.publications.newest("bronze")
    assert newest is not None
    before = lakehouse.everything("bronze")
    young, old = (left_by_a_killed_write(lakehouse, table) for table in ("bronze.order_items", "bronze.landed_files"))
    make_old(old.parent / "_delta_log" / f"{0:020}.json")
    needed = left_by_a_killed_write(lakehouse, "bronze.quarantine")
    for entry in (needed.parent / "_delta_log").glob("*.json"):
        make_old(entry)
    lakehouse.maintain("2200-01-01T00:00:00+00:00")
    assert lakehouse.everything("bronze") == before
    assert not old.exists()
    assert young.exists(), "a table that is younger than the retention has no file that could go"
    assert needed.exists(), "as long ago as the version that the newest publication needs"
    name = lakehouse.names.table("bronze.quarantine")
    (kept,) = lakehouse.spark.sql(f"SHOW TBLPROPERTIES {name} ('delta.deletedFileRetentionDuration')").collect()
    since = datetime.now(UTC) - datetime(2018, 1, 1, tzinfo=UTC)
    assert since.days < int(kept["value"].split()[1]) <= since.days + 9, kept
    left = {row["seq"] for row in lakehouse.spark.table(lakehouse.names.table(PUBLICATIONS.name)).collect()}
    newest = lakehouse.publications.newest("bronze")
    assert newest is not None
    assert newest.seq in left
    assert len(left) <= 3, "the newest, the one before it, and the one whose interval ends last"
    assert lakehouse.staging() == []
    # An earlier date lands only now: that it is no continuation must be known although the history is gone.
    late = replace(newest, seq=newest.seq + 1, interval_start=date(2017, 12, 30), interval_end=date(2017, 12, 31))
    assert lakehouse.publications.append(late)
    assert not lakehouse.publications.dates_since(newest.seq, late.seq).are_latest


def test_a_later_day_is_built_on_what_is_left(year: tuple[Year, list[dict[str, int]]]) -> None:
    lakehouse = year[0].lakehouse
    lakehouse.land("2018-01-02", order_item(2, day=2))
    lakehouse.run("2018-01-02", "2018-01-03")
    assert {row[0] for row in lakehouse.published("silver.orders").select("order_item_id").collect()} == {1, 2}


@pytest.mark.parametrize("name", ["table_retention_days", "staging_retention_days", "record_retention_days"])
def test_a_retention_of_no_days_is_refused(name: str) -> None:
    texts = {
        **{"catalog": "c", "schema_prefix": "", "ops_root": "/o", "staging_root": "/s", "job_run_id": "1"},
        **{"repair_count": "0", "as_of": "2018-01-01", "max_quarantined_percent": "5", "max_quarantined_lines": "5"},
        **{"table_retention_days": "90", "staging_retention_days": "7", "record_retention_days": "90"},
    }
    with pytest.raises(ParameterRefused, match=f"{name} is 0"):
        MaintenanceParameters.from_texts(texts | {name: "0"})


# --- The local workspace: runs, logs, wheels, Spark's scratch files ------------------------------------------------


JOB = {
    "name": "job",
    "tasks": [
        {
            "task_key": "main",
            "environment_key": "default",
            "python_wheel_task": {"package_name": "tiny", "entry_point": "ok"},
        }
    ],
    "environments": [{"environment_key": "default"}],
}


def count(database: sqlite3.Connection, table: str) -> int:
    return int(database.execute(f"select count(*) from {table}").fetchone()[0])


def test_runs_of_the_local_workspace_are_flat(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    store = Store(state.database)
    runner = Runner(state, store, Redactor(state))
    settings, sizes, begin = JobSettings.parse(JOB), {}, 1_600_000_000_000
    for day in range(1, 401):
        now = begin + day * DAY_MS
        for _ in range(6):
            run_id = store.new_id()
            ended: dict[str, Any] = {"life_cycle": LifeCycle.TERMINATED, "created": now, "ended": now}
            run = Run(run_id=run_id, job_id=1, job_name="job", settings=settings, wheels={"default": [f"wheel{day}"]},
                      parameters=[], **ended)  # fmt: skip
            store.insert(run)
            task_run_id = store.new_id()
            store.insert(TaskRun(run_id=task_run_id, parent_run_id=run_id, task_key="main", attempt=0, **ended))
            store.add_token(f"token{run_id}", 1, run_id)
            folder = state.runs / str(run_id) / str(task_run_id)
            folder.mkdir(parents=True)
            (folder / "log.txt").write_text("log")
        for lost in (state.wheels / f"wheel{day}", state.wheels / f".unpacking-{day}", state.runs / f"0{day}"):
            lost.mkdir(parents=True)
            os.utime(lost, (now / 1000, now / 1000))
        if day % 20 == 0:
            remove_old(state, store, runner, timedelta(days=60), now)
        if day % 100 == 0:
            with sqlite3.connect(state.database) as database:
                rows = {name: count(database, name) for name in ("runs", "task_runs", "tokens")}
            folders = {folder.name: len(list(folder.iterdir())) for folder in (state.runs, state.wheels)}
            sizes[day] = rows | folders
    assert sizes[200] == sizes[300] == sizes[400]
    assert sizes[400]["tokens"] <= 61 * 6
    store.close()


@pytest.fixture
def workspace_without_spark(tmp_path: Path) -> Iterator[Workspace]:
    workspace = Workspace(tmp_path / "state")
    workspace.state.mkdir()
    workspace.start()
    yield workspace
    workspace.stop()


def test_each_deployment_removes_the_wheels_of_earlier_ones(workspace_without_spark: Workspace, tmp_path: Path) -> None:
    (tmp_path / "databricks.yml").write_text("bundle: {name: shop}\ninclude: [job.yml]\ntargets: {local: {}}\n")
    job = {**JOB, "environments": [{"environment_key": "default", "spec": {"dependencies": ["dist/*.whl"]}}]}
    (tmp_path / "job.yml").write_text(json.dumps({"resources": {"jobs": {"job": job}}}))
    state = StateFolder(workspace_without_spark.state)
    for number in range(3):
        make_wheel(tmp_path / "dist", f"number = {number}\n\ndef ok(): pass\n")
        host, token = workspace_without_spark.host, state.secret("workspace_token")
        list(deploy(tmp_path / "databricks.yml", "local", [], host, token))
    assert len(list(state.files.rglob("*.whl"))) == 1


# --- Airflow: task logs, and the tables that are cleaned -----------------------------------------------------------


def test_logs_of_tasks_are_flat(tmp_path: Path) -> None:
    begin, sizes = datetime(2018, 1, 1, tzinfo=UTC), {}
    for number in range(1, 401):
        day = begin + number * DAY
        for task in ("bronze.build", "bronze.gate"):
            touch(tmp_path / f"dag_id=d/run_id={day:%Y-%m-%d}/task_id={task}" / "attempt=1.log", day)
        touch(tmp_path / "dag_processor" / f"{day:%Y-%m-%d}" / "dags.log", day)
        for folder in (f"dag_id=d/run_id={day:%Y-%m-%d}", "dag_id=d", "dag_processor"):
            os.utime(tmp_path / folder, (day.timestamp(), day.timestamp()))
        if number % 20 == 0:
            airflow_cleanup.remove_files(tmp_path, day - 90 * DAY)
        if number % 100 == 0:
            # Removing a file makes its folder new by the real clock: it goes once it is old itself.
            sizes[number] = sum(1 for path in tmp_path.rglob("*") if path.is_file())
    assert sizes[200] == sizes[300] == sizes[400] == 3 * 91


def test_what_is_cleaned_is_what_airflow_can_clean() -> None:
    from airflow.utils.db_cleanup import config_dict

    assert set(airflow_cleanup.TABLES) <= set(config_dict)
    # Not DAGs, which would be forgotten with their state; not what archives, Celery and other features leave.
    assert set(config_dict) - set(airflow_cleanup.TABLES) == {
        *("dag", "_xcom_archive", "celery_taskmeta", "celery_tasksetmeta"),
        *("connection_test_request", "partitioned_asset_key_log"),
    }


# --- The page ------------------------------------------------------------------------------------------------------


def test_the_page_names_each_retention() -> None:
    page = (DOCS / "operations.md").read_text(encoding="utf-8")
    section = page.partition("## What grows, and what is removed")[2]
    for name in (
        *("table_retention_days", "staging_retention_days", "record_retention_days"),
        *("LAKEHOUSE_RUN_RETENTION_DAYS", "LAKEHOUSE_AIRFLOW_RETENTION_DAYS", "LAKEHOUSE_LOG_MEGABYTES"),
    ):
        assert re.search(rf"\| .*`{name}`", section), name
