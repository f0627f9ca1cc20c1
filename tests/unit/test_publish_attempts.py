"""How publish begins again when other runs come first, step by step; tests/spark/publishing has it on real tables."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spark_jobs.runtime.errors import PublicationConflict
from spark_jobs.runtime.interval import Interval
from spark_jobs.storage.commit import Committed, ConcurrentCommit
from spark_jobs.storage.ops_volume import OpsVolume
from spark_jobs.storage.publications import Publication
from spark_jobs.tasks import publish as publishing

JOB_RUN = "77"
SHARE = 0.011
"""Of a second, for this job run: the last three digits of its SHA-256 as a number."""
PARAMETERS: Any = SimpleNamespace(tables="tables", layer="gold", fingerprint="audited", job_run_id=JOB_RUN)


def published(seq: int, tables: dict[str, int], row_counts: dict[str, int]) -> Publication:
    return Publication(
        layer="gold",
        seq=seq,
        base_seq=seq - 1,
        below_seq=None,
        interval_start=None,
        interval_end=None,
        tables=tables,
        row_counts=row_counts,
        fingerprint="before",
        gate_fingerprint="before",
        build_id="before",
        job_run_id="1",
        code_version="before",
    )


class World:
    """What publish meets: the newest publication, whether its build is stale, and what its commits and appends do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.newest: Publication | None = published(5, {"gold.a": 7, "gold.b": 8}, {"gold.a": 10, "gold.b": 20})
        self.stale: list[bool] = []
        self.commits: list[Any] = []
        self.appends: list[bool] = []
        self.appended: list[Publication] = []
        self.dropped: list[Any] = []
        self.slept: list[float] = []
        self.built: list[tuple[Any, int]] = []
        monkeypatch.setattr(publishing, "restore_heads", lambda spark, tables, layer, newest: {"gold.a": 7})
        monkeypatch.setattr(publishing, "_is_stale", lambda *_: bool(self.stale) and self.stale.pop(0))
        monkeypatch.setattr(publishing, "commit", self._commit)
        monkeypatch.setattr(publishing, "_build_again", self._build_again)
        monkeypatch.setattr(publishing, "code_version", lambda: "code")
        monkeypatch.setattr(publishing.staging, "drop", lambda spark, staged: self.dropped.append(staged))
        monkeypatch.setattr(publishing.time, "sleep", self.slept.append)

    def _commit(self, *_: Any) -> dict[str, Committed]:
        outcome = self.commits.pop(0) if self.commits else {"gold.a": Committed(8, 3), "gold.b": Committed(8, -1)}
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _build_again(self, spark: Any, ops: Any, build: Any, parameters: Any, attempt: int) -> tuple[Any, str]:
        self.built.append((build, attempt))
        return build_of(f"again{attempt}"), f"audited{attempt}"

    def append(self, publication: Publication) -> bool:
        self.appended.append(publication)
        return not self.appends or self.appends.pop(0)

    def publish(self, below: Any = None) -> Publication:
        publications: Any = SimpleNamespace(newest=lambda layer: self.newest, append=self.append)
        return publishing._publish(None, PARAMETERS, None, publications, build_of("first", below))  # type: ignore[arg-type]


def build_of(build_id: str, below: Any = None) -> Any:
    days = Interval(date(2018, 1, 5), date(2018, 1, 9))
    return SimpleNamespace(layer="gold", build_id=build_id, below=below, interval=days, staged=f"staged {build_id}")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_a_publication_counts_on_from_the_newest(world: World) -> None:
    world.commits = [{"gold.a": Committed(8, 3), "gold.b": Committed(8, -1), "gold.c": Committed(1, 5)}]
    publication = world.publish()
    assert publication == Publication(
        layer="gold",
        seq=6,
        base_seq=5,
        below_seq=None,
        interval_start=date(2018, 1, 5),
        interval_end=date(2018, 1, 9),
        tables={"gold.a": 8, "gold.b": 8, "gold.c": 1},
        row_counts={"gold.a": 13, "gold.b": 19, "gold.c": 5},
        fingerprint="audited",
        gate_fingerprint="audited",
        build_id="first",
        job_run_id=JOB_RUN,
        code_version="code",
    )
    assert world.appended == [publication]
    assert world.dropped == ["staged first"]
    assert world.slept == world.built == []


def test_the_first_publication_counts_from_nothing(world: World) -> None:
    world.newest = None
    publication = world.publish(below=SimpleNamespace(seq=9))
    assert (publication.seq, publication.base_seq, publication.below_seq) == (1, 0, 9)
    assert publication.row_counts == {"gold.a": 3, "gold.b": -1}


def test_it_steps_aside_longer_each_time_and_by_a_share_of_its_own(world: World) -> None:
    world.commits = [ConcurrentCommit("gold.a"), ConcurrentCommit("gold.b"), ConcurrentCommit("gold.a")]
    assert world.publish().seq == 6
    assert world.slept == [1 + SHARE, 2 * (1 + SHARE), 4 * (1 + SHARE)]
    assert world.built == []


def test_what_another_run_overtook_is_built_again_until_it_is_the_newest(world: World) -> None:
    world.stale = [True, True]
    publication = world.publish()
    assert [(build.build_id, attempt) for build, attempt in world.built] == [("first", 1), ("again1", 2)]
    assert (publication.build_id, publication.fingerprint) == ("again2", "audited2")
    assert publication.gate_fingerprint == "audited", "what Airflow's gate let pass"
    assert world.dropped == ["staged first", "staged again1", "staged again2"]


def test_a_number_that_another_run_took_is_tried_again_and_at_last_given_up(world: World) -> None:
    world.appends = [False]
    assert world.publish() == world.appended[1]
    assert len(world.appended) == 2
    world.appends = [False] * 100
    with pytest.raises(PublicationConflict, match=f"by other runs {publishing.ATTEMPTS} times"):
        world.publish()
    assert len(world.appended) == 2 + publishing.ATTEMPTS
    assert world.dropped == ["staged first"], "what was not published stays staged"


@pytest.mark.parametrize("already", [True, False])
def test_what_is_told_to_airflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, already: bool) -> None:
    standing = published(4, {"gold.a": 7}, {"gold.a": 10})
    publications = SimpleNamespace(
        create=lambda: None, with_fingerprint=lambda layer, fingerprint: standing if already else None
    )
    audited: list[Any] = []
    monkeypatch.setattr(publishing, "Publications", lambda spark, tables: publications)
    monkeypatch.setattr(publishing, "_audited_build", lambda *given: audited.append(given) or "the build")
    monkeypatch.setattr(publishing, "_publish", lambda *given: standing if given[-1] == "the build" else None)
    parameters: Any = SimpleNamespace(**vars(PARAMETERS), ops_root=str(tmp_path))
    assert publishing.publish(None, parameters) == standing  # type: ignore[arg-type]
    assert len(audited) == (0 if already else 1), "what is published needs no staging any more"
    told = OpsVolume(str(tmp_path)).read_json(f"publications/{JOB_RUN}.json")
    assert told == {
        "layer": "gold",
        "seq": 4,
        "interval_start": None,
        "interval_end": None,
        "fingerprint": "before",
        "build_id": "before",
        "job_run_id": JOB_RUN,
        "already_published": already,
        "tables": {"gold.a": {"version": 7, "rows": 10}},
    }, json.dumps(told)
