"""Alerts: messages to people about failed runs, rejected builds, findings, lateness, and questions to them.

There is one message per run, when it has ended: Airflow's DAG processor calls `RunAlert` then, so retries send nothing,
and a receiver that is slow or cannot be reached delays no run. Receivers are Apprise URLs (mail, Slack,
Teams, webhooks and more), which hold secrets: nothing here logs one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseHook, BaseNotifier
from airflow.sdk.configuration import conf
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert

from include.deadlines import LandingDateEnd
from include.failures import IntervalRefused
from include.intervals import date_ranges, days, landing_dates
from include.settings import SETTINGS, Settings
from include.verdict_file import VERDICT_KEY, VERDICTS_KEY

log = logging.getLogger(__name__)
FAILURE_KEY = "failure"
"""XCom key of the reason for which a task has failed for good."""
MOST_LINES, MOST_CHARACTERS = 20, 500
"""The limits of one failure in a message: its lines, and the characters of each."""


class AlertsUnusable(Exception):
    """The list of receivers cannot be read; the text holds no secret."""


def receivers(settings: Settings = SETTINGS, password: Callable[[str], str | None] | None = None) -> list[str]:
    """Return the Apprise URLs of the receivers, each once. Raises `AlertsUnusable`.

    `password` looks up the password of a connection; by default as tasks and callbacks of Airflow do.
    """
    urls: list[str] = []
    if settings.alerts_connection:
        try:
            urls += ((password or _password)(settings.alerts_connection) or "").split()
        except Exception as error:  # noqa: BLE001 - whatever a secrets backend raises, its text may hold a secret
            raise AlertsUnusable(
                f"the connection {settings.alerts_connection} cannot be read ({type(error).__name__}): it needs Apprise"
                " URLs, separated by blanks, as its password"
            ) from None
    if settings.alerts_file:
        try:
            lines = Path(settings.alerts_file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise AlertsUnusable(
                f"LAKEHOUSE_ALERTS_FILE, {settings.alerts_file}, cannot be read ({type(error).__name__})"
            ) from None
        urls += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not urls:
        raise AlertsUnusable(
            "no receiver is named: give Apprise URLs as the password of the connection LAKEHOUSE_ALERTS_CONNECTION, or"
            " in the file LAKEHOUSE_ALERTS_FILE"
        )
    return list(dict.fromkeys(urls))


def _password(connection: str) -> str | None:
    found: str | None = BaseHook.get_connection(connection).password
    return found


def send(title: str, body: str, urls: Sequence[str], *, kind: str = "warning") -> list[str]:
    """Send a message to all receivers; return a sentence, without its URL, for each that did not get it."""
    with _silent("apprise", "urllib3"):
        faults = [_sent_to(url, title, body, kind) for url in urls]
    return [f"receiver {number} of {len(urls)} {fault}" for number, fault in enumerate(faults, start=1) if fault]


def _sent_to(url: str, title: str, body: str, kind: str) -> str | None:
    """Send a message to one receiver; return what went wrong, without its URL."""
    import apprise

    server = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if server is None:
        return "is no URL that Apprise knows"
    try:
        sent = server.notify(title=title, body=body, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises, the others get theirs
        return f"({server.service_name}) failed: {type(error).__name__}"
    return None if sent else f"({server.service_name}) did not take it"


@contextmanager
def _silent(*names: str) -> Iterator[None]:
    """Keep loggers silent: they log addresses, which hold secrets. The caller logs what went wrong."""
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def alert(title: str, lines: Sequence[str], settings: Settings = SETTINGS, *, kind: str = "warning") -> None:
    """Send a message to all receivers; log once, and raise nothing, where some did not get it."""
    try:
        failed = send(title, "\n".join(lines), receivers(settings), kind=kind)
    except AlertsUnusable as error:
        failed = [str(error)]
    if failed:
        log.error("The alert %r did not reach everybody: %s.", title, "; ".join(failed))
    else:
        log.info("The alert %r was sent.", title)


class RunAlert(BaseNotifier):
    """One message about a run that has ended: why it failed, and what its gates found."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        super().__init__()
        self.settings = settings

    def notify(self, context: Any) -> None:
        """Send the message; none about a run that succeeded without a finding."""
        dag_id, run_id = context["dag"].dag_id, context["run_id"]
        pull, task_ids = _puller(context), list(context["dag"].task_ids)
        failures = {task: reason for task in task_ids if (reason := pull(task, FAILURE_KEY))}
        verdicts = [verdict for task in task_ids if (verdict := pull(task, VERDICT_KEY))]
        verdicts += [verdict for task in task_ids for verdict in pull(task, VERDICTS_KEY) or []]
        found = [line for verdict in verdicts for line in verdict.get("alerts") or []]
        has_failed = context.get("reason") != "success"
        if not (has_failed or found):
            return
        # A run of the live DAG has no landing dates: its job finds them.
        judged = dict.fromkeys(verdict["landing_dates"] for verdict in verdicts if "landing_dates" in verdict)
        dates = ", ".join(judged) or _dates(context.get("dag_run"))
        if has_failed:
            title = f"{dag_id} failed, landing dates {dates}"
            lines = [line for task, reason in failures.items() for line in _shortened(f"{task}: {reason}")]
            lines = lines or [f"A task failed without a reason ({context.get('reason')}): see its log."]
        else:
            title = f"{len(found)} {'finding' if len(found) == 1 else 'findings'} in {dag_id}, landing dates {dates}"
            lines = []
        lines += [f"Found: {line}" for line in found]
        lines += [verdict["decision"] for verdict in verdicts if verdict.get("decision")]
        lines += ["", f"Run: {run_page(dag_id, run_id)}"]
        for verdict in verdicts:
            lines += [f"{name} of {verdict['layer']}: {url}" for name, url in (verdict.get("pages") or {}).items()]
        alert(title, [*lines, *_dashboard(self.settings)], self.settings, kind="failure" if has_failed else "warning")


def remember_failure(context: Any) -> None:
    """Keep the reason for which a task has failed for good, for the message about its run."""
    reason = str(context.get("exception") or "no reason reported")
    context["ti"].xcom_push(key=FAILURE_KEY, value=reason)


def alert_of_question(context: Any, settings: Settings, subject: str, lines: Sequence[str]) -> None:
    """Send the question that a gate asks."""
    if not settings.has_receivers:
        return
    ti = context["ti"]
    pages = [f"Answer: {run_page(ti.dag_id, ti.run_id)}/tasks/{quote(ti.task_id)}/required_actions"]
    alert(subject, [*lines, "", *pages, *_dashboard(settings)], settings)


def late(context: dict[str, Any], settings: Settings = SETTINGS) -> None:
    """Send a message that a run has not ended at its deadline. Airflow calls this, with the run as in its API."""
    run, deadline = context["dag_run"], context["deadline"]["deadline_time"]
    moment = deadline if isinstance(deadline, datetime) else datetime.fromisoformat(str(deadline))
    start, end = (datetime.fromisoformat(run[name]) for name in ("data_interval_start", "data_interval_end"))
    dates = date_ranges(days(start.date(), end.date()))
    alert(
        f"{run['dag_id']} is late, landing dates {dates}",
        [
            f"Gold of {dates} is not published at {moment:%Y-%m-%d %H:%M} UTC; the run is {run['state']}.",
            "",
            f"Run: {run_page(run['dag_id'], run['dag_run_id'])}",
            *_dashboard(settings),
        ],
        settings,
    )


def run_alerts(settings: Settings = SETTINGS, *, has_deadline: bool = False) -> dict[str, Any]:
    """Return the arguments that make a DAG send alerts; none without a receiver."""
    if not settings.has_receivers:
        return {}
    notifier = RunAlert(settings)
    arguments: dict[str, Any] = {"on_failure_callback": notifier, "on_success_callback": notifier}
    if has_deadline and settings.deadline is not None:
        arguments["deadline"] = DeadlineAlert(LandingDateEnd(), settings.deadline, SyncCallback(late))
    return arguments


def run_page(dag_id: str, run_id: str) -> str:
    """Return the address of a run in Airflow."""
    base = conf.get("api", "base_url", fallback="http://localhost:8080")
    return f"{str(base).rstrip('/')}/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}"


def _puller(context: Any) -> Callable[[str, str], Any]:
    ti = context.get("ti")
    return (lambda task, key: ti.xcom_pull(task_ids=task, key=key)) if ti else (lambda *_: None)


def _dates(run: Any) -> str:
    try:
        return date_ranges(days(*landing_dates(run))) if run else "unknown"
    except IntervalRefused:
        return "none"


def _dashboard(settings: Settings) -> list[str]:
    return [f"Dashboard: {settings.dashboard_url}"] if settings.dashboard_url else []


def _shortened(text: str) -> list[str]:
    lines = [line[:MOST_CHARACTERS] for line in text.splitlines() if line.strip()]
    more = [f"  and {len(lines) - MOST_LINES} more lines: see the log"] if len(lines) > MOST_LINES else []
    return lines[:MOST_LINES] + more
