"""What publish refuses and what it calls stale, each case by itself; tests/spark/publishing has it on real tables."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from spark_jobs.runtime.errors import GateRejected
from spark_jobs.runtime.interval import Interval
from spark_jobs.tasks import publish as publishing

FINGERPRINT = "5" * 64
JANUARY = Interval(date(2018, 1, 5), date(2018, 1, 9))


def build(layer: str = "gold", build_id: str = "5_0", base_seq: int = 5) -> Any:
    # The layer is equal to a literal, but not the same object, as what is read from a file is.
    return SimpleNamespace(
        layer="".join(list(layer)),
        build_id=build_id,
        base=SimpleNamespace(seq=base_seq),
        interval=JANUARY,
        parameters=None,
    )


def audited(monkeypatch: pytest.MonkeyPatch, built: str, staged: str, said: set[tuple[str, ...]]) -> Any:
    """What publish makes of an order to publish build 5_0 with FINGERPRINT."""
    found = build(build_id=built)
    monkeypatch.setattr(publishing, "Build", SimpleNamespace(load=lambda ops, layer, run: found))
    monkeypatch.setattr(publishing, "fingerprint", lambda spark, build: staged)
    verdicts = SimpleNamespace(has_success=lambda *what: what in said)
    monkeypatch.setattr(publishing, "Verdicts", lambda spark, tables: verdicts)
    parameters: Any = SimpleNamespace(
        layer="gold", build_id="5_0", build_job_run_id="5", fingerprint=FINGERPRINT, tables=None
    )
    return publishing._audited_build(None, parameters, None), found  # type: ignore[arg-type]


def test_exactly_what_was_audited_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    # Equal, but not the same objects, as what is read from files is.
    yes = {("gold", "5_0", FINGERPRINT)}
    given, found = audited(monkeypatch, "".join(["5", "_0"]), "".join(["5"] * 64), yes)
    assert given is found


@pytest.mark.parametrize(
    ("built", "staged", "said"),
    [
        ("4_0", FINGERPRINT, "gold build 5_0 is not what job run 5 built last (4_0)"),
        ("5_1", FINGERPRINT, "gold build 5_0 is not what job run 5 built last (5_1)"),
        ("5_0", "4" * 64, "(fingerprint 444444444444, audited 555555555555)"),
        ("5_0", "6" * 64, "(fingerprint 666666666666, audited 555555555555)"),
    ],
)
def test_anything_else_is_refused(monkeypatch: pytest.MonkeyPatch, built: str, staged: str, said: str) -> None:
    with pytest.raises(GateRejected) as refused:
        audited(monkeypatch, built, staged, {("gold", built, staged)})
    assert said in str(refused.value)


def test_without_a_yes_nothing_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GateRejected, match=r"5_0 has no successful verdict for fingerprint 555555555555 in"):
        audited(monkeypatch, "5_0", FINGERPRINT, set())


DAYS_5_TO_8 = (date(2018, 1, 5), date(2018, 1, 9))
BEFORE = (date(2018, 1, 1), date(2018, 1, 5))
MAINTENANCE = (None, None)


@pytest.mark.parametrize(
    ("layer", "newest", "since", "stale"),
    [
        ("gold", None, [], False),
        ("gold", 5, [], False),
        ("gold", 1005, [BEFORE], True),
        ("gold", 4, [], True),
        ("silver", 6, [MAINTENANCE], True),
        ("audit", 6, [BEFORE], True),
        ("bronze", 5, [DAYS_5_TO_8], False),
        ("bronze", 6, [DAYS_5_TO_8], True),
        ("bronze", 6, [BEFORE], False),
        ("bronze", 6, [MAINTENANCE], False),
        ("bronze", 8, [BEFORE, MAINTENANCE, DAYS_5_TO_8], True),
    ],
)
def test_what_makes_a_build_stale(layer: str, newest: int | None, since: list[Any], stale: bool) -> None:
    asked = []

    def published(layer: str, seq: int) -> list[Any]:
        asked.append((layer, seq))
        return [SimpleNamespace(interval=Interval(*dates) if dates[0] else None) for dates in since]

    publication: Any = None if newest is None else SimpleNamespace(seq=newest)
    publications: Any = SimpleNamespace(since=published)
    assert publishing._is_stale(build(layer), publication, publications) is stale
    assert asked in ([], [("bronze", 5)])


def test_a_number_of_a_publication_is_compared_by_value() -> None:
    """Python keeps only small numbers once."""
    newest: Any = SimpleNamespace(seq=int("100000"))
    nothing: Any = SimpleNamespace(since=None)
    assert not publishing._is_stale(build(base_seq=int("100000")), newest, nothing)


@pytest.mark.parametrize("success", [True, False])
def test_what_is_built_again_needs_a_yes_of_its_own(monkeypatch: pytest.MonkeyPatch, success: bool) -> None:
    again: Any = SimpleNamespace(save=lambda ops: None)
    failures = [SimpleNamespace(message=f"reason {n}") for n in range(1, 8)]
    verdict = SimpleNamespace(success=success, failures=failures, fingerprint="another")
    monkeypatch.setattr(publishing, "replace", lambda parameters, **changes: SimpleNamespace(fresh_build_id="9_0"))
    monkeypatch.setattr(publishing, "BUILDERS", {"gold": lambda spark, run, build_id: again})
    monkeypatch.setattr(publishing, "audit_build", lambda spark, ops, build: verdict)
    parameters: Any = SimpleNamespace(job_run_id="9", repair_count="0")

    def build_again() -> Any:
        return publishing._build_again(None, None, build(), parameters, 1)  # type: ignore[arg-type]

    if success:
        assert build_again() == (again, "another")
    else:
        with pytest.raises(GateRejected, match=r"the gate says no: reason 1; .*reason 5$"):
            build_again()
