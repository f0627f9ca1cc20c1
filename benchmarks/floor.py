"""The floor of a day: the least work that brings one more landing date into all three layers.

One process derives a day with the project's own pure functions, judges the layers by the same rules, and commits each
table once, on the same Spark. It leaves out what makes a run safe: staging, verdicts and publications (a reader sees
each commit at once, and a crash leaves half a day), job runs, retries and Airflow. What the product takes beyond it is
the price of these.

It works on clones of the published tables, which share their files, and touches nothing of theirs. It takes days in
their order only: a day must be later than everything that is published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.layers.bronze.bronze_tables import LANDED_FILES
from spark_jobs.layers.bronze.landed_lines import BuildStamp, landed_lines, order_items, quarantine
from spark_jobs.layers.bronze.metrics import metrics
from spark_jobs.layers.bronze.row_rules import bronze_row_rules
from spark_jobs.layers.gold.customers360 import ATTRIBUTES, MEASURES, customer_measures, scored_customers
from spark_jobs.layers.gold.orders_enriched import changed_periods, orders_enriched, placed_within
from spark_jobs.layers.gold.product_totals import ITEM_COLUMNS, updated_totals
from spark_jobs.layers.gold.products360 import judged_products, recent_units
from spark_jobs.layers.registry import TABLES, tables_of
from spark_jobs.layers.silver.dimensions import CUSTOMERS, DIMENSIONS, PRODUCTS, Dimension
from spark_jobs.layers.silver.orders import orders
from spark_jobs.quality.anomalies import AnomalySettings
from spark_jobs.quality.checkpoint import run_checkpoint
from spark_jobs.quality.inputs import GoldAudit, OrderDifferences, SilverAudit
from spark_jobs.quality.metric_history import anomalies_of, as_evidence
from spark_jobs.runtime.code_version import code_version
from spark_jobs.runtime.interval import Interval
from spark_jobs.runtime.secret_store import secret
from spark_jobs.runtime.table_names import LAYERS, TableNames
from spark_jobs.storage.changes import DELETED, changed_rows
from spark_jobs.storage.delta import at_version, head_version
from spark_jobs.storage.key_filter import KeyFilter
from spark_jobs.storage.landed_text import read_lines
from spark_jobs.storage.landing import landed_files
from spark_jobs.storage.local_relation import Relation, fetch, local_relation
from spark_jobs.storage.overlay import Overlay
from spark_jobs.storage.publications import Publications
from spark_jobs.tables.source import SourceFormat

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_jobs.quality.checkpoint import Input
    from spark_jobs.storage.lakehouse import Lakehouse

PREFIX = "floor_"
"""Of the schemas that hold the clones."""
SOURCE = SourceFormat()
LIMITS = {
    "max_quarantined_share": 0.05,
    "max_quarantined_lines": 5,
    "max_order_age_days": SOURCE.max_order_age_days,
    "max_order_days_ahead": SOURCE.max_order_days_ahead,
}


@dataclass(frozen=True)
class Changes(Overlay):
    """What a day changes in a published table: both sides are there."""

    published: DataFrame
    staged: Relation

    def changed_values(self, column: str) -> Relation:
        """Fetch the distinct values of a column in changed rows, as they are and as they were."""
        were = KeyFilter.of(self.staged, self.key).rows(self.published).select(column).distinct()
        return self.staged.distinct(column).union(fetch(were)).distinct(column)


class Floor:
    """Clones of what a lakehouse has published, and the days that are brought into them."""

    def __init__(self, lakehouse: Lakehouse, landing: Path) -> None:
        """Clone the published tables. Raises LookupError where a layer has no publication."""
        self._spark: SparkSession = lakehouse.spark
        self._names = TableNames(lakehouse.names.catalog, f"{PREFIX}{lakehouse.names.schema_prefix}")
        self._landing = landing
        newest = Publications(lakehouse).newest_by_layer()
        self.drop()
        for layer in LAYERS:
            if layer not in newest:
                raise LookupError(f"{layer} has no publication yet: there is nothing to which a day could be added")
            self._spark.sql(f"CREATE SCHEMA {self._names.schema(layer)}")
            for table, version in newest[layer].tables.items():
                clone, source = self._names.table(table), lakehouse.name(table)
                self._spark.sql(f"CREATE TABLE {clone} SHALLOW CLONE {source} VERSION AS OF {version}")
        self._versions = dict.fromkeys(TABLES, 0)

    def drop(self) -> None:
        """Drop the clones."""
        for layer in LAYERS:
            self._spark.sql(f"DROP SCHEMA IF EXISTS {self._names.schema(layer)} CASCADE")

    def rows(self, table: str) -> DataFrame:
        """Read a table as the last day left it. A later commit does not change the frame."""
        return at_version(self._spark, self._names.table(table), self._versions[table])

    def run(self, day: date) -> None:
        """Bring a landing date into all tables. Raises LandingRefused and its kinds, and ValueError for a day that no
        gate would let into the tables."""
        items = self._bronze(day)
        keys = fetch(items.select("order_item_id", "customer_id", "product_card_id").distinct())
        changes = self._silver(items, keys)
        self._gold(changes, keys, as_of=day + timedelta(days=1))

    def _bronze(self, day: date) -> DataFrame:
        """Return the valid rows of the day."""
        landed = landed_files(self._landing, Interval(day, day + timedelta(days=1)))
        lines = landed_lines(
            read_lines(self._spark, self._landing, landed.files),
            landed.files,
            bronze_row_rules(),
            secret("lakehouse/email-hmac-key"),
            BuildStamp("floor", "", code_version(), datetime.now(UTC)),
            SOURCE,
        )
        lines = local_relation(lines)  # read and parsed once, for two tables and the rules
        files = [(file.landing_date, file.path, file.lines, file.size) for file in landed.files]
        tables = {
            "bronze.order_items": order_items(lines),
            "bronze.quarantine": quarantine(lines),
            "bronze.landed_files": self._spark.createDataFrame(files, LANDED_FILES.schema),
        }
        of_day = metrics(tables["bronze.landed_files"], tables["bronze.order_items"], tables["bronze.quarantine"])
        tables["bronze.metrics"] = local_relation(of_day)
        inputs: dict[str, Input] = {table.partition(".")[2]: partial(_itself, rows) for table, rows in tables.items()}
        inputs["missing_dates"] = lambda: self._spark.createDataFrame([], "landing_date DATE, reason STRING")
        published = self.rows("bronze.landed_files").where(f"landing_date = DATE'{day}'")
        inputs["landed_files_published"] = partial(_itself, published)
        measured = [tuple(row) for row in tables["bronze.metrics"].collect()]
        anomalies = anomalies_of(measured, self.rows("bronze.metrics"), AnomalySettings())
        inputs["anomalies"] = partial(as_evidence, self._spark, anomalies)
        end = day + timedelta(days=1)
        bounds = {"interval_start": day, "interval_end": end, "open_from": end}
        self._judge("bronze", inputs, LIMITS | bounds)
        for table, rows in tables.items():
            self._insert(table, rows, f"INSERT INTO {{table}} REPLACE WHERE landing_date = DATE'{day}'")
        return tables["bronze.order_items"]

    def _silver(self, items: DataFrame, keys: Relation) -> dict[str, Changes]:
        """Return the changes of each table."""
        changes = {dimension.spec.name: self._new_versions(dimension, items) for dimension in DIMENSIONS}
        # Every delivery is newer than what is published, so no published order matters.
        changes["silver.orders"] = fetch(orders(items).withColumn(DELETED, F.lit(False)))
        overlays = {table: Changes(self.rows(table), rows, TABLES[table].key) for table, rows in changes.items()}
        audit = SilverAudit(
            lambda: items,
            _by_short_name(overlays),
            judged=lambda: keys,
            delivered=lambda: keys.distinct("order_item_id"),
        )
        self._judge("silver", audit.inputs(incremental=True))
        for table, rows in changes.items():
            self._merge(table, rows.frame)
        return overlays

    def _new_versions(self, dimension: Dimension, items: DataFrame) -> Relation:
        key, spec = dimension.natural_key, dimension.spec
        named = F.broadcast(items.select(F.col(dimension.source_key).alias(key)).distinct())
        published = self.rows(spec.name).join(named, key, "left_semi")
        new = dimension.versions(items, published)
        return fetch(changed_rows(new, published, spec.key, spec.columns))

    def _gold(self, silver: dict[str, Changes], keys: Relation, as_of: date) -> None:
        """Derive gold from what was committed to silver: its tables before, and the changes."""
        names = {"orders": "silver.orders", **{one.spec.short_name: one.spec.name for one in DIMENSIONS}}
        upstream = {name: self.rows(table) for name, table in names.items()}
        before, published = silver["silver.orders"].published, {s.name: self.rows(s.name) for s in tables_of("gold")}
        items = keys.distinct("order_item_id").union(self._in_changed_versions(silver, upstream["orders"]))
        judged = KeyFilter.of(items, "order_item_id")
        new = judged.rows(upstream["orders"])
        versions = [
            upstream[one.spec.short_name].join(
                F.broadcast(new.select(one.natural_key).distinct()), one.natural_key, "left_semi"
            )
            for one in (CUSTOMERS, PRODUCTS)
        ]
        rows = orders_enriched(new, *versions)
        old = judged.rows(published["gold.orders_enriched"])
        spec = TABLES["gold.orders_enriched"]
        enriched = Changes(published[spec.name], fetch(changed_rows(rows, old, spec.key, spec.columns)), spec.key)
        customers = silver[CUSTOMERS.spec.name].staged.distinct("customer_id")
        scored = self._customers(enriched, upstream, customers, published["gold.customers360"], as_of)
        totals = local_relation(self._totals(enriched, published["gold.product_totals"]))
        recent = recent_units(enriched.rows(), as_of)
        products = local_relation(judged_products(totals, recent, upstream[PRODUCTS.spec.short_name]))
        self._insert("gold.customers360", scored)
        whole = {
            "gold.customers360": self.rows("gold.customers360"),
            "gold.product_totals": totals,
            "gold.products360": products,
        }
        overlays = {spec.name: enriched} | {
            table: Changes(
                published[table],
                Relation(rows.withColumn(DELETED, F.lit(False)), None),
                TABLES[table].key,
                overwrites=True,
            )
            for table, rows in whole.items()
        }
        audit = GoldAudit(
            {name: partial(_itself, rows) for name, rows in upstream.items()}
            | {"order_items": lambda: self.rows("bronze.order_items")},
            _by_short_name(overlays),
            judged=lambda: judged.keys,
            changed=lambda: judged.keys,
            differences=lambda: OrderDifferences.between(before, upstream["orders"], judged.keys, customers),
        )
        self._judge("gold", audit.inputs(incremental=True))
        self._merge("gold.orders_enriched", enriched.staged.frame)
        self._insert("gold.product_totals", totals)
        self._insert("gold.products360", products)

    def _in_changed_versions(self, silver: dict[str, Changes], sold: DataFrame) -> Relation:
        """Find the earlier orders whose version of the customer or product differs now, as `order_item_id`."""
        found = []
        for one in DIMENSIONS:
            changed = silver[one.spec.name]
            theirs = changed.staged.distinct(one.spec.key).frame
            old = changed.published.join(F.broadcast(theirs), one.spec.key, "left_semi")
            periods = fetch(changed_periods(old, changed.upserts(), one.spec))
            found.append(placed_within(sold, periods, one.spec).select("order_item_id"))
        return fetch(reduce(DataFrame.unionByName, found).distinct())

    def _customers(
        self, enriched: Changes, upstream: dict[str, DataFrame], changed: Relation, published: DataFrame, as_of: date
    ) -> DataFrame:
        changed_customers = enriched.changed_values("customer_id").union(changed).distinct("customer_id").frame
        theirs = (
            rows.join(F.broadcast(changed_customers), "customer_id", "left_semi")
            for rows in (upstream["orders"], upstream[CUSTOMERS.spec.short_name])
        )
        derived = local_relation(customer_measures(*theirs))
        kept = published.select(*ATTRIBUTES, *MEASURES).join(F.broadcast(changed_customers), "customer_id", "left_anti")
        return scored_customers(kept.unionByName(derived), as_of)

    def _totals(self, enriched: Changes, published: DataFrame) -> DataFrame:
        changed_orders = KeyFilter.of(enriched.changed_values("order_id"), "order_id")
        before, after = (
            local_relation(changed_orders.rows(rows).select(*ITEM_COLUMNS))
            for rows in (enriched.published, enriched.rows())
        )
        others = enriched.published.join(F.broadcast(changed_orders.keys.frame), "order_id", "left_anti")
        return updated_totals(published, before, after, others)

    def _judge(self, layer: str, inputs: Mapping[str, Input], parameters: Mapping[str, Any] | None = None) -> None:
        result = run_checkpoint(self._spark, layer, [spec.name for spec in tables_of(layer)], inputs, parameters)
        if not result.success:
            raise ValueError("; ".join(failure.message for failure in result.failures))

    def _insert(self, table: str, rows: DataFrame, statement: str = "INSERT OVERWRITE {table}") -> None:
        name, columns = self._names.table(table), ", ".join(f"`{name}`" for name in TABLES[table].columns)
        insert = statement.format(table=name)
        self._spark.sql(f"{insert} SELECT /*+ REPARTITION(1) */ {columns} FROM {{rows}}", rows=rows)  # noqa: S608
        self._committed(table)

    def _merge(self, table: str, changes: DataFrame) -> None:
        """Merge changes, which have the table's columns and `_deleted`."""
        spec = TABLES[table]
        updates = ", ".join(f"old.`{name}` = new.`{name}`" for name in spec.columns)
        names, values = (", ".join(f"{side}`{name}`" for name in spec.columns) for side in ("", "new."))
        self._spark.sql(
            f"MERGE INTO {self._names.table(table)} old USING {{changes}} new ON old.`{spec.key}` = new.`{spec.key}`"  # noqa: S608
            f" WHEN MATCHED AND new.{DELETED} THEN DELETE WHEN MATCHED THEN UPDATE SET {updates}"
            f" WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})",
            changes=changes,
        )
        self._committed(table)

    def _committed(self, table: str) -> None:
        self._versions[table] = head_version(self._spark, self._names.table(table)) or 0


def _itself(rows: DataFrame) -> DataFrame:
    return rows


def _by_short_name(overlays: Mapping[str, Changes]) -> dict[str, Callable[[], Changes]]:
    return {TABLES[table].short_name: partial(lambda overlay: overlay, overlay) for table, overlay in overlays.items()}
