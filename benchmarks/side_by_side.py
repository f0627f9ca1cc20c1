"""The declarative pipeline beside the jobs: the seconds of each for the same files, and whether the rows are equal."""

from __future__ import annotations

import time
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmarks.full_run import deliver_again
from benchmarks.hardware import hardware
from laptop.demo import reset
from laptop.fill_landing import replay
from laptop.landing_interval import landed_interval
from laptop.pipeline import update
from laptop.run import run_interval
from laptop.services import down, up, workspace_client
from laptop.spark_client import spark_session
from machine.command_line import UserError
from spark_jobs.layers.bronze.bronze_tables import AUDIT_ONLY
from spark_jobs.layers.registry import TABLES

if TYPE_CHECKING:
    from pathlib import Path

    from laptop.laptop_state import LaptopState
    from spark_jobs.tables.spec import TableSpec

COLUMNS = ("files", "landing_dates", "run_seconds", "pipeline_seconds", "different_tables")


def bench_side_by_side(main_state: LaptopState, data: Path) -> dict[str, Any]:
    """Load all files both ways, then two more days; return the results as they are written. Raises UserError."""
    state = main_state.with_own_data(main_state.root / "bench")
    state.ensure_secrets()
    reset(state)
    steps = []
    try:
        replay(state, data, state.landing)
        up(state)
        start, end = landed_interval(state.landing)
        for files in ("all", "one more day", "one more day"):
            result = run_interval(state, start, end, f"make bench, {files}")
            if not result.succeeded:
                raise UserError(f"the run failed, so there is nothing to compare; the logs are in {state.logs}.")
            begun = time.perf_counter()
            with redirect_stdout(StringIO()) as events:
                ended = update(workspace_client(state))
            seconds = time.perf_counter() - begun
            if ended != "COMPLETED":
                raise UserError(f"the update of the pipeline ended as {ended}:\n{events.getvalue()}")
            values = (files, (end - start).days, round(result.seconds, 1), round(seconds, 1), _different(state))
            steps.append(dict(zip(COLUMNS, values, strict=True)))
            start, end = end, end + timedelta(days=1)
            deliver_again(state.landing, start.date())
    finally:
        down(state)
    reset(state)
    for step in steps:
        Console().print(step)
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": hardware(),
        "steps": steps,
    }


def _different(state: LaptopState) -> list[str]:
    """Return the tables of which the pipeline has other rows than the publication, audit columns aside."""
    with spark_session(state) as spark:

        def differs(spec: TableSpec) -> bool:
            columns = [column for column in spec.columns if column not in AUDIT_ONLY]
            ours = spark.table(spec.name).select(*columns)
            theirs = spark.table(f"declarative.{spec.short_name}").select(*columns)
            return ours.count() != theirs.count() or not ours.exceptAll(theirs).isEmpty()

        return [spec.name for spec in TABLES.values() if differs(spec)]
