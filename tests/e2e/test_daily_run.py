"""The product's main job, whole: through Airflow's scheduler, the provider, the workspace, Spark and Delta."""

from __future__ import annotations

from datetime import timedelta

from spark_jobs.runtime.table_names import LAYERS
from tests.e2e.conftest import (
    FOURTH,
    ClearedRun,
    FirstRun,
    LiveRun,
    RejectedRun,
    Source,
    StartedAgain,
    Stopped,
    Totals,
)
from tests.e2e.lake import SERVICES, Lake


def test_a_run_succeeds_and_its_gates_have_judged(first_run: FirstRun) -> None:
    assert [report.layer for report in first_run.reports] == list(LAYERS)
    for report in first_run.reports:
        statistics = report.verdict["statistics"]
        assert report.verdict["success"]
        assert statistics["evaluated"] == statistics["successful"] > 10
        assert report.publication["seq"] == 1
    assert None not in first_run.job_runs


def test_a_run_waits_for_a_day_that_lands_late_and_the_tables_agree_with_plain_python(
    source: Source, first_run: FirstRun
) -> None:
    (check,) = (task for task in first_run.result.tasks if task.task_id == "check_landing")
    assert check.try_number > 1
    assert first_run.totals == Totals.of_rows(source.rows)


def test_the_gate_stops_a_spoiled_day(first_run: FirstRun, spoiled_run: RejectedRun) -> None:
    tasks = {task.task_id: task for task in spoiled_run.result.tasks}
    assert tasks["bronze.build"].state == "success"
    assert tasks["bronze.gate"].state == "failed"
    assert tasks["bronze.gate"].try_number == 1, "the verdict stays the same, so there is no retry"
    assert {tasks[f"{layer}.publish"].state for layer in LAYERS} == {"upstream_failed"}
    assert (spoiled_run.contents, spoiled_run.versions) == (first_run.contents, first_run.versions)
    assert str(FOURTH) in spoiled_run.reasons
    assert f"first dt={FOURTH}/orders.csv line 2 (" in spoiled_run.reasons
    assert "found 54 instead of 53" in spoiled_run.reasons
    assert spoiled_run.verdicts == [("bronze", False)]


def test_a_persons_word_is_asked_for_recorded_and_counts(spoiled_run: RejectedRun) -> None:
    assert spoiled_run.decisions == [("bronze", "reject", "admin", "half of it was cut off", [FOURTH])]
    assert "admin decided to reject it" in spoiled_run.reasons


def test_people_get_the_question_and_one_message_about_the_failed_run(spoiled_run: RejectedRun) -> None:
    question, failure = spoiled_run.messages
    assert question["title"] == f"bronze, landing dates {FOURTH}: publish although the gate says no?"
    assert failure["title"] == f"ecommerce_medallion failed, landing dates {FOURTH}"
    for words in (
        "found 54 instead of 53",
        "admin decided to reject it",
        "Data Docs of bronze: http://",
        "Run: http://",
    ):
        assert words in failure["message"]


def test_a_cleared_run_runs_again_and_ends_in_the_same_tables_whatever_is_killed(
    first_run: FirstRun, cleared_run: ClearedRun
) -> None:
    reused = set(first_run.job_runs) & set(cleared_run.job_runs)
    assert not reused, "a job run was reported again instead of run again"
    assert cleared_run.contents == first_run.contents
    assert cleared_run.job_processes == [], "a job's process outlived its run"


def test_each_killed_service_is_named_within_ten_seconds(cleared_run: ClearedRun) -> None:
    news = "\n".join(cleared_run.news)
    for name in (*SERVICES[1:], "Spark"):
        assert name in news, news


def test_spark_has_its_settings_when_it_was_started_again_too(cleared_run: ClearedRun) -> None:
    assert cleared_run.settings == {
        "spark.sql.codegen.wholeStage": "true",
        "spark.sql.catalogImplementation": "hive",
    }


def test_the_live_dag_runs_what_has_landed_beside_a_daily_run_of_the_same_date(
    source: Source, live_run: LiveRun
) -> None:
    day = source.days[FOURTH]
    assert live_run.totals == Totals.of_rows(source.rows + day.rows)
    assert live_run.rebuilt == {FOURTH}, "only the date that has changed is built"
    assert live_run.reported == [(FOURTH, FOURTH + timedelta(days=1), 1, len(day.rows))]


def test_a_look_without_news_starts_no_job_run(live_run: LiveRun) -> None:
    states = {task.task_id: task.state for task in live_run.looked_again.tasks}
    assert states == {"look": "skipped", "run": "skipped"}


def test_nothing_private_and_no_secret_is_in_any_log(lake: Lake, live_run: LiveRun) -> None:
    secrets = {path.read_text().strip() for path in lake.state.secrets.rglob("*") if path.is_file()}
    logs = [*lake.state.logs.glob("*.log"), *(lake.state.airflow_home / "logs").rglob("*.log")]
    logs += [path for path in (lake.state.root / "workspace" / "runs").rglob("*") if path.is_file()]
    assert len(logs) > 10
    for path in logs:
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not [secret for secret in secrets if secret in text], path
        assert "XXXXXXXXX" not in text, path  # what DataCo has for e-mail addresses and passwords


def test_up_starts_what_is_dead_and_leaves_the_rest_alone(started_again: StartedAgain) -> None:
    changed = {name for name, pid in started_again.before.items() if started_again.after[name] != pid}
    assert changed == {"supervisor", "airflow-dag-processor"}


def test_down_leaves_no_process(stopped: Stopped) -> None:
    assert stopped == Stopped(processes=[], is_up=False, taken_ports=[])
