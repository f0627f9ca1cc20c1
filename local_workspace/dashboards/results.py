"""The rows of a dashboard's datasets, from the Spark of this machine: kept until their layer is published again."""

import json
import logging
import math
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from functools import partial
from typing import Any, TypeVar

from local_workspace.api_errors import invalid
from local_workspace.dashboards.definition import Dashboard, Dataset, Json
from local_workspace.dashboards.published import (
    NotPublished,
    Publication,
    Published,
    Schemas,
    pinned,
    views_of,
)
from local_workspace.spark_supervisor import SparkSupervisor
from machine.state_folder import StateFolder

log = logging.getLogger(__name__)
SECONDS = 60.0
"""How long a query may take."""
MOST_ROWS = 200_000
MOST_RESULTS = 100
_THREADS = 4
_TWO_NEWEST = """
SELECT layer, seq, tables, landed_until, published_at, newest FROM (
  SELECT layer, seq, tables,
    cast(max(interval_end) OVER (PARTITION BY layer) AS string) AS landed_until,
    date_format(published_at, "yyyy-MM-dd'T'HH:mm:ss'Z'") AS published_at,
    max(seq) OVER (PARTITION BY layer) AS newest
  FROM {table}
) WHERE seq >= newest - 1"""
Found = TypeVar("Found")
Stamp = tuple[int, int]


class QueryFailed(Exception):
    """A query that failed. The message is for people."""


class Results:
    """Answers from the newest publications. All methods may be called from any thread, and raise QueryFailed."""

    def __init__(
        self, state: StateFolder, spark: Callable[[], SparkSupervisor | None], seconds: float = SECONDS
    ) -> None:
        self._warehouse = state.root / "warehouse"
        self._spark = spark
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="dashboards")
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Any, ...], Future[Any]] = OrderedDict()
        self._session: tuple[int, Any] | None = None

    def stamp(self, schemas: Schemas) -> Stamp:
        """Return what changes whenever something is published or judged; cheap enough to ask for every second."""
        return (self._changed(schemas, "publications"), self._changed(schemas, "verdicts"))

    def published(self, schemas: Schemas) -> Published:
        """Return the newest publications of all layers; empty before the first."""
        stamp = self._changed(schemas, "publications")
        if not stamp:
            return Published({}, {})
        found: Published = self._once(("published", schemas, stamp), lambda: self._read_published(schemas))
        return found

    def rows(self, dataset: Dataset) -> bytes:
        """Return the rows of a dataset as JSON, by columns. Raises QueryFailed and NotPublished."""
        sql, stamp = self._pinned(dataset)
        found: bytes = self._once(("rows", sql, stamp), lambda: _as_json(self._query(sql)))
        return found

    def check(self, dashboard: Dashboard) -> None:
        """Let Spark analyse the queries whose tables are published. Raises ApiError with the place of a fault."""
        spark = self._spark()
        if spark is None or not spark.is_ready():
            return
        for number, dataset in enumerate(dashboard.datasets):
            try:
                sql, _ = self._pinned(dataset)
                self._run(partial(_schema, sql))
            except NotPublished:
                continue
            except QueryFailed as error:
                raise invalid(f"datasets[{number}] ({dataset.name}).query: {error}") from error

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _pinned(self, dataset: Dataset) -> tuple[str, tuple[int, ...]]:
        """Return the pinned query, and the state of the tables of ops, which it reads unpinned."""
        schemas = Schemas.of(dataset.catalog, dataset.schema_name)
        read = [view.removeprefix("ops_") for view in views_of(dataset.sql) if view.startswith("ops_")]
        states = tuple(self._changed(schemas, table) for table in read)
        for table, state in zip(read, states, strict=True):
            if not state:
                raise NotPublished(f"ops.{table} does not exist yet: a run makes it.")
        return pinned(dataset.sql, schemas, self.published(schemas)), states

    def _changed(self, schemas: Schemas, table: str) -> int:
        try:
            return (self._warehouse / f"{schemas.prefix}ops.db" / table / "_delta_log").stat().st_mtime_ns
        except OSError:
            return 0

    def _read_published(self, schemas: Schemas) -> Published:
        rows = self._query(_TWO_NEWEST.format(table=schemas.table("ops", "publications"))).to_pylist()
        by_age: tuple[dict[str, Publication], dict[str, Publication]] = ({}, {})
        for row in rows:
            found = Publication(
                row["layer"], row["seq"], dict(row["tables"]), row["landed_until"] or "", row["published_at"]
            )
            by_age[row["newest"] - row["seq"]][found.layer] = found
        return Published(*by_age)

    def _once(self, key: tuple[Any, ...], work: Callable[[], Found]) -> Found:
        """Return a kept result, or do the work, for which other callers wait. Failures are not kept."""
        with self._lock:
            future = self._kept.get(key)
            is_own = future is None
            if future is None:
                future = self._kept[key] = Future()
                while len(self._kept) > MOST_RESULTS:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
        if is_own:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised to all who wait
                future.set_exception(error)
                with self._lock:
                    self._kept.pop(key, None)
        found: Found = future.result()
        return found

    def _query(self, sql: str) -> Any:
        """Return a query's rows as an Arrow table."""
        found = self._run(lambda session: session.sql(sql).limit(MOST_ROWS + 1).toArrow())
        if found.num_rows > MOST_ROWS:
            raise QueryFailed(f"It has more than {MOST_ROWS:,} rows: let the dataset's query aggregate them.")
        return found

    def _run(self, work: Callable[[Any], Any]) -> Any:
        """Do work with a Spark session, for a limited time. Raises QueryFailed."""
        from pyspark.errors import PySparkException

        spark = self._spark()
        if spark is None or not spark.wait_until_ready(self._seconds):
            raise QueryFailed("Spark does not run here; its log (logs/spark.log) says why.")
        session, tag = self._connected(spark), f"dashboard-{uuid.uuid4().hex}"

        def tagged() -> Any:
            session.addTag(tag)
            try:
                return work(session)
            finally:
                session.removeTag(tag)

        future = self._threads.submit(tagged)
        try:
            return future.result(self._seconds)
        except TooLate as error:
            session.interruptTag(tag)
            raise QueryFailed(f"It took longer than {self._seconds:.0f} s, and was stopped.") from error
        except PySparkException as error:
            raise QueryFailed(_first_line(error)) from error
        except Exception as error:  # grpc's errors, where Spark has died
            log.exception("A dashboard's query failed")
            raise QueryFailed(f"Spark cannot be reached ({_first_line(error)}).") from error

    def _connected(self, spark: SparkSupervisor) -> Any:
        """Return the session of dashboards on the Spark that runs now."""
        from pyspark.sql import SparkSession
        from pyspark.sql.connect.client.retries import DefaultPolicy

        with self._lock:
            if self._session is None or self._session[0] != spark.generation:
                # Not getOrCreate, which could return a session of a Spark that has died.
                session: Any = SparkSession.builder.remote(spark.remote_url(str(uuid.uuid4()))).create()
                # By default the client tries for ten minutes to reach a server that is gone.
                session.client.set_retry_policies([DefaultPolicy(max_retries=4, max_backoff=2000)])
                session.conf.set("spark.sql.session.timeZone", "UTC")
                self._session = (spark.generation, session)
            return self._session[1]


def _as_json(table: Any) -> bytes:
    """Write an Arrow table by columns: decimals as numbers, dates and times as ISO texts."""
    import pyarrow as pa

    columns: Json = {}
    kinds: dict[str, str] = {}
    for name in table.column_names:
        column = table.column(name)
        kind = column.type
        if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
            layout = "%Y-%m-%d" if pa.types.is_date(kind) else "%Y-%m-%dT%H:%M:%SZ"
            values = [None if value is None else value.strftime(layout) for value in column.to_pylist()]
            kinds[name] = "date"
        elif pa.types.is_decimal(kind) or pa.types.is_floating(kind):
            numbers = column.cast(pa.float64()).to_pylist()
            # JSON has neither infinity nor NaN.
            values = [None if value is None or not math.isfinite(value) else value for value in numbers]
            kinds[name] = "number"
        else:
            values, kinds[name] = column.to_pylist(), "number" if pa.types.is_integer(kind) else "text"
        columns[name] = values
    content = {"rows": table.num_rows, "kinds": kinds, "columns": columns}
    return json.dumps(content, separators=(",", ":"), default=str, allow_nan=False).encode()


def _first_line(error: Exception) -> str:
    """Return the message of an error of Spark's, without the plans and stack traces that follow it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _schema(sql: str, session: Any) -> Any:
    return session.sql(sql).schema
