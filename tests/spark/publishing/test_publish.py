"""The task `publish`, on bronze: only what was audited, in one publication, whatever fails or happens on the way."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from spark_jobs.runtime.code_version import code_version
from spark_jobs.runtime.errors import (
    BuildMissing,
    GateRejected,
    NothingLanded,
    PublicationConflict,
    TableDropped,
)
from spark_jobs.storage.build_record import Build
from spark_jobs.storage.ops_volume import build_file, publication_file
from spark_jobs.storage.publications import Publication, Publications
from spark_jobs.storage.verdicts import Verdict, Verdicts
from tests.spark.publishing.interleaving import InterleavedSession, Interleaving
from tests.spark.publishing.lakehouse import Lakehouse, order_item

REPO = Path(__file__).resolve().parents[3]
NOT_AN_ITEM = "this is no order item"


@pytest.fixture(scope="module")
def lakehouse(new_lakehouse: Callable[[], Lakehouse]) -> Lakehouse:
    """One for all tests, each of which has other landing dates."""
    lakehouse = new_lakehouse()
    lakehouse.land("2017-12-31", order_item(1, **{"order date (DateOrders)": "12/31/2017 10:00"}))
    lakehouse.run("2017-12-31", "2018-01-01", layers=("bronze",), audited=False)
    return lakehouse


@pytest.fixture(scope="module")
def another_session(spark: SparkSession, spark_remote: str) -> Iterator[SparkSession]:
    session = SparkSession.builder.remote(spark_remote).create()
    yield session
    session.stop()


@pytest.fixture(scope="module")
def other_publications(lakehouse: Lakehouse, another_session: SparkSession) -> Publications:
    """As another run sees and writes them."""
    return Publications(replace(lakehouse.jobs, spark=another_session))


@dataclass
class Day:
    """A landing date, and order items with ids that no other date has."""

    lakehouse: Lakehouse
    start: str
    end: str
    first_item: int

    def land(self, items: int, *more: str) -> list[int]:
        """Delivers the day again; the ids of its items."""
        ids = list(range(self.first_item, self.first_item + items))
        self.lakehouse.land(self.start, *map(order_item, ids), *more)
        return ids

    def approved(self) -> tuple[Build, str]:
        """A build of the day, and the fingerprint of its verdict."""
        build = self.lakehouse.build("bronze", self.start, self.end)
        return build, self.lakehouse.approve(build).fingerprint

    def publish(self) -> Publication:
        return self.lakehouse.publish(*self.approved())

    def published(self) -> list[int]:
        items = self.lakehouse.published("bronze.order_items").where(f"landing_date = DATE'{self.start}'")
        return sorted(row["order_item_id"] for row in items.select("order_item_id").collect())


@pytest.fixture(scope="module")
def new_day(lakehouse: Lakehouse, free_dates: Iterator[tuple[str, str, int]]) -> Callable[[], Day]:
    """The next landing date that no other test has."""
    return lambda: Day(lakehouse, *next(free_dates))


@pytest.fixture
def day(new_day: Callable[[], Day]) -> Day:
    return new_day()


def newest(lakehouse: Lakehouse) -> Publication:
    publication = lakehouse.publications.newest("bronze")
    assert publication is not None
    return publication


def test_a_publication_records_what_was_published_and_is_reported(lakehouse: Lakehouse, day: Day) -> None:
    day.land(3, NOT_AN_ITEM)
    before = newest(lakehouse)
    build, fingerprint = day.approved()
    publication = lakehouse.publish(build, fingerprint, job_run_id="77")
    gained = {"bronze.landed_files": 1, "bronze.order_items": 3, "bronze.quarantine": 1, "bronze.metrics": 34}
    assert publication == Publication(
        layer="bronze",
        seq=before.seq + 1,
        previous_seq=before.seq,
        upstream_seq=None,
        interval_start=date.fromisoformat(day.start),
        interval_end=date.fromisoformat(day.end),
        tables=lakehouse.heads("bronze"),
        row_counts={table: before.row_counts[table] + rows for table, rows in gained.items()},
        fingerprint=fingerprint,
        gate_fingerprint=fingerprint,
        build_id=build.build_id,
        job_run_id="77",
        code_version=code_version(),
    )
    assert newest(lakehouse) == publication
    assert lakehouse.ops.read_json(publication_file("77")) == {
        "layer": "bronze",
        "seq": publication.seq,
        "interval_start": day.start,
        "interval_end": day.end,
        "fingerprint": fingerprint,
        "build_id": build.build_id,
        "job_run_id": "77",
        "already_published": False,
        "tables": {
            table: {"version": version, "rows": publication.row_counts[table]}
            for table, version in publication.tables.items()
        },
    }
    assert not [name for name in lakehouse.staging() if build.build_id == name], "staging of a published build is left"


def test_publishing_again_what_is_published_writes_nothing(lakehouse: Lakehouse, day: Day) -> None:
    day.land(1)
    build, fingerprint = day.approved()
    publication = lakehouse.publish(build, fingerprint)
    heads = lakehouse.heads("bronze")
    assert lakehouse.publish(build, fingerprint, job_run_id="78") == publication
    assert lakehouse.heads("bronze") == heads
    report = lakehouse.ops.read_json(publication_file("78"))
    assert report is not None
    assert (report["already_published"], report["seq"], report["job_run_id"]) == (True, publication.seq, "78")


def test_the_next_publish_restores_what_one_that_died_half_way_has_written(lakehouse: Lakehouse, day: Day) -> None:
    name = lakehouse.names.table("bronze.order_items")
    before = lakehouse.published("bronze.order_items").count()
    lakehouse.spark.sql(f"DELETE FROM {name}").collect()
    assert lakehouse.published("bronze.order_items").count() == before, "readers of the publication see it"
    day.land(1)
    day.publish()
    assert lakehouse.spark.table(name).count() == before + 1


class Died(Exception):
    """Stands for the end of the process."""


def test_a_first_publish_that_died_leaves_nothing_behind(new_lakehouse: Callable[[], Lakehouse]) -> None:
    def die() -> None:
        raise Died

    lakehouse = new_lakehouse()
    dead, live = (Day(lakehouse, f"2018-01-0{n}", f"2018-01-0{n + 1}", 100 * n) for n in (1, 2))
    dead.land(1)
    build, fingerprint = dead.approved()
    dying = InterleavedSession(
        lakehouse.spark, Interleaving(rf"MERGE INTO {lakehouse.names.table('ops.publications')}", die)
    )
    with pytest.raises(Died):
        lakehouse.publish(build, fingerprint, spark=dying)
    assert lakehouse.spark.table(lakehouse.names.table("bronze.order_items")).count() == 1, "it died before its commit"
    live.land(2)
    publication = live.publish()
    assert (publication.seq, publication.previous_seq) == (1, 0)
    rows = {"bronze.landed_files": 1, "bronze.order_items": 2, "bronze.quarantine": 0, "bronze.metrics": 33}
    assert publication.row_counts == rows
    assert (dead.published(), live.published()) == ([], [200, 201])


def test_nothing_is_published_without_a_successful_verdict(lakehouse: Lakehouse, day: Day) -> None:
    day.land(1)
    before = newest(lakehouse)
    build, fingerprint = day.approved()
    with pytest.raises(GateRejected, match=f"{build.build_id} has no successful verdict for fingerprint"):
        lakehouse.publish(build, _reject(lakehouse, build))
    day.land(2)
    other = lakehouse.build("bronze", day.start, day.end)
    with pytest.raises(GateRejected, match=f"no successful verdict for fingerprint {fingerprint[:12]}"):
        lakehouse.publish(other, fingerprint)
    assert newest(lakehouse) == before


def _reject(lakehouse: Lakehouse, build: Build) -> str:
    """The newest verdict on the build becomes a rejection; its fingerprint."""
    verdict: Verdict = lakehouse.approve(build)
    Verdicts(lakehouse.jobs).append(replace(verdict, success=False))
    return verdict.fingerprint


def test_a_build_that_its_audit_rejects_is_not_published(lakehouse: Lakehouse, day: Day) -> None:
    day.land(1, *[NOT_AN_ITEM] * 10)
    before = lakehouse.heads("bronze")
    build = lakehouse.build("bronze", day.start, day.end)
    verdict = lakehouse.audit(build)
    assert not verdict.success
    assert any(day.start in failure.message for failure in verdict.failures)
    with pytest.raises(GateRejected, match="no successful verdict"):
        lakehouse.publish(build, verdict.fingerprint)
    assert lakehouse.heads("bronze") == before


def test_only_the_newest_build_of_a_job_run_is_published(lakehouse: Lakehouse, day: Day) -> None:
    """A repair of a job run builds again under the same job run id."""
    day.land(1)
    build, fingerprint = day.approved()
    repaired = lakehouse.build("bronze", day.start, day.end, job_run_id=build.job_run_id, repair_count="1")
    message = f"{build.build_id} is not what job run {build.job_run_id} built last \\({repaired.build_id}\\)"
    with pytest.raises(GateRejected, match=message):
        lakehouse.publish(build, fingerprint)


def test_staging_that_changed_after_the_audit_is_not_published(lakehouse: Lakehouse, day: Day) -> None:
    day.land(2)
    build, fingerprint = day.approved()
    before = newest(lakehouse)
    (file,) = (lakehouse.staging_root / build.staged["bronze.order_items"].folder).glob("*.parquet")
    rows = pq.read_table(file)
    pq.write_table(rows.slice(0, 1), file)
    with pytest.raises(GateRejected, match="no longer what was audited"):
        lakehouse.publish(build, fingerprint)
    file.unlink()
    with pytest.raises(BuildMissing, match="is gone"):
        lakehouse.publish(build, fingerprint)
    assert newest(lakehouse) == before


AUDITED_ELSEWHERE = """
import json, sys
from pathlib import Path
from spark_jobs.quality.fingerprint import fingerprint_as_built
from spark_jobs.quality.rules import rules_hash
from spark_jobs.runtime.code_version import code_version
from spark_jobs.storage.build_record import Build
from spark_jobs.storage.ops_volume import OpsVolume
build = Build.load(OpsVolume(Path(sys.argv[1])), "bronze", sys.argv[2])
audited = {"fingerprint": fingerprint_as_built(build), "rules": rules_hash("bronze"), "code_version": code_version()}
print(json.dumps(audited))
"""


@dataclass
class OtherCode:
    """A copy of the code and the rules, as another deploy has them."""

    folder: Path
    lakehouse: Lakehouse

    def audit(self, build: Build) -> str:
        """Approves a build; the fingerprint of the verdict."""
        command = [sys.executable, "-c", AUDITED_ELSEWHERE, str(self.lakehouse.ops.root), build.job_run_id]
        done = subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True)
        audited = replace(self.lakehouse.approve(build), **json.loads(done.stdout))
        Verdicts(self.lakehouse.jobs).append(audited)
        return audited.fingerprint


@pytest.fixture
def other_code(lakehouse: Lakehouse, tmp_path: Path) -> OtherCode:
    for package in ("spark_jobs", "gx"):
        shutil.copytree(REPO / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return OtherCode(tmp_path, lakehouse)


@pytest.mark.parametrize(
    ("file", "text", "other"),
    [
        ("spark_jobs/layers/bronze/values.py", "# a comment\n", "# another comment\n"),
        ("gx/suites/bronze_rows.json", '"max_value": ', '"max_value": 1'),
        ("gx/rules/bronze.quarantine.yml", "rules:", "rules:  # all of them"),
    ],
)
def test_a_deploy_between_audit_and_publish_makes_publish_build_again(
    lakehouse: Lakehouse, day: Day, other_code: OtherCode, file: str, text: str, other: str
) -> None:
    items = day.land(2)
    build = lakehouse.build("bronze", day.start, day.end)
    changed = other_code.folder / file
    content = changed.read_text()
    changed.write_text(content.replace(text, other) if text in content else content + other)
    fingerprint = other_code.audit(build)
    assert fingerprint != lakehouse.approve(build).fingerprint
    publication = lakehouse.publish(build, fingerprint)
    assert publication.build_id != build.build_id
    assert (publication.gate_fingerprint, publication.code_version) == (fingerprint, code_version())
    assert lakehouse.publish(build, fingerprint) == publication, "a retry finds it"
    assert day.published() == items
    assert not {build.build_id, publication.build_id} & set(lakehouse.staging()), "staging is left"


def test_what_is_built_again_after_a_deploy_is_judged_by_the_new_rules_and_only_as_it_was_staged(
    lakehouse: Lakehouse, day: Day, other_code: OtherCode
) -> None:
    day.land(2)
    build = lakehouse.build("bronze", day.start, day.end)
    with (other_code.folder / "spark_jobs/layers/bronze/values.py").open("a") as changed:
        changed.write("\n")
    fingerprint = other_code.audit(build)
    before = newest(lakehouse)
    day.land(1, *[NOT_AN_ITEM] * 10)
    with pytest.raises(GateRejected, match=f"the code or the rules changed.*gate rejects it: .*{day.start}"):
        lakehouse.publish(build, fingerprint)
    (file,) = (lakehouse.staging_root / build.staged["bronze.order_items"].folder).glob("*.parquet")
    file.write_bytes(file.read_bytes() + b"0")
    with pytest.raises(GateRejected, match="no longer what was audited"):
        lakehouse.publish(build, fingerprint)
    assert newest(lakehouse) == before


def test_a_new_lakehouse_has_no_publications_yet(new_lakehouse: Callable[[], Lakehouse]) -> None:
    """The first read makes their table."""
    lakehouse = new_lakehouse()
    lakehouse.spark.sql(f"DROP TABLE {lakehouse.names.table('ops.publications')}")
    assert lakehouse.publications.newest("bronze") is None
    assert lakehouse.publications.inputs("silver").upstream is None


def test_a_record_of_another_shape_is_named(lakehouse: Lakehouse, day: Day) -> None:
    day.land(1)
    build, fingerprint = day.approved()
    path = build_file("bronze", build.job_run_id)
    record = lakehouse.ops.read_json(path)
    assert record is not None
    without_a_parameter = {name: text for name, text in record["parameters"].items() if name != "date_order"}
    for other, named in (({"of_tomorrow": 1}, "of_tomorrow"), ({"parameters": without_a_parameter}, "date_order")):
        lakehouse.ops.write_json(path, {**record, **other})
        with pytest.raises(GateRejected, match=f"job run {build.job_run_id}.*{named}.*run the job bronze_build"):
            lakehouse.publish(build, fingerprint)


def test_dates_that_another_run_published_meanwhile_are_built_again(lakehouse: Lakehouse, day: Day) -> None:
    """The newest delivery is published, not the one of the older build."""
    day.land(1)
    late, fingerprint = day.approved()
    items = day.land(3)
    day.publish()
    publication = lakehouse.publish(late, fingerprint)
    assert publication.fingerprint != fingerprint
    assert publication.gate_fingerprint == fingerprint, "by which a retry finds it"
    assert publication.build_id != late.build_id
    assert day.published() == items
    staging = [name for name in lakehouse.staging() if name in (late.build_id, publication.build_id)]
    assert not staging, "staging of the older or of the newer build is left"
    assert lakehouse.publish(late, fingerprint) == publication


def test_what_is_built_again_is_audited_again(lakehouse: Lakehouse, day: Day) -> None:
    day.land(1)
    late, fingerprint = day.approved()
    day.land(2)
    between = day.publish()
    day.land(1, *[NOT_AN_ITEM] * 10)
    with pytest.raises(GateRejected, match=f"built again.*its gate rejects it: .*{day.start}"):
        lakehouse.publish(late, fingerprint)
    assert newest(lakehouse) == between


def test_other_dates_and_maintenance_leave_a_build_as_it_is(lakehouse: Lakehouse, new_day: Callable[[], Day]) -> None:
    day, other = new_day(), new_day()
    items = day.land(1)
    build, fingerprint = day.approved()
    other_items = other.land(1)
    between = other.publish()
    maintained = replace(
        between,
        seq=between.seq + 1,
        previous_seq=between.seq,
        interval_start=None,
        interval_end=None,
        gate_fingerprint="",
    )
    assert lakehouse.publications.append(maintained)
    publication = lakehouse.publish(build, fingerprint)
    assert (publication.seq, publication.fingerprint) == (maintained.seq + 1, fingerprint)
    assert (day.published(), other.published()) == (items, other_items)


@pytest.mark.parametrize("after", [False, True], ids=["before its own", "after its own"])
def test_a_commit_of_another_writer_is_noticed_and_undone(
    lakehouse: Lakehouse, another_session: SparkSession, day: Day, after: bool
) -> None:
    items, name = day.land(2), lakehouse.names.table("bronze.order_items")
    before = lakehouse.published("bronze.order_items").count()
    build, fingerprint = day.approved()
    intruder = Interleaving(
        rf"INSERT INTO {name} ",
        lambda: another_session.sql(f"DELETE FROM {name} WHERE order_item_id = 1").collect(),
        after=after,
    )
    publication = lakehouse.publish(build, fingerprint, spark=InterleavedSession(lakehouse.spark, intruder))
    assert intruder.happened == 1
    assert publication.fingerprint == fingerprint, "nobody published, so it is published as it was built"
    assert day.published() == items
    assert lakehouse.published("bronze.order_items").count() == before + 2


def test_a_table_that_is_dropped_before_its_first_publication_is_made_again(
    new_lakehouse: Callable[[], Lakehouse],
) -> None:
    lakehouse = new_lakehouse()
    day = Day(lakehouse, "2018-01-01", "2018-01-02", 1)
    day.land(1)
    build, fingerprint = day.approved()
    name = lakehouse.names.table("bronze.order_items")
    intruder = Interleaving(rf"INSERT INTO {name} ", lambda: lakehouse.spark.sql(f"DROP TABLE {name}"))
    publication = lakehouse.publish(build, fingerprint, spark=InterleavedSession(lakehouse.spark, intruder))
    assert lakehouse.publications.newest("bronze") == publication
    assert lakehouse.published("bronze.order_items").count() == 1


def taking_its_number(
    lakehouse: Lakehouse, publications: Publications, times: int
) -> tuple[InterleavedSession, list[Publication]]:
    """A session in which another run publishes first, each time that its own tries to; and what that run published."""
    others: list[Publication] = []

    def publish_first() -> None:
        previous = publications.newest("bronze")
        assert previous is not None
        published = replace(
            previous, seq=previous.seq + 1, previous_seq=previous.seq, interval_start=None, gate_fingerprint="another's"
        )
        assert publications.append(published)
        others.append(published)

    merge = rf"MERGE INTO {lakehouse.names.table('ops.publications')} "
    return InterleavedSession(lakehouse.spark, Interleaving(merge, publish_first, times=times)), others


def test_of_two_publishers_at_the_same_number_one_begins_again(
    lakehouse: Lakehouse, other_publications: Publications, day: Day
) -> None:
    items = day.land(1)
    before = newest(lakehouse)
    session, others = taking_its_number(lakehouse, other_publications, times=1)
    publication = lakehouse.publish(*day.approved(), spark=session)
    assert [other.seq for other in others] == [before.seq + 1]
    assert publication.seq == before.seq + 2
    assert day.published() == items


def test_a_publish_to_which_others_come_first_again_and_again_gives_up(
    lakehouse: Lakehouse, other_publications: Publications, day: Day
) -> None:
    """A date without a line: nothing is committed, so its attempts are short."""
    day.land(0)
    before = newest(lakehouse)
    build, fingerprint = day.approved()
    session, others = taking_its_number(lakehouse, other_publications, times=100)
    with pytest.raises(PublicationConflict, match="run the task again") as conflict:
        lakehouse.publish(build, fingerprint, spark=session)
    assert f"by other runs {len(others)} times" in str(conflict.value)
    assert newest(lakehouse) == others[-1]
    assert others[-1].seq == before.seq + len(others)
    assert [name for name in lakehouse.staging() if build.build_id == name], "a retry needs the staging"
    assert lakehouse.publish(build, fingerprint).seq == others[-1].seq + 1


def test_of_publications_appended_at_the_same_time_one_gets_the_number(
    lakehouse: Lakehouse, other_publications: Publications
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    previous = newest(lakehouse)
    wanted = replace(
        previous, seq=previous.seq + 1, previous_seq=previous.seq, interval_start=None, gate_fingerprint=""
    )
    with ThreadPoolExecutor(2) as pool:
        appended = [
            pool.submit(publications.append, replace(wanted, job_run_id=str(number)))
            for number, publications in enumerate((lakehouse.publications, other_publications))
        ]
    got_it = [number for number, one in enumerate(appended) if one.result()]
    assert len(got_it) == 1
    assert newest(lakehouse) == replace(wanted, job_run_id=str(got_it[0]))


def test_a_date_that_has_not_landed_is_named_or_left_as_published(
    lakehouse: Lakehouse, new_day: Callable[[], Day]
) -> None:
    first, second = new_day(), new_day()
    items, more_items = first.land(1), second.land(1)
    lakehouse.run(first.start, second.end, layers=("bronze",), audited=False)
    landed = lakehouse.landing / f"dt={second.start}"
    landed.rename(lakehouse.landing / "_not_landed")
    with pytest.raises(NothingLanded, match=second.start):
        lakehouse.build("bronze", first.start, second.end)
    lakehouse.run(first.start, second.end, layers=("bronze",), audited=False, allow_missing_dates="true")
    assert (first.published(), second.published()) == (items, more_items)
    second.land(0)
    lakehouse.run(first.start, second.end, layers=("bronze",), audited=False)
    assert (first.published(), second.published()) == (items, []), "a file with a header only withdraws its date"


def test_a_published_table_that_was_dropped_is_named(new_lakehouse: Callable[[], Lakehouse]) -> None:
    lakehouse = new_lakehouse()
    first, second = Day(lakehouse, "2018-01-01", "2018-01-02", 1), Day(lakehouse, "2018-01-02", "2018-01-03", 10)
    first.land(1, NOT_AN_ITEM)
    first.publish()
    second.land(1)
    build, fingerprint = second.approved()
    name = lakehouse.names.table("bronze.quarantine")
    lakehouse.spark.sql(f"DROP TABLE {name}")
    remedy = "START=2018-01-01 END=2018-01-02.*UNDROP TABLE"
    with pytest.raises(TableDropped, match=f"{name} was published at version 1 and is gone.*{remedy}"):
        lakehouse.publish(build, fingerprint)
    lakehouse.run("2018-01-01", "2018-01-03", layers=("bronze",), audited=False)
    assert lakehouse.published("bronze.quarantine").count() == 1, "a run of all landing dates makes it again"
    assert lakehouse.published("bronze.order_items").count() == 2


def test_a_dropped_table_comes_back_over_a_gap_of_landing_dates(new_lakehouse: Callable[[], Lakehouse]) -> None:
    """The date between has never landed, so a run without an interval lists the dates that it takes."""
    lakehouse = new_lakehouse()
    first, last = Day(lakehouse, "2018-01-01", "2018-01-02", 1), Day(lakehouse, "2018-01-03", "2018-01-04", 10)
    for day in (first, last):
        day.land(1, NOT_AN_ITEM)
        day.publish()
    before = lakehouse.everything("bronze")
    lakehouse.spark.sql(f"DROP TABLE {lakehouse.names.table('bronze.quarantine')}")
    remedy = "LAKEHOUSE_ALLOW_MISSING_DATES=true make medallion START=2018-01-01 END=2018-01-04"
    with pytest.raises(TableDropped, match=remedy):
        last.publish()
    found = lakehouse.look(date(2018, 1, 5))
    assert (found.pop("changed"), found["dates"]) == ("true", "2018-01-01,2018-01-03")
    lakehouse.run(found.pop("interval_start"), found.pop("interval_end"), ("bronze",), audited=False, **found)
    assert lakehouse.everything("bronze") == before
    lakehouse.spark.sql(f"DROP TABLE {lakehouse.names.table('bronze.metrics')}")
    lakehouse.run(first.start, last.end, ("bronze",), audited=False, allow_missing_dates="true")  # as the remedy does
    assert lakehouse.everything("bronze") == before


def test_a_build_that_was_never_recorded_is_named(lakehouse: Lakehouse, day: Day) -> None:
    day.land(1)
    build, fingerprint = day.approved()
    (Path(lakehouse.ops.root) / build_file("bronze", build.job_run_id)).unlink()
    with pytest.raises(BuildMissing, match=f"job run {build.job_run_id}.*run the job bronze_build"):
        lakehouse.publish(build, fingerprint)
