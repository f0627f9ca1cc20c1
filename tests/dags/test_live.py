"""The live DAG: what makes a look run its job, and what is kept of the job run's verdicts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from include.failures import JobFailed
from include.look_at_landing import LookAtLanding
from include.operators import MedallionOperator
from include.settings import load
from include.verdict_file import VERDICTS_KEY
from tests.dags.tiny_workspace import LANDING, OPS, TinyWorkspace, verdict_with_anomaly


class Looks:
    """Looks one after the other, each of which knows what the last one has left."""

    def __init__(self, days: str) -> None:
        self.operator = LookAtLanding(task_id="look", settings=load({"LAKEHOUSE_LIVE_DAYS": days}))
        self.seen: Any = None

    def look(self, day: int = 1) -> bool:
        """Return whether the run goes on that a day of February begins."""
        ti = SimpleNamespace(xcom_pull=lambda **_: self.seen, xcom_push=self._push)
        dag_run = SimpleNamespace(run_after=datetime(2018, 2, day, 23, tzinfo=UTC))
        try:
            self.operator.execute({"ti": ti, "dag_run": dag_run})
        except AirflowSkipException:
            return False
        return True

    def _push(self, key: str, value: Any) -> None:
        self.seen = value


@pytest.fixture
def landing(workspace: TinyWorkspace) -> TinyWorkspace:
    workspace.folders[LANDING] = [f"dt=2018-01-{day:02d}" for day in range(1, 6)]
    for folder in workspace.folders[LANDING]:
        workspace.folders[f"{LANDING}/{folder}"] = ["orders.csv"]
    return workspace


def lands(folder: str, name: str) -> Callable[[TinyWorkspace], None]:
    def land(workspace: TinyWorkspace) -> None:
        if folder not in workspace.folders[LANDING]:
            workspace.folders[LANDING].append(folder)
        workspace.folders.setdefault(f"{LANDING}/{folder}", []).append(name)

    return land


def rewritten(folder: str, content: bytes, modified: int) -> Callable[[TinyWorkspace], None]:
    def rewrite(workspace: TinyWorkspace) -> None:
        path = f"{LANDING}/{folder}/orders.csv"
        workspace.files[path] = content
        workspace.modified[path] = modified

    return rewrite


@pytest.mark.parametrize(
    ("change", "goes_on"),
    [
        pytest.param(lambda workspace: None, False, id="nothing new"),
        pytest.param(lands("dt=2018-01-06", "orders.csv"), True, id="a new date"),
        pytest.param(lands("dt=2017-12-31", "orders.csv"), True, id="an old date that is new"),
        pytest.param(lands("dt=2018-01-05", "more.csv"), True, id="one more file"),
        pytest.param(rewritten("dt=2018-01-05", b"another size", 1), True, id="another size"),
        pytest.param(rewritten("dt=2018-01-05", b"a file", 2), True, id="the same size, another time"),
        pytest.param(rewritten("dt=2018-01-01", b"another size", 2), False, id="an old folder, which is not read"),
        pytest.param(lands("dt=2018-01-05", "more.csv.part"), False, id="a file that is being written"),
        pytest.param(lands("dt=2018-1-6", "orders.csv"), False, id="a broken folder name"),
    ],
)
def test_a_look_goes_on_where_something_changed(
    landing: TinyWorkspace, change: Callable[[TinyWorkspace], Any], goes_on: bool
) -> None:
    looks = Looks(days="3")
    assert looks.look(), "the first look goes on"
    assert not looks.look()
    change(landing)
    assert looks.look() == goes_on
    assert not looks.look(), "what was seen is not seen again"


def test_the_first_look_of_a_day_goes_on(landing: TinyWorkspace) -> None:
    """The dates that were being delivered have ended."""
    looks = Looks(days="3")
    assert [looks.look(day) for day in (1, 1, 2, 2)] == [True, False, True, False]


def test_a_look_starts_no_job_run(landing: TinyWorkspace) -> None:
    Looks(days="3").look()
    assert landing.runs == {}
    assert len(landing.requests) == 5, "the root, three folders, and the ops volume"


def test_without_a_landing_folder_nothing_is_run(workspace: TinyWorkspace) -> None:
    del workspace.folders[LANDING]
    assert not Looks(days="3").look()


def come_to(workspace: TinyWorkspace, **layers: tuple[int, int | None]) -> None:
    """Layers have come so far: the newest publication, and the upstream one that was published or rejected."""
    for layer, (seq, upstream_seq) in layers.items():
        name = f"progress_{layer}.json"
        workspace.write(f"{OPS}/{name}", {"seq": seq, "upstream_seq": upstream_seq})
        workspace.folders[OPS] = sorted({*workspace.folders[OPS], name})


@pytest.fixture
def looks(landing: TinyWorkspace) -> Looks:
    """Looks at a lakehouse in which all layers have come equally far."""
    come_to(landing, bronze=(1, None), silver=(1, 1), gold=(1, 1))
    made = Looks(days="3")
    assert [made.look(), made.look()] == [True, False]
    return made


def test_a_layer_that_stays_behind_is_run_once(landing: TinyWorkspace, looks: Looks) -> None:
    come_to(landing, bronze=(2, None))
    assert [looks.look() for _ in range(4)] == [False, True, False, False]
    come_to(landing, silver=(2, 2))
    assert [looks.look() for _ in range(4)] == [False, True, False, False], "now gold alone is behind"
    come_to(landing, silver=(3, 2))
    assert [looks.look() for _ in range(2)] == [False, False], "the run has published silver again, and not gold"
    come_to(landing, gold=(2, 3))
    assert [looks.look() for _ in range(2)] == [False, False]
    come_to(landing, bronze=(3, None))
    assert [looks.look() for _ in range(3)] == [False, True, False], "another publication is another reason"


def test_a_layer_that_is_never_published_is_behind(landing: TinyWorkspace) -> None:
    looks = Looks(days="3")
    assert looks.look()
    come_to(landing, bronze=(1, None))
    assert [looks.look() for _ in range(3)] == [False, True, False]


def test_runs_on_their_way_through_the_layers_are_left_alone(landing: TinyWorkspace, looks: Looks) -> None:
    for seq in range(2, 6):
        come_to(landing, bronze=(seq, None))
        assert not looks.look()
        come_to(landing, silver=(seq, seq))
        assert not looks.look()
        come_to(landing, gold=(seq, seq))


def test_a_layer_that_its_gate_has_rejected_is_not_run_again(landing: TinyWorkspace, looks: Looks) -> None:
    come_to(landing, bronze=(2, None), silver=(1, 2))
    assert not any(looks.look() for _ in range(4))


def tried(context: dict[str, Any], token: str) -> dict[str, list[str]]:
    """What a try of the task `run` leaves for the message about its run: alerts by layer."""
    context["ti"].id = token
    context["ti"].xcom.clear()
    settings = load({"LAKEHOUSE_POLL_SECONDS": "0.2", "LAKEHOUSE_API_RETRIES": "1"})
    with suppress(JobFailed):
        MedallionOperator(task_id="run", settings=settings).execute(context)
    return {verdict["layer"]: verdict["alerts"] for verdict in context["ti"].xcom[VERDICTS_KEY]}


ANOMALY = ["2018-01-03: metrics_lie_in_their_bands: 34 orders, expected 52 to 81"]


def test_the_verdicts_of_the_job_run_are_kept(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    workspace.verdict = verdict_with_anomaly
    assert tried(context, "ti-1") == {"bronze": ANOMALY, "silver": [], "gold": []}


def test_a_retry_keeps_what_an_earlier_try_has_found_and_a_clear_does_not(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    workspace.verdict, workspace.result, workspace.audited = verdict_with_anomaly, "FAILED", ("bronze",)
    assert tried(context, "ti-1") == {"bronze": ANOMALY}
    workspace.result, workspace.audited = "SUCCESS", ("silver", "gold")
    assert tried(context, "ti-2") == {"bronze": ANOMALY, "silver": [], "gold": []}
    context["ti"].max_tries += 3
    workspace.audited = ()
    assert tried(context, "ti-3") == {}
    assert len(workspace.runs) == 3


def test_of_a_job_run_that_has_audited_nothing_no_verdict_is_looked_for(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    workspace.audited = ()
    assert tried(context, "ti-1") == {}
    assert not [path for _, path in workspace.requests if "/fs/files/" in path]


def test_a_verdict_that_cannot_be_read_is_a_finding_and_no_failure(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    workspace.verdict, workspace.audited = lambda *_: None, ("bronze",)
    (alert,) = tried(context, "ti-1")["bronze"]
    assert alert.startswith("the verdict on bronze cannot be read, so look at it: There is no file")
