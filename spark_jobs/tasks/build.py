"""The task `build`: derives what changed in a layer and stages it. Nothing published is touched."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial, reduce
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.layers.bronze.bronze_tables import LANDED_FILES, LANDED_LINES, ORDER_ITEMS, QUARANTINE
from spark_jobs.layers.bronze.landed_lines import VALID, BuildStamp, landed_lines
from spark_jobs.layers.bronze.row_rules import bronze_row_rules
from spark_jobs.layers.gold.customers360 import ATTRIBUTES, CUSTOMERS360, MEASURES, customer_measures, scored_customers
from spark_jobs.layers.gold.orders_enriched import ORDERS_ENRICHED, changed_periods, orders_enriched, placed_within
from spark_jobs.layers.gold.product_totals import ITEM_COLUMNS, PRODUCT_TOTALS, updated_totals
from spark_jobs.layers.silver.dimensions import CUSTOMERS, DIMENSIONS, PRODUCTS, Dimension
from spark_jobs.layers.silver.orders import ORDERS, orders
from spark_jobs.quality.anomalies import AnomalySettings
from spark_jobs.runtime.code_version import code_version
from spark_jobs.runtime.concurrency import run_together
from spark_jobs.runtime.errors import TableDropped
from spark_jobs.runtime.secret_store import secret
from spark_jobs.runtime.session import expect_rows
from spark_jobs.runtime.table_names import UPSTREAM_LAYER
from spark_jobs.storage import delta
from spark_jobs.storage.build_record import Build, PinnedPublication
from spark_jobs.storage.changes import DELETED, changed_rows
from spark_jobs.storage.key_filter import KeyFilter
from spark_jobs.storage.landed_text import read_lines
from spark_jobs.storage.landing import LandedFile, check_unchanged, landed_files
from spark_jobs.storage.landing_names import listed
from spark_jobs.storage.local_relation import Relation, fetch, fetch_if_small, local_relation
from spark_jobs.storage.lost_tables import bronze_dates, report_lost, reported_lost, unreadable_table
from spark_jobs.storage.other_writers import readable
from spark_jobs.storage.overlay import Overlay
from spark_jobs.storage.pinned_tables import (
    BuildInputs,
    ChangedUpstream,
    build_inputs,
    changed_upstream,
    read_all_pinned,
    read_pinned,
)
from spark_jobs.storage.publications import Publications
from spark_jobs.storage.staging import (
    CHANGED_KEYS,
    StagedTable,
    changed_keys_table,
    stage,
    stage_file,
    stage_separated,
    staged_relation,
    staged_rows,
)
from spark_jobs.storage.staging import drop as drop_staging
from spark_jobs.tables.source import SourceFormat
from spark_jobs.tables.spec import TableSpec, Write

if TYPE_CHECKING:
    from spark_jobs.runtime.job_parameters import BuildParameters
    from spark_jobs.storage.lakehouse import Lakehouse

log = logging.getLogger(__name__)


def build_layer(
    lakehouse: Lakehouse, parameters: BuildParameters, build_id: str | None = None, whole: str | None = None
) -> Build:
    """Build a layer, and record the build on the ops volume.

    With `whole`, the reason for it, silver or gold is a full refresh that replaces whatever is published. Raises
    NothingLanded, LandingRefused and its kinds, UpstreamMissing, TableDropped, SecretMissing.
    """
    build_id = build_id or parameters.build_id
    if parameters.layer == "bronze":
        build = _bronze(lakehouse, parameters, build_id)
    else:
        build = _from_upstream(lakehouse, parameters, build_id, whole)
    build.save(lakehouse.ops)
    log.info("%s build %s for %s: %s", build.layer, build.build_id, build.interval, build.rows)
    for note in build.notes:
        log.info(note)
    return build


# --- bronze: the landed files of the interval ---


def _bronze(lakehouse: Lakehouse, parameters: BuildParameters, build_id: str) -> Build:
    """Stage every landed line, as an order item or in quarantine, the number of lines of each file, and the metrics."""
    source_format = SourceFormat.from_texts(
        parameters.null_words,
        parameters.email_columns,
        encoding=parameters.source_encoding,
        date_order=parameters.date_order,
        max_order_age_days=parameters.max_order_age_days,
        max_order_days_ahead=parameters.max_order_days_ahead,
    )
    AnomalySettings.from_texts(parameters.critical_metrics, parameters.incident_dates)  # refused before the work
    landing = landed_files(
        parameters.landing_root,
        parameters.interval,
        source_format=source_format,
        allow_missing=parameters.allow_missing_dates,
        only=parameters.landing_dates,
    )
    expect_rows(lakehouse.spark, landing.lines)
    previous = PinnedPublication.pin(Publications(lakehouse).newest("bronze"))
    lines = landed_lines(
        read_lines(lakehouse.spark, parameters.landing_root, landing.files),
        landing.files,
        bronze_row_rules(),
        secret(parameters.email_secret),
        BuildStamp(build_id, parameters.job_run_id, code_version(), datetime.now(UTC)),
        source_format,
    )
    separated = (ORDER_ITEMS.name, QUARANTINE.name)
    staged = stage_separated(lakehouse, build_id, lines, VALID, separated, landing.lines, len(LANDED_LINES))
    check_unchanged(parameters.landing_root, landing.files)
    files = [(file.landing_date, file.path, file.lines, file.size) for file in landing.files]
    counted = pa.Table.from_pylist([dict(zip(LANDED_FILES.columns, file, strict=True)) for file in files])
    staged[LANDED_FILES.name] = stage_file(lakehouse, LANDED_FILES.name, build_id, counted)
    for spec in lakehouse.tables_of("bronze"):
        if spec.derive:
            rows = {table: staged_rows(lakehouse, table, staged[table]) for table in spec.staged_from}
            most = max(staged[table].rows for table in spec.staged_from)
            staged[spec.name] = stage(lakehouse, spec.name, build_id, spec.derive(rows), most)
    return Build(
        layer="bronze",
        build_id=build_id,
        parameters=parameters,
        previous=previous,
        upstream=None,
        previous_upstream=None,
        full_refresh=previous.seq == 0,
        staged=staged,
        rows={
            "landed": landing.lines,
            "valid": staged[ORDER_ITEMS.name].rows,
            "quarantined": staged[QUARANTINE.name].rows,
            "files": len(landing.files),
            "bytes": sum(file.size for file in landing.files),
            "newest_file": _newest(landing.files),
            "blank": sum(file.blank for file in landing.files),
        },
        notes=(*landing.notes, *_ignored(landing.files), *_open(landing.dates, parameters.first_open_date)),
        missing_dates={str(day): reason for day, reason in landing.missing.items()},
    )


def _ignored(files: Sequence[LandedFile]) -> Iterator[str]:
    """Yield what the files hold beside landed lines, in a sentence each."""
    for what, numbers in (
        ("records without any value", {file.path: file.blank for file in files}),
        ("repeated headers", {file.path: file.repeated_headers for file in files}),
    ):
        found = [path for path, number in numbers.items() if number]
        if found:
            yield f"{sum(numbers.values())} {what} ignored in {len(found)} files, the first is {found[0]}"


def _newest(files: Sequence[LandedFile]) -> str:
    """Return when the newest file was last written, as ISO text; empty without files."""
    written = max((file.modified_ns for file in files), default=0)
    return datetime.fromtimestamp(written / 1e9, UTC).isoformat() if written else ""


def _open(dates: Sequence[date], first: date | None) -> Iterator[str]:
    """Yield a sentence where dates are still being delivered."""
    if found := [str(day) for day in dates if first and day >= first]:
        yield f"still being delivered: {listed(found)}. What holds for whole dates is judged when they have ended"


# --- silver and gold: what the difference between two upstream publications changes ---


def _from_upstream(lakehouse: Lakehouse, parameters: BuildParameters, build_id: str, whole: str | None) -> Build:
    """Derive what changed; all again where what that needs can no longer be read."""
    layer = parameters.layer
    inputs, derive = build_inputs(lakehouse, layer), {"silver": _silver, "gold": _gold}[layer]
    expect_rows(lakehouse.spark, inputs.most_rows_gained)
    whole = whole or reported_lost(lakehouse, layer, inputs.previous.seq)
    if whole is None:
        try:
            return derive(lakehouse, parameters, inputs, _Staging(lakehouse, inputs, build_id))
        except PySparkException as error:
            if not (delta.is_unreadable(error) or delta.hides_its_reason(error)):
                raise
            reason = delta.condition(error) or str(error).splitlines()[0]
            whole = f"what is published, or changed since {layer} was built, cannot be read: {reason}"
        drop_staging(lakehouse, build_id)  # what the failed derivation has staged
    log.warning("%s: %s", layer, whole)
    try:
        inputs = inputs.whole(readable(lakehouse, inputs.upstream))
        expect_rows(lakehouse.spark, inputs.most_rows_gained)
        build = derive(lakehouse, parameters, inputs, _Staging(lakehouse, inputs, build_id))
    except PySparkException as error:
        found = unreadable_table(lakehouse, inputs.upstream) if delta.hides_its_reason(error) else error
        if found is None or not delta.is_unreadable(found):
            raise
        raise _upstream_lost(lakehouse, layer, inputs.upstream, found) from error
    return replace(build, notes=(*build.notes, f"full refresh of {layer}, since {whole}"))


def _upstream_lost(
    lakehouse: Lakehouse, layer: str, upstream: PinnedPublication, error: PySparkException
) -> TableDropped:
    """Return the error that says how the rows upstream come back. The loss is recorded for silver's next build."""
    upstream_layer = UPSTREAM_LAYER[layer]
    versions = ", ".join(f"{lakehouse.name(table)} version {version}" for table, version in upstream.versions.items())
    what = f"what {upstream_layer} has published ({versions}) cannot be read: {delta.condition(error)}"
    if upstream_layer == "bronze":
        remedy = bronze_dates(lakehouse).remedy
    else:
        report_lost(lakehouse, upstream_layer, upstream.seq, f"{layer} found that {what}")
        remedy = f"Run {upstream_layer} again, which then derives all of its rows, and {layer} after it"
    return TableDropped(f"{layer} cannot be built: {what}. Were tables or files removed? {remedy}.")


class _Staging:
    """What one build of silver or gold has staged so far."""

    def __init__(self, lakehouse: Lakehouse, inputs: BuildInputs, build_id: str) -> None:
        self._lakehouse, self._inputs, self._build_id = lakehouse, inputs, build_id
        self.tables: dict[str, StagedTable] = {}

    def all_rows(self, spec: TableSpec, rows: DataFrame, expected_rows: int) -> Relation:
        """Stage all rows of a table, which overwrite the published ones. Return what was staged.

        Finding the rows that changed would cost more than writing all, where most change every day.
        """
        return self._stage(spec, rows.withColumn(DELETED, F.lit(False)), expected_rows, overwrites=True)

    def changes(self, spec: TableSpec, new: DataFrame, published: DataFrame, expected_rows: int) -> Relation:
        """Stage what turns the rows `published` into `new`. Return what was staged."""
        if spec.write is Write.OVERWRITE or spec.name not in self._inputs.previous.versions:
            return self.all_rows(spec, new, expected_rows)
        return self._stage(spec, changed_rows(new, published, spec.key, spec.columns), expected_rows, overwrites=False)

    def keys(self, layer: str, keys: DataFrame | Relation, expected_rows: int) -> Relation:
        """Stage the keys that the build derives again, so that its audit judges the same keys. Return them."""
        table = changed_keys_table(layer)
        if isinstance(keys, Relation) and keys.rows is not None:
            self.tables[table] = stage_file(self._lakehouse, table, self._build_id, keys.rows)
            return keys
        frame = keys.frame if isinstance(keys, Relation) else keys
        self.tables[table] = stage(self._lakehouse, table, self._build_id, frame, expected_rows)
        return staged_relation(self._lakehouse, table, self.tables[table])

    def record(self, parameters: BuildParameters) -> Build:
        """Return the build that staged this."""
        specs = {spec.name: spec for spec in self._lakehouse.tables_of(parameters.layer)}
        return Build(
            layer=parameters.layer,
            build_id=self._build_id,
            parameters=parameters,
            previous=self._inputs.previous,
            upstream=self._inputs.upstream,
            previous_upstream=self._inputs.previous_upstream,
            full_refresh=self._inputs.previous_upstream is None,
            staged=dict(sorted(self.tables.items())),
            rows={
                specs[name].short_name: {"upserts": staged.rows - staged.deletes, "deletes": staged.deletes}
                for name, staged in sorted(self.tables.items())
                if name in specs
            },
        )

    def _stage(self, spec: TableSpec, rows: DataFrame, expected_rows: int, *, overwrites: bool) -> Relation:
        staged = stage(self._lakehouse, spec.name, self._build_id, rows, expected_rows, overwrites=overwrites)
        self.tables[spec.name] = staged
        return staged_relation(self._lakehouse, spec.name, staged)


def _full_refresh(
    lakehouse: Lakehouse,
    staging: _Staging,
    inputs: BuildInputs,
    layer: str,
    upstream: dict[str, DataFrame],
    *as_of: date | None,
) -> None:
    """Derive every table of the layer from all rows of the tables that it is staged from."""
    specs = lakehouse.tables_of(layer)
    previous = read_all_pinned(lakehouse, inputs.previous, layer)
    rows = dict(upstream)
    for spec in specs:
        new = _derivation(spec)(rows, *as_of)
        staged = staging.changes(spec, new, previous[spec.name], inputs.most_rows(spec))
        overlay = Overlay(previous[spec.name], staged, spec.key, staging.tables[spec.name].overwrites)
        rows[spec.name] = overlay.rows()


def _derivation(spec: TableSpec) -> Callable[..., DataFrame]:
    if spec.derive is None:
        raise TypeError(f"{spec.name} is derived from {', '.join(spec.staged_from)}, and has no derivation")
    return spec.derive


# --- silver ---


def _silver(lakehouse: Lakehouse, parameters: BuildParameters, inputs: BuildInputs, staging: _Staging) -> Build:
    """Stage the changes of orders and of both dimensions, for every key that new landing dates name.

    Where all these dates are later than everything before, as day after day, the history of a key continues from its
    published versions: no row of an earlier date is read.
    """
    order_items = read_pinned(lakehouse, inputs.upstream, ORDER_ITEMS.name)
    if inputs.previous_upstream is None:
        _full_refresh(lakehouse, staging, inputs, "silver", {ORDER_ITEMS.name: order_items})
        return staging.record(parameters)
    before = read_pinned(lakehouse, inputs.previous_upstream, ORDER_ITEMS.name)
    since = Publications(lakehouse).dates_since(inputs.previous_upstream.seq, inputs.upstream.seq)
    now, then = (rows.where(since.condition) for rows in (order_items, before))
    gained = inputs.rows_gained(ORDER_ITEMS.name)
    read_once = fetch_if_small(now, gained, len(ORDER_ITEMS.columns))  # for three tables and their keys
    now = read_once.frame
    # Nothing was published of the latest dates before.
    changed = read_once.distinct(*CHANGED_KEYS["silver"]) if since.are_latest else _changed_order_items(now, then)
    keys = staging.keys("silver", changed, gained)
    expected = staging.tables[changed_keys_table("silver")].rows
    if not expected:
        return staging.record(parameters)
    published = read_all_pinned(lakehouse, inputs.previous, "silver")

    def of_keys(frame: DataFrame, key: str, column: str) -> DataFrame:
        return frame.join(F.broadcast(keys.distinct(key).renamed(column).frame), column, "left_semi")

    def stage_dimension(dimension: Dimension) -> None:
        key = dimension.source_key
        versions = of_keys(published[dimension.spec.name], key, dimension.natural_key)
        if since.are_latest:
            new = dimension.versions(now, versions)
        else:
            new = dimension.versions(of_keys(order_items, key, key))
        staging.changes(dimension.spec, new, versions, expected)

    def stage_orders() -> None:
        if since.are_latest:  # every delivery is newer than what is published, so no published row matters
            new, old = orders(now), published[ORDERS.name].where("false")
        else:
            new = orders(of_keys(order_items, "order_item_id", "order_item_id"))
            old = of_keys(published[ORDERS.name], "order_item_id", "order_item_id")
        staging.changes(ORDERS, new, old, expected)

    run_together(*(partial(stage_dimension, dimension) for dimension in DIMENSIONS), stage_orders)
    return staging.record(parameters)


def _changed_order_items(now: DataFrame, before: DataFrame) -> DataFrame:
    """Return the keys of bronze rows that were added, removed or differ, in the columns of CHANGED_KEYS."""
    keys = CHANGED_KEYS["silver"]
    columns = ["landing_date", "source_file", "row_hash", *keys]
    now, before = now.select(*columns), before.select(*columns)
    added, removed = now.join(before, columns, "left_anti"), before.join(now, columns, "left_anti")
    return added.unionByName(removed).select(*keys).distinct()


# --- gold ---


def _gold(lakehouse: Lakehouse, parameters: BuildParameters, inputs: BuildInputs, staging: _Staging) -> Build:
    """Stage the changes of the gold tables: of every item that changed, and of the customers and products with them."""
    if inputs.previous_upstream is not None and inputs.previous_upstream.versions == inputs.upstream.versions:
        return staging.record(parameters)
    silver = read_all_pinned(lakehouse, inputs.upstream, "silver")
    if inputs.previous_upstream is None:
        _full_refresh(lakehouse, staging, inputs, "gold", silver, _as_of(silver[ORDERS.name]))
    else:
        _gold_incrementally(lakehouse, staging, inputs, silver)
    return staging.record(parameters)


def _as_of(silver_orders: DataFrame) -> date | None:
    """Return 1 day + the greatest landing date that has a row in bronze; None without any row.

    The newest delivery of an item is the one that landed last: silver.orders has the greatest landing date of bronze.
    """
    newest = silver_orders.agg(F.max("landing_date")).collect()[0][0]
    return newest + timedelta(days=1) if newest else None


def _gold_incrementally(
    lakehouse: Lakehouse, staging: _Staging, inputs: BuildInputs, silver: dict[str, DataFrame]
) -> None:
    changed = changed_upstream(lakehouse, inputs, GOLD_READS_CHANGES_OF, ORDERS.name)
    new_orders = _changed_orders(lakehouse, inputs, silver, changed)
    items = changed.keys[ORDERS.name].union(new_orders.distinct("order_item_id")).distinct("order_item_id")
    keys = KeyFilter.of(staging.keys("gold", items, inputs.rows_gained(ORDERS.name)), "order_item_id")
    # A customer may change, and none of the orders with it.
    if not staging.tables[changed_keys_table("gold")].rows and not _dimensions_committed_to(inputs):
        return
    published = read_all_pinned(lakehouse, inputs.previous, "gold")
    old = fetch(keys.rows(published[ORDERS_ENRICHED.name]))
    new = orders_enriched(new_orders.frame, *_versions_of(new_orders, silver))
    staged = staging.changes(ORDERS_ENRICHED, new, old.frame, staging.tables[changed_keys_table("gold")].rows)
    enriched = Overlay(published[ORDERS_ENRICHED.name], staged, ORDERS_ENRICHED.key).rows()
    rows = silver | {ORDERS_ENRICHED.name: enriched}

    def changed_values(column: str) -> Relation:
        """Return the distinct values in rows that are inserted, updated or deleted, as they are and as they were."""
        return staged.distinct(column).union(old.distinct(column)).distinct(column)

    def stage_customers() -> None:
        customers = changed_values("customer_id").union(changed.keys[CUSTOMERS.spec.name]).distinct("customer_id")
        measures = _updated_measures(silver, published[CUSTOMERS360.name], customers)
        scored = scored_customers(measures, changed.landing_end)
        staging.all_rows(CUSTOMERS360, scored, inputs.upstream.rows[CUSTOMERS.spec.name])

    def stage_products() -> None:
        changed_orders = KeyFilter.of(changed_values("order_id"), "order_id")
        totals = _updated_totals(published, staged, changed_orders)
        expected = inputs.upstream.rows[PRODUCTS.spec.name]
        rows[PRODUCT_TOTALS.name] = staging.all_rows(PRODUCT_TOTALS, totals, expected).frame.drop(DELETED)

    run_together(stage_customers, stage_products)
    rows[CUSTOMERS360.name] = staged_rows(lakehouse, CUSTOMERS360.name, staging.tables[CUSTOMERS360.name])
    for spec in lakehouse.tables_of("gold"):
        if spec.name not in staging.tables:
            derived = _derivation(spec)(rows, changed.landing_end)
            rows[spec.name] = staging.all_rows(spec, derived, inputs.most_rows(spec)).frame.drop(DELETED)


GOLD_READS_CHANGES_OF = {ORDERS.name: "order_item_id"} | {one.spec.name: one.natural_key for one in DIMENSIONS}
"""Upstream table -> column of which gold looks up the values that changed."""


def _dimensions_committed_to(inputs: BuildInputs) -> list[Dimension]:
    return [dimension for dimension in DIMENSIONS if inputs.was_committed_to(dimension.spec.name)]


def _changed_orders(
    lakehouse: Lakehouse, inputs: BuildInputs, silver: dict[str, DataFrame], changed: ChangedUpstream
) -> Relation:
    """Return the rows of silver.orders that changed, or whose customer or product changed as of the order."""
    orders, dimensions = silver[ORDERS.name], _dimensions_committed_to(inputs)
    found = [KeyFilter.of(changed.keys[ORDERS.name], "order_item_id").rows(orders).select(*ORDERS.columns)]
    periods = [
        changed_periods(*_before_and_after(lakehouse, inputs, silver, dimension, changed), dimension.spec)
        for dimension in dimensions
    ]
    if periods:
        all_periods = fetch(reduce(DataFrame.unionByName, periods))
        found += [placed_within(orders, all_periods, dimension.spec) for dimension in dimensions]
    return fetch(reduce(DataFrame.unionByName, found).dropDuplicates(["order_item_id"]))


def _before_and_after(
    lakehouse: Lakehouse,
    inputs: BuildInputs,
    silver: dict[str, DataFrame],
    dimension: Dimension,
    changed: ChangedUpstream,
) -> tuple[DataFrame, DataFrame]:
    table = dimension.spec.name
    keys = F.broadcast(changed.keys[table].frame)
    before, after = read_pinned(lakehouse, inputs.previous_upstream or inputs.upstream, table), silver[table]
    return before.join(keys, dimension.natural_key, "left_semi"), after.join(keys, dimension.natural_key, "left_semi")


def _versions_of(items: Relation, silver: dict[str, DataFrame]) -> list[DataFrame]:
    """Return the versions of these items' customers and products: few, where the dimensions are long."""
    return [
        silver[one.spec.name].join(F.broadcast(items.distinct(one.natural_key).frame), one.natural_key, "left_semi")
        for one in DIMENSIONS
    ]


def _updated_totals(published: dict[str, DataFrame], staged_items: Relation, changed_orders: KeyFilter) -> DataFrame:
    """Return `gold.product_totals`, from the published ones and the orders of which an item was added, removed or
    differs."""
    enriched = published[ORDERS_ENRICHED.name]
    others = enriched.join(F.broadcast(changed_orders.keys.frame), "order_id", "left_anti")
    columns = (ORDERS_ENRICHED.key, *ITEM_COLUMNS)
    before = local_relation(changed_orders.rows(enriched).select(*columns))
    after = Overlay(before, staged_items.select(*columns, DELETED), ORDERS_ENRICHED.key).rows()
    return updated_totals(published[PRODUCT_TOTALS.name], before, after, others)


def _updated_measures(silver: dict[str, DataFrame], published360: DataFrame, customers: Relation) -> DataFrame:
    """Return the measures behind `gold.customers360`: derived for the customers whose orders or versions changed, else
    as published."""
    keys = F.broadcast(customers.frame)
    upstream = (silver[spec.name].join(keys, "customer_id", "left_semi") for spec in (ORDERS, CUSTOMERS.spec))
    # Scores use the measures twice, for the thresholds and for the rows: all orders are read once for both.
    derived = local_relation(customer_measures(*upstream))
    kept = published360.select(*ATTRIBUTES, *MEASURES).join(keys, "customer_id", "left_anti")
    return kept.unionByName(derived)
