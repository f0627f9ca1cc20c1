"""The DAG files: they parse with the packages of requirements.txt alone, and set what operations rely on."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
LAYERS = ("bronze", "silver", "gold")

PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
banned = [m for m in sys.modules if m.split(".")[0] in {"pyspark", "great_expectations", "delta", "spark_jobs", "gx"}]
print(json.dumps({"errors": bag.import_errors, "dags": sorted(bag.dags), "banned": banned}))
"""


HASH = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.models.serialized_dag import SerializedDagModel
from airflow.serialization.serialized_objects import DagSerialization
dags = DagBag(sys.argv[1]).dags
print(json.dumps({name: SerializedDagModel.hash(DagSerialization.to_dict(dag)) for name, dag in sorted(dags.items())}))
"""


INTERVAL = ("interval_start", "interval_end")
PASSED_AT_RUN_TIME = {
    **{f"{layer}_build": INTERVAL for layer in LAYERS},
    "publish": ("build_job_run_id", "build_id", "fingerprint"),
    "decide": ("layer", "build_id", "fingerprint", "decision", "reason", "decided_by", "decided_at"),
    "synthetic_feed": INTERVAL,
    "maintenance": (),
    "ecommerce_medallion": (),
}


MAY_BE_EMPTY = {
    **{key: set[str]() for key in PASSED_AT_RUN_TIME},
    **{f"{layer}_build": {"called_by", "dates", "open_from"} for layer in LAYERS},
    "ecommerce_medallion": {*INTERVAL, "open_from"},
    "synthetic_feed": {"incidents"},
}
"""Parameters that mean something when they are empty: no job has started this one; all dates; no incident."""


def job_tasks(dag: Any) -> list[Any]:
    return [t for t in dag.tasks if hasattr(t, "job_name")]


def test_parses_with_only_what_an_airflow_worker_has(tmp_path: Path) -> None:
    state = Path(os.environ.get("LAKEHOUSE_STATE", REPO / ".state"))
    python = state / "venv" / "airflow" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"there is no environment made of requirements.txt alone ({python})")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AIRFLOW_HOME": str(tmp_path),
        "PYTHONPATH": str(REPO),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    done = subprocess.run(
        [python, "-c", PARSE, str(REPO / "dags")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["errors"] == {}
    assert found["dags"] == [
        "ecommerce_medallion",
        "ecommerce_medallion_live",
        "lakehouse_maintenance",
        "synthetic_feed",
    ]
    assert found["banned"] == []


def test_an_unchanged_dag_makes_no_new_version(tmp_path: Path) -> None:
    """As in github.com/apache/airflow/issues/56471: the order of a set, or an address in memory, makes one at each
    parse."""

    def hashes(seed: str) -> str:
        environment = {
            **{"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(REPO), "PYTHONHASHSEED": seed},
            **{"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPO / "plugins"),
        }
        done = subprocess.run(
            [sys.executable, "-c", HASH, str(REPO / "dags")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.splitlines()[-1]

    first = hashes("1")
    assert "ecommerce_medallion" in json.loads(first)
    assert hashes("2") == first


def test_the_chain_of_tasks(dags: dict[str, Any]) -> None:
    dag = dags["ecommerce_medallion"]
    chain = ["check_landing", *(f"{layer}.{task}" for layer in LAYERS for task in ("build", "gate", "publish"))]
    assert sorted(dag.task_ids) == sorted(chain)
    for before, after in pairwise(chain):
        assert dag.get_task(before).downstream_task_ids == {after}


def test_every_task_has_owner_retries_timeout_and_notifier(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        assert dag.tags
        assert dag.doc_md
        assert not dag.catchup
        for task in dag.tasks:
            assert task.owner == "lakehouse"
            assert task.retries > 0
            assert task.execution_timeout
            assert task.on_failure_callback
            assert "upstream" in repr(task.weight_rule).lower(), "tasks near the end of a run come first"
    assert dags["synthetic_feed"].is_paused_upon_creation
    assert dags["ecommerce_medallion_live"].is_paused_upon_creation
    assert dags["lakehouse_maintenance"].is_paused_upon_creation is False, "whatever Airflow's own default"


def test_job_tasks_are_deferrable_in_their_pool_with_one_token_per_try(dags: dict[str, Any]) -> None:
    tasks = [task for dag in dags.values() for task in job_tasks(dag)]
    assert len(tasks) == 12
    for task in tasks:
        assert task.deferrable
        layer = task.task_id.partition(".")[0]
        assert task.pool == (f"databricks_{layer}" if layer in ("bronze", "silver", "gold") else "databricks")
        assert task.idempotency_token == "{{ ti.id }}"
        assert task.retry_exponential_backoff == 2
        assert not task.repair_run


def test_check_landing_has_a_retry_schedule_of_its_own(dags: dict[str, Any]) -> None:
    dag = dags["ecommerce_medallion"]
    landing, build = dag.get_task("check_landing"), dag.get_task("bronze.build")
    assert (landing.retries, landing.retry_delay) == (12, timedelta(minutes=15))
    assert landing.retry_exponential_backoff == 0
    assert (build.retries, build.retry_delay) == (2, timedelta(seconds=30))


def test_jobs_and_their_parameters_are_those_of_the_bundle(dags: dict[str, Any]) -> None:
    bundle: dict[str, Any] = {}
    for file in sorted((REPO / "resources").glob("*.yml")):
        bundle.update(yaml.safe_load(file.read_text()).get("resources", {}).get("jobs", {}))
    for dag in dags.values():
        for task in job_tasks(dag):
            job = bundle[task.job_name]
            declared = {p["name"]: p["default"] for p in job["parameters"]}
            passed = set(task.job_parameters or {}) | set(PASSED_AT_RUN_TIME[task.job_name])
            assert passed <= set(declared), f"{task.task_id} passes parameters that {task.job_name} does not declare"
            needed = {name for name, default in declared.items() if default == ""} - MAY_BE_EMPTY[task.job_name]
            assert needed <= passed, f"{task.task_id} omits parameters of {task.job_name} without default"
            assert timedelta(seconds=job["timeout_seconds"]) < task.execution_timeout, "the job must end first"


def test_published_tables_are_outlets(dags: dict[str, Any]) -> None:
    uris = {a.uri for t in dags["ecommerce_medallion"].tasks for a in t.outlets}
    assert len(uris) == 11
    assert "databricks://workspace/spark_catalog/gold/customers360" in uris


def test_tolerated_missing_dates_are_passed_to_the_jobs() -> None:
    from airflow.sdk import DAG

    from include.layer_group import layer_group
    from include.operators import JobRunOperator
    from include.settings import load

    with DAG("allowing", schedule=None) as dag:
        layer_group("bronze", load({"LAKEHOUSE_ALLOW_MISSING_DATES": "true"}))
    build = dag.get_task("bronze.build")
    assert isinstance(build, JobRunOperator)
    assert (build.job_parameters or {})["allow_missing_dates"] == "true"


@pytest.mark.parametrize(
    "environment",
    [
        {"LAKEHOUSE_RETRIES": "many"},
        {"LAKEHOUSE_POLL_SECONDS": "0"},
        {"LAKEHOUSE_POLL_SECONDS": "often"},
        {"LAKEHOUSE_POLL_SECONDS": "nan"},
        {"LAKEHOUSE_ALLOW_MISSING_DATES": "perhaps"},
        {"LAKEHOUSE_SCHEDULE_START": "soon"},
        {"LAKEHOUSE_SCHEDULE_END": "next year"},
        {"LAKEHOUSE_DEADLINE": "6"},
        {"LAKEHOUSE_DEADLINE": "24:00"},
        {"LAKEHOUSE_DECISION_WAIT": "a day"},
    ],
)
def test_an_invalid_setting_names_its_variable(environment: dict[str, str]) -> None:
    from include.settings import load

    with pytest.raises(ValueError, match=next(iter(environment))):
        load(environment)


def test_templates_render_without_a_data_interval_and_to_no_secret(dags: dict[str, Any]) -> None:
    """A run that was triggered without a logical date has no data interval."""
    import pendulum

    from tests.dags.tiny_workspace import TOKEN

    class Ti:
        id = "0190-ti"

        def xcom_pull(self, task_ids: str, key: str) -> Any:
            return {("silver.build", "run_id"): 17}.get((task_ids, key))

    run = SimpleNamespace(data_interval_end=None, run_after=pendulum.datetime(2018, 1, 8))
    context = {"ti": Ti(), "dag_run": run}
    rendered = {}
    for dag_id, task_id in (
        ("ecommerce_medallion", "silver.build"),
        ("ecommerce_medallion", "silver.gate"),
        ("ecommerce_medallion", "silver.publish"),
        ("lakehouse_maintenance", "maintenance"),
        ("synthetic_feed", "land"),
    ):
        task = dags[dag_id].get_task(task_id).prepare_for_execution()
        task.render_template_fields(context)
        rendered[task_id] = {field: getattr(task, field) for field in task.template_fields}
    assert rendered["silver.build"]["idempotency_token"] == "0190-ti"
    assert rendered["silver.gate"]["build_job_run_id"] == "17"
    assert rendered["maintenance"]["job_parameters"] == {"as_of": "2018-01-08T00:00:00+00:00"}
    assert TOKEN not in str(rendered)


def next_interval(timetable: Any, last: Any = None, *, catchup: bool) -> Any:
    """Return the start of the next interval, as the scheduler (no catch-up) or a backfill asks; None for no run."""
    import pendulum
    from airflow.timetables.base import DataInterval, TimeRestriction

    info = timetable.next_dagrun_info(
        last_automated_data_interval=last and DataInterval(last, last.add(days=1)),
        restriction=TimeRestriction(earliest=pendulum.datetime(2018, 2, 10), latest=None, catchup=catchup),
    )
    return info and info.data_interval.start


def restored_timetable(start: str | None, end: str | None) -> Any:
    """Return the timetable of these bounds after a round trip through Airflow's serialization."""
    from datetime import UTC, datetime

    from include.timetables import LandingDateTimetable

    def day(text: str | None) -> datetime | None:
        return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None

    timetable = LandingDateTimetable("0 0 * * *", "UTC", day(start), day(end))
    return LandingDateTimetable.deserialize(timetable.serialize())


def test_scheduler_stops_at_the_end_of_the_schedule_but_backfill_does_not() -> None:
    import pendulum

    timetable = restored_timetable(None, "2018-02-01")
    assert next_interval(timetable, catchup=False) is None
    assert next_interval(timetable, catchup=True) == pendulum.datetime(2018, 2, 10)


def test_scheduler_catches_up_from_the_start_of_the_schedule_to_its_end() -> None:
    import pendulum

    timetable = restored_timetable("2018-01-30", "2018-02-01")
    first = next_interval(timetable, catchup=False)
    assert first == pendulum.datetime(2018, 1, 30)
    second = next_interval(timetable, first, catchup=False)
    assert second == pendulum.datetime(2018, 1, 31)
    assert next_interval(timetable, second, catchup=False) is None


def test_a_schedule_without_bounds_makes_the_newest_interval() -> None:
    import pendulum

    newest = next_interval(restored_timetable(None, None), catchup=False)
    assert newest == pendulum.today("UTC").subtract(days=1)


def test_a_manual_run_gets_no_interval_from_the_clock() -> None:
    import pendulum

    at = pendulum.datetime(2018, 1, 5, 14, 32)
    interval = restored_timetable(None, None).infer_manual_data_interval(run_after=at)
    assert (interval.start, interval.end) == (at, at)


def test_maintenance_begins_with_the_first_whole_week_of_a_new_lakehouse_and_then_makes_up_for_missed_ones() -> None:
    import pendulum

    from include.timetables import MaintenanceTimetable

    def next_week(start: pendulum.DateTime | None, last: Any = None) -> Any:
        timetable = MaintenanceTimetable("0 3 * * 0", "UTC", start)
        return next_interval(MaintenanceTimetable.deserialize(timetable.serialize()), last, catchup=False)

    now = pendulum.now("UTC")
    newest_week = next_week(None)
    assert newest_week <= now.subtract(weeks=1), "without a start, the newest complete week at once"
    assert next_week(now) > now.subtract(hours=1), "nothing runs beside the first run"
    assert next_week(now.subtract(weeks=3)) == newest_week, "the machine was off at the end of the week"
    assert next_week(now.subtract(weeks=9), last=newest_week.subtract(weeks=4)) == newest_week


def test_plugin_registers_timetable_links_and_listener() -> None:
    from include.timetables import LandingDateTimetable, MaintenanceTimetable
    from plugins.lakehouse_plugin import LakehousePlugin

    assert LakehousePlugin.timetables == [LandingDateTimetable, MaintenanceTimetable]
    assert [link.name for link in LakehousePlugin.operator_extra_links] == ["Verdict", "Data Docs"]
    assert LakehousePlugin.listeners
    assert LakehousePlugin.external_views == [], "no tab where no dashboard is named"


def test_the_tab_leads_to_the_dashboard() -> None:
    address = "http://127.0.0.1:8765/dashboards"
    code = "from plugins.lakehouse_plugin import LakehousePlugin as p; print(p.external_views)"
    environment = os.environ | {"LAKEHOUSE_DASHBOARD_URL": address, "PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    (view,) = ast.literal_eval(done.stdout.splitlines()[-1])
    assert (view["name"], view["href"], view["destination"]) == ("Lakehouse", address, "nav")
