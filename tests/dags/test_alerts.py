"""Alerts, at receivers that are real: an SMTP server and a web server on this machine."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from include.alerts import RunAlert, late, remember_failure, run_alerts
from include.settings import Settings, load
from tests.dags.conftest import FakeTask
from tests.dags.tiny_workspace import TinyWorkspace, verdict_with_anomaly
from tests.webhook import SECRET, Webhook
from tests.webhook import webhook as running_webhook

REPO = Path(__file__).resolve().parents[2]


class Mail:
    """An SMTP server that keeps what it gets."""

    def __init__(self) -> None:
        from aiosmtpd.controller import Controller

        self.messages: list[Any] = []
        self.controller = Controller(self, hostname="127.0.0.1", port=free_port())
        self.controller.start()
        self.url = f"mailto://127.0.0.1:{self.controller.port}?from=lake@example.com&to=ops@example.com&mode=insecure"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.messages.append(message_from_bytes(envelope.content, policy=default))
        return "250 OK"


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@pytest.fixture
def mail() -> Iterator[Mail]:
    pytest.importorskip("aiosmtpd", reason="aiosmtpd is not installed where only Airflow is")
    mail = Mail()
    yield mail
    mail.controller.stop()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with running_webhook() as webhook:
        yield webhook


@pytest.fixture
def alerting(mail: Mail, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With both as receivers, by a connection."""
    return settings(monkeypatch, mail.url, webhook.url)


def settings(monkeypatch: pytest.MonkeyPatch, *urls: str) -> Settings:
    connection = {"conn_type": "generic", "password": "\n".join(urls)}
    monkeypatch.setenv("AIRFLOW_CONN_LAKEHOUSE_ALERTS", json.dumps(connection))
    dashboard = "http://127.0.0.1:8765/dashboards/1"
    return load({"LAKEHOUSE_ALERTS_CONNECTION": "lakehouse_alerts", "LAKEHOUSE_DASHBOARD_URL": dashboard})


@pytest.fixture
def ended(context: dict[str, Any], dags: dict[str, Any]) -> dict[str, Any]:
    """The context in which Airflow calls a DAG's callbacks, of a run whose bronze gate said no."""
    pulled = {
        ("bronze.gate", "failure"): "The audit of bronze (build 123_0) forbids publishing.\n  2018-01-03: 2 rows",
        ("bronze.gate", "verdict"): {
            "layer": "bronze",
            "landing_dates": "2018-01-01 to 2018-01-07",
            "alerts": ["2018-01-14: 34 orders, expected 52 to 81 for a Sunday"],
            "decision": None,
            "pages": {"Verdict": "http://127.0.0.1:8765/verdict", "Data Docs": "http://127.0.0.1:8765/docs"},
        },
    }
    dag = dags["ecommerce_medallion"]
    ti = FakeTask(task_id="bronze.gate", dag_id=dag.dag_id, run_id="manual__1", pulled=pulled)
    return context | {"dag": dag, "run_id": "manual__1", "reason": "task_failure", "ti": ti}


def test_all_receivers_get_one_message_about_a_failed_run_with_reason_numbers_and_links(
    alerting: Settings, mail: Mail, webhook: Webhook, ended: dict[str, Any]
) -> None:
    RunAlert(alerting)(ended)
    (posted,), (message,) = webhook.posted, mail.messages
    assert posted["title"] == "ecommerce_medallion failed, landing dates 2018-01-01 to 2018-01-07"
    assert posted["type"] == "failure"
    assert message["Subject"] == posted["title"]
    assert message["To"] == "ops@example.com"
    text = message.get_body(("plain", "html")).get_content()
    for words in (
        "bronze.gate: The audit of bronze (build 123_0) forbids publishing.",
        "2018-01-03: 2 rows",
        "Found: 2018-01-14: 34 orders, expected 52 to 81 for a Sunday",
        "/dags/ecommerce_medallion/runs/manual__1",
        "Verdict of bronze: http://127.0.0.1:8765/verdict",
        "Data Docs of bronze: http://127.0.0.1:8765/docs",
        "Dashboard: http://127.0.0.1:8765/dashboards/1",
    ):
        assert words in posted["message"]
        assert words in text


def test_a_successful_run_sends_its_findings_and_nothing_without_any(
    alerting: Settings, webhook: Webhook, ended: dict[str, Any]
) -> None:
    ended["reason"] = "success"
    RunAlert(alerting)(ended)
    (posted,) = webhook.posted
    assert posted["title"] == "1 finding in ecommerce_medallion, landing dates 2018-01-01 to 2018-01-07"
    assert "forbids" not in posted["message"], "of an earlier try of the run"
    ended["ti"].pulled["bronze.gate", "verdict"]["alerts"] = []
    RunAlert(alerting)(ended)
    assert len(webhook.posted) == 1


def test_a_live_run_sends_the_findings_of_its_job_run(
    workspace: TinyWorkspace,
    webhook: Webhook,
    context: dict[str, Any],
    dags: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workspace.verdict = verdict_with_anomaly
    dag = dags["ecommerce_medallion_live"]
    dag.get_task("run").prepare_for_execution().execute(context)
    pulled = {("run", key): value for key, value in context["ti"].xcom.items()}
    ti = FakeTask(task_id="run", dag_id=dag.dag_id, run_id="scheduled__1", pulled=pulled)
    ended = context | {"dag": dag, "run_id": "scheduled__1", "reason": "success", "ti": ti}
    RunAlert(settings(monkeypatch, webhook.url))(ended)
    (posted,) = webhook.posted
    assert posted["title"] == "1 finding in ecommerce_medallion_live, landing dates 2018-01-01 to 2018-01-07"
    assert "Found: 2018-01-03: metrics_lie_in_their_bands: 34 orders, expected 52 to 81" in posted["message"]
    volume = f"http://127.0.0.1:{workspace.port}/explore/data/volumes/spark_catalog/ops/files"
    assert f"Verdict of bronze: {volume}/verdicts/bronze/1000.json" in posted["message"]
    assert f"Data Docs of gold: {volume}/data_docs/gold/1000_0/index.html" in posted["message"]


def test_a_run_without_context_sends_what_is_known(alerting: Settings, webhook: Webhook, ended: dict[str, Any]) -> None:
    """Airflow gives no more of a run whose last task it does not know."""
    RunAlert(alerting)({"dag": ended["dag"], "run_id": "manual__1", "reason": "timed_out"})
    (posted,) = webhook.posted
    assert posted["title"] == "ecommerce_medallion failed, landing dates unknown"
    assert "timed_out" in posted["message"]


def test_a_long_reason_is_cut_short(alerting: Settings, webhook: Webhook, ended: dict[str, Any]) -> None:
    ended["ti"].pulled["bronze.gate", "failure"] = "\n".join(f"line {n} {'x' * 900}" for n in range(50))
    RunAlert(alerting)(ended)
    message = webhook.posted[0]["message"]
    assert "and 30 more lines: see the log" in message
    assert len(message) < 12_000


def test_the_reason_of_a_task_is_kept_for_the_message_about_its_run(context: dict[str, Any]) -> None:
    remember_failure(context | {"exception": ValueError("no such thing")})
    assert context["ti"].xcom == {"failure": "no such thing"}


def test_a_receiver_that_is_away_or_silent_holds_nobody_up_and_is_logged_once(
    webhook: Webhook, ended: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        silent_url = f"json://127.0.0.1:{silent.getsockname()[1]}/{SECRET}?rto=1"
        away = f"json://127.0.0.1:{free_port()}/{SECRET}"
        login = f"user=lake&pass={SECRET}&from=lake@example.com&to=ops@example.com"
        mail_away = f"mailto://127.0.0.1:{free_port()}?{login}&mode=insecure"
        unknown = f"carrier-pigeon://{SECRET}"
        alerting = settings(monkeypatch, silent_url, away, mail_away, unknown, webhook.url)
        begun = time.monotonic()
        with caplog.at_level(logging.DEBUG):
            RunAlert(alerting)(ended)
    assert time.monotonic() - begun < 30
    assert len(webhook.posted) == 1
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    for words in ("receiver 1 of 5 (JSON) did not take it", "receiver 3 of 5 (E-Mail)", "receiver 4 of 5 is no URL"):
        assert words in record.getMessage()
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"LAKEHOUSE_ALERTS_CONNECTION": "no_such"}, "the connection no_such cannot be read"),
        ({"LAKEHOUSE_ALERTS_FILE": "/no/such/file"}, "/no/such/file, cannot be read"),
        ({"LAKEHOUSE_ALERTS_FILE": os.devnull}, "no receiver is named"),
    ],
)
def test_a_list_that_cannot_be_read_is_logged(
    environment: dict[str, str], reason: str, ended: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    RunAlert(load(environment))(ended)
    assert reason in caplog.text


def test_a_file_names_receivers_too_and_each_gets_one_message(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ended: dict[str, Any]
) -> None:
    file = tmp_path / "receivers"
    file.write_text(f"# the web hook\n\n{webhook.url}\n{webhook.url}\n")
    RunAlert(load({"LAKEHOUSE_ALERTS_FILE": str(file)}))(ended)
    assert len(webhook.posted) == 1


def test_a_late_run_sends_a_message(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    run = {
        "dag_id": "ecommerce_medallion",
        "dag_run_id": "scheduled__2018-01-05T00:00:00+00:00",
        "data_interval_start": "2018-01-05T00:00:00Z",
        "data_interval_end": "2018-01-06T00:00:00Z",
        "state": "running",
    }
    context = {"dag_run": run, "deadline": {"id": "1", "deadline_time": "2018-01-06T06:00:00+00:00"}}
    late(context, settings(monkeypatch, webhook.url))
    (posted,) = webhook.posted
    assert posted["title"] == "ecommerce_medallion is late, landing dates 2018-01-05"
    assert "Gold of 2018-01-05 is not published at 2018-01-06 06:00 UTC; the run is running." in posted["message"]
    assert "/runs/scheduled__2018-01-05T00%3A00%3A00%2B00%3A00" in posted["message"]


@pytest.mark.parametrize(
    ("run_type", "begun_before", "end", "deadline"),
    [
        ("scheduled", timedelta(0), "00:00", "06:30"),
        ("scheduled", timedelta(0), "02:30", "06:30"),  # of a schedule that does not run at midnight
        ("scheduled", timedelta(days=2), "00:00", None),  # the schedule catches up
        ("manual", timedelta(0), "00:00", None),
        ("backfill", timedelta(0), "00:00", None),
    ],
)
def test_the_scheduler_counts_the_deadline_from_the_end_of_the_landing_dates(
    run_type: str, begun_before: timedelta, end: str, deadline: str | None
) -> None:
    from airflow.models import DagRun
    from airflow.models.tasklog import LogTemplate
    from airflow.serialization.decoders import decode_deadline_alert
    from airflow.serialization.encoders import encode_deadline_alert
    from sqlalchemy import create_engine, insert
    from sqlalchemy.orm import Session

    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    last = midnight + timedelta(hours=int(end[:2]), minutes=int(end[3:])) - begun_before
    settings = load({"LAKEHOUSE_ALERTS_CONNECTION": "alerts", "LAKEHOUSE_DEADLINE": "06:30"})
    alert = run_alerts(settings, has_deadline=True)["deadline"]
    restored = decode_deadline_alert(encode_deadline_alert(alert))
    engine = create_engine("sqlite://")
    LogTemplate.metadata.create_all(engine, tables=[LogTemplate.__table__, DagRun.__table__])
    with Session(engine) as session:
        row = {"dag_id": "d", "run_id": "r", "run_type": run_type, "run_after": last, "span_status": "not_started"}
        interval = {"data_interval_start": last - timedelta(days=1), "data_interval_end": last}
        session.execute(insert(DagRun.__table__).values(row | interval))
        found = restored.reference.evaluate_with(session=session, interval=restored.interval, dag_id="d", run_id="r")
    assert found == (midnight + timedelta(hours=6, minutes=30) if deadline else None)


def test_nothing_is_sent_unless_a_setting_names_receivers(dags: dict[str, Any], alerting: Settings) -> None:
    assert run_alerts(load({"LAKEHOUSE_DEADLINE": "06:00"}), has_deadline=True) == {}
    assert not any(dag.on_failure_callback or dag.deadline for dag in dags.values())
    assert set(run_alerts(alerting, has_deadline=True)) == {"on_failure_callback", "on_success_callback"}


def test_the_command_sends_a_test_message(webhook: Webhook, tmp_path: Path) -> None:
    def run(*urls: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "receivers").write_text("\n".join(urls))
        environment = {
            **os.environ,
            "LAKEHOUSE_ALERTS_FILE": str(tmp_path / "receivers"),
            "AIRFLOW_HOME": str(tmp_path),
        }
        command = [sys.executable, "-m", "include.send_test_alert"]
        return subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=120)

    done = run(webhook.url)
    assert (done.returncode, webhook.posted[0]["title"]) == (0, "A test message of the lakehouse"), done.stderr
    assert "1 of 1 took the message." in done.stdout
    done = run(webhook.url, f"json://127.0.0.1:{free_port()}/{SECRET}")
    assert done.returncode == 1
    assert "1 of 2 took the message." in done.stdout
    assert "receiver 2 of 2 (JSON) did not take it" in done.stderr
    assert SECRET not in done.stdout + done.stderr
    done = run()
    assert done.returncode == 1
    assert "no receiver is named" in done.stderr
