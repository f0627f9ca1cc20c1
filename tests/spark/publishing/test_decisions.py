"""A person's word about a build that its gate rejects: who may say it, about which build, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from spark_jobs.runtime.errors import DecisionRefused, GateRejected
from spark_jobs.runtime.job_parameters import GateParameters
from spark_jobs.storage.build_record import Build
from spark_jobs.storage.decisions import Decisions
from spark_jobs.storage.ops_volume import verdict_file
from spark_jobs.storage.verdicts import Verdict
from spark_jobs.tasks.build_to_publish import build_to_publish
from tests.spark.publishing.lakehouse import Lakehouse, order_item

NOT_AN_ITEM = "this is no order item"


@pytest.fixture(scope="module")
def lakehouse(new_lakehouse: Callable[[], Lakehouse]) -> Lakehouse:
    """One for all tests, each of which has other landing dates."""
    return new_lakehouse()


@dataclass
class Day:
    lakehouse: Lakehouse
    start: str
    end: str
    first_item: int

    def land(self, items: int, broken: int) -> None:
        ids = range(self.first_item, self.first_item + items)
        self.lakehouse.land(self.start, *(order_item(n) for n in ids), *[NOT_AN_ITEM] * broken)

    def judged(self, **changes: str) -> tuple[Build, Verdict]:
        build = self.lakehouse.build("bronze", self.start, self.end, **changes)
        return build, self.lakehouse.audit(build)

    def rejected(self, **changes: str) -> tuple[Build, Verdict]:
        """A build with more quarantined lines than a small date may have: a share, which may be overruled."""
        self.land(3, broken=6)
        build, verdict = self.judged(**changes)
        assert not verdict.success
        assert [one.rule for one in verdict.failures] == ["few_lines_of_a_small_date_are_quarantined"]
        return build, verdict

    def published(self) -> int:
        items = self.lakehouse.published("bronze.order_items")
        return items.where(f"landing_date = DATE'{self.start}'").count()


@pytest.fixture(scope="module")
def new_day(lakehouse: Lakehouse, free_dates: Iterator[tuple[str, str, int]]) -> Callable[[], Day]:
    return lambda: Day(lakehouse, *next(free_dates))


@pytest.fixture
def day(new_day: Callable[[], Day]) -> Day:
    return new_day()


def gate(lakehouse: Lakehouse, verdict: Verdict) -> dict[str, str]:
    """The task `gate` of the job without Airflow."""
    texts = {"layer": "bronze", "job_run_id": verdict.job_run_id, "repair_count": "1", "catalog": "spark_catalog"}
    folders = {"schema_prefix": "", "ops_root": str(lakehouse.ops.root), "staging_root": str(lakehouse.staging_root)}
    return build_to_publish(lakehouse.ops, GateParameters.from_texts(texts | folders))


def row(lakehouse: Lakehouse, verdict: Verdict) -> dict[str, Any]:
    rows = lakehouse.spark.table(lakehouse.names.table("ops.decisions")).where(f"build_id = '{verdict.build_id}'")
    (found,) = rows.collect()
    return found.asDict(recursive=True)


def test_a_person_publishes_what_the_gate_rejects(lakehouse: Lakehouse, day: Day) -> None:
    build, verdict = day.rejected(called_by="777")
    with pytest.raises(GateRejected, match="no successful verdict"):
        lakehouse.publish(build, verdict.fingerprint)
    with pytest.raises(GateRejected, match=rf"run the job decide.*{verdict.fingerprint}"):
        gate(lakehouse, verdict)
    lakehouse.decide(verdict, reason="<b>known</b> outage", decided_at="2018-02-01T10:00:00+00:00")
    publication = lakehouse.publish(build, verdict.fingerprint)
    assert publication.fingerprint == verdict.fingerprint
    assert day.published() == 3
    assert lakehouse.publish(build, verdict.fingerprint) == publication
    found = row(lakehouse, verdict)
    del found["decided_at"], found["job_run_id"]
    assert found == {
        "layer": "bronze",
        "build_id": build.build_id,
        "fingerprint": verdict.fingerprint,
        "interval_start": date.fromisoformat(day.start),
        "interval_end": date.fromisoformat(day.end),
        "decision": "publish",
        "reason": "<b>known</b> outage",
        "decided_by": "ann",
        "broken_rules": [
            {
                "table": "landed_files",
                "rule": "few_lines_of_a_small_date_are_quarantined",
                "landing_date": date.fromisoformat(day.start),
            }
        ],
        "confirmed_incidents": [],
    }
    text = "ann decided to publish anyway on 2018-02-01 at 10:00 UTC: <b>known</b> outage"
    for job_run_id in (verdict.job_run_id, "777"):
        file = lakehouse.ops.read_json(verdict_file("bronze", job_run_id)) or {}
        assert file["decision"]["text"] == text
        assert file["success"] is False
    page = (lakehouse.ops.root / verdict.data_docs).read_text(encoding="utf-8")
    assert text.replace("<b>", "&lt;b&gt;").replace("</b>", "&lt;/b&gt;") in page
    assert f"<code>{verdict.fingerprint}</code>" in page
    assert gate(lakehouse, verdict)["fingerprint"] == verdict.fingerprint


def test_a_column_that_others_have_added_stays(new_lakehouse: Callable[[], Lakehouse]) -> None:
    lakehouse = new_lakehouse()
    build, verdict = Day(lakehouse, "2018-01-01", "2018-01-02", 1).rejected()
    lakehouse.spark.sql(f"ALTER TABLE {lakehouse.names.table('ops.decisions')} ADD COLUMN (bi_note STRING)").collect()
    lakehouse.decide(verdict)
    assert lakehouse.publish(build, verdict.fingerprint).seq == 1
    assert row(lakehouse, verdict)["bi_note"] is None


def test_what_was_overruled_is_not_rejected_again_by_maintenance(lakehouse: Lakehouse, day: Day) -> None:
    build, verdict = day.rejected()
    lakehouse.decide(verdict)
    lakehouse.publish(build, verdict.fingerprint)
    lakehouse.maintain("2018-03-01", table_retention_days="90")
    lakehouse.spark.sql(f"DELETE FROM {lakehouse.names.table('ops.decisions')} WHERE build_id = '{verdict.build_id}'")
    with pytest.raises(GateRejected, match=day.start):
        lakehouse.maintain("2018-03-01")
    lakehouse.land(day.start, order_item(day.first_item))
    lakehouse.run(day.start, day.end, layers=("bronze",))


def confirmed_incidents(lakehouse: Lakehouse) -> set[date]:
    return {row["landing_date"] for row in Decisions(lakehouse.jobs).confirmed_incidents().collect()}


def test_a_person_rejects_and_confirms_an_incident(lakehouse: Lakehouse, day: Day) -> None:
    build, verdict = day.rejected()
    assert date.fromisoformat(day.start) not in confirmed_incidents(lakehouse)
    lakehouse.decide(verdict, "reject", confirmed_incident="true", decided_by="bob", reason="half a file")
    assert date.fromisoformat(day.start) in confirmed_incidents(lakehouse)
    with pytest.raises(GateRejected, match=r"bob decided to reject it on .*: half a file"):
        lakehouse.publish(build, verdict.fingerprint)
    with pytest.raises(GateRejected, match="bob decided to reject it"):
        gate(lakehouse, verdict)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"decided_by": "eve"}, "'eve' may not decide about gates: .* names ann, bob"),
        ({"decided_by": ""}, "may not decide"),
        ({"deciders": " , "}, "nobody may decide about gates: name the people"),
        ({"reason": " \n"}, "needs a reason"),
        ({"fingerprint": "5" * 64}, "no verdict for fingerprint"),
        ({"fingerprint": ""}, "no verdict for fingerprint"),
        ({"build_id": "1_0"}, "no verdict"),
        ({"layer": "silver"}, "no verdict"),
    ],
)
def test_a_decision_by_nobody_without_reason_or_about_nothing_is_refused(
    lakehouse: Lakehouse, rejected: tuple[Build, Verdict], changes: dict[str, str], reason: str
) -> None:
    build, verdict = rejected
    with pytest.raises(DecisionRefused, match=reason):
        lakehouse.decide(verdict, **changes)
    with pytest.raises(GateRejected, match="no successful verdict"):
        lakehouse.publish(build, verdict.fingerprint)


@pytest.fixture(scope="module")
def rejected(new_day: Callable[[], Day]) -> tuple[Build, Verdict]:
    return new_day().rejected()


def test_a_second_decision_is_refused_and_the_retry_of_a_caller_is_not(lakehouse: Lakehouse, day: Day) -> None:
    build, verdict = day.rejected()
    at = "2018-02-01T10:00:00.123456+02:00"
    first = lakehouse.decide(verdict, "reject", decided_at=at)
    assert lakehouse.decide(verdict, "reject", decided_at=at) == first
    for changes in ({"decided_at": ""}, {"decided_at": at, "decided_by": "bob"}, {"decided_at": at, "reason": "no"}):
        with pytest.raises(DecisionRefused, match="already: ann decided to reject it on 2018-02-01 at 08:00"):
            lakehouse.decide(verdict, "reject", **changes)
    with pytest.raises(DecisionRefused, match="decided about already"):
        lakehouse.decide(verdict, "publish", decided_at=at)
    assert row(lakehouse, verdict)["decision"] == "reject"
    with pytest.raises(GateRejected):
        lakehouse.publish(build, verdict.fingerprint)


def test_what_is_published_or_allowed_is_not_decided_about(lakehouse: Lakehouse, day: Day) -> None:
    day.land(3, broken=0)
    build, verdict = day.judged()
    with pytest.raises(DecisionRefused, match="allows its publication"):
        lakehouse.decide(verdict, "reject")
    seq = lakehouse.publish(build, verdict.fingerprint).seq
    with pytest.raises(DecisionRefused, match=f"is publication {seq} already"):
        lakehouse.decide(verdict, "reject")


def test_nobody_overrules_keys(lakehouse: Lakehouse, day: Day) -> None:
    """A date without one valid line breaks a share, and a rule that is none."""
    day.land(0, broken=6)
    build, verdict = day.judged()
    assert {one.rule for one in verdict.failures} == {
        "few_lines_of_a_small_date_are_quarantined",
        "a_date_with_lines_has_rows",
    }
    with pytest.raises(DecisionRefused, match="nobody may overrule a_date_with_lines_has_rows"):
        lakehouse.decide(verdict)
    lakehouse.decide(verdict, "reject")
    # And whoever writes into the table by hand does not get past publish either.
    table = lakehouse.names.table("ops.decisions")
    lakehouse.spark.sql(f"UPDATE {table} SET decision = 'publish' WHERE build_id = '{build.build_id}'")
    with pytest.raises(GateRejected, match="nobody may overrule"):
        lakehouse.publish(build, verdict.fingerprint)


def test_a_decision_does_not_outlive_another_build(lakehouse: Lakehouse, day: Day, new_day: Callable[[], Day]) -> None:
    first, verdict = day.rejected()
    new_day().rejected()  # of another date, which concerns nobody
    lakehouse.decide(verdict)
    again, newer = day.judged()
    with pytest.raises(GateRejected, match=f"but build {again.build_id} came after it"):
        lakehouse.publish(first, verdict.fingerprint)
    with pytest.raises(GateRejected, match="no successful verdict"):
        lakehouse.publish(again, newer.fingerprint)
    third, last = day.judged()
    with pytest.raises(DecisionRefused, match=f"build {third.build_id} came after"):
        lakehouse.decide(newer)
    lakehouse.decide(last)
    lakehouse.publish(third, last.fingerprint)


def test_a_publication_meanwhile_rejects_what_was_decided(lakehouse: Lakehouse, day: Day) -> None:
    """Nobody has decided about the dates as they are published since."""
    build, verdict = day.rejected()
    other = lakehouse.build("bronze", day.start, day.end)
    lakehouse.publish(other, lakehouse.approve(other).fingerprint)
    with pytest.raises(DecisionRefused, match=f"build {other.build_id} came after"):
        lakehouse.decide(verdict)
    with pytest.raises(GateRejected):
        lakehouse.publish(build, verdict.fingerprint)


def test_changed_staging_is_not_published_whatever_was_decided(lakehouse: Lakehouse, day: Day) -> None:
    build, verdict = day.rejected()
    lakehouse.decide(verdict)
    folder = lakehouse.staging_root / build.staged["bronze.order_items"].folder
    for file in folder.glob("*.parquet"):
        file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(GateRejected, match="no longer what was audited"):
        lakehouse.publish(build, verdict.fingerprint)
