"""The plain alternatives produce the tables of the oracle."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pyarrow as pa
import pytest

from benchmarks import compare, duckdb_alternative
from benchmarks.measurement import Measurement
from feeds.synthetic.feed import generate
from feeds.synthetic.feed_settings import FeedSettings
from tests.conftest import REPO
from tests.spark.silver.frames import BRONZE, TYPES, assert_same, parsed, snake
from tests.unit.model import cases, oracle
from tests.unit.model.cases import COLUMNS, Row
from tests.unit.synthetic_feed import feeds
from tests.workspace.conftest import wait_until

START = date(2017, 12, 1)
KEYS = {
    "silver.orders": "order_item_id",
    "silver.dim_customers": "customer_key",
    "silver.dim_products": "product_key",
    "gold.orders_enriched": "order_item_id",
    "gold.customers360": "customer_id",
    "gold.products360": "product_id",
}
HASHES = {"row_hash", "customer_email_hash"}
ONE_PROCESS = """
import sys
from pathlib import Path
from benchmarks.scales import run_alternative
from machine.command_line import run_command

landing, out = map(Path, sys.argv[1:])
run_command(lambda: run_alternative(landing, "benchmarks.one_process", out))
"""


def expected(bronze: list[Row]) -> dict[str, list[Row]]:
    """The six tables by the oracle."""
    orders, customers, products = oracle.orders(bronze), oracle.dim_customers(bronze), oracle.dim_products(bronze)
    enriched = oracle.orders_enriched(orders, customers, products)
    as_of = max(row["landing_date"] for row in bronze) + timedelta(days=1)
    products360 = oracle.products360(enriched, products, as_of)
    for row in products360:
        row.pop("recent_units", None)
    tables = [orders, customers, products, enriched, oracle.customers360(enriched, customers, as_of), products360]
    return dict(zip(KEYS, tables, strict=True))


def bronze_rows(landing: Path) -> list[Row]:
    """What has landed as bronze rows, parsed by Python alone."""
    rows = []
    for line in feeds.lines(landing):
        row = {snake(name): field for name, field in line.items() if name not in ("landing_date", "file")}
        rows.append({name: parsed(row[name], TYPES.get(name)) for name in COLUMNS if name in row})
        rows[-1] |= {"landing_date": date.fromisoformat(line["landing_date"]), "source_file": line["file"]}
        rows[-1] |= {"row_hash": ""}  # no item stands twice in a file here
    return rows


def rows_of(database: duckdb.DuckDBPyConnection, table: str) -> list[Row]:
    result = database.execute(f"select * from {table}")
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def assert_equal(database: duckdb.DuckDBPyConnection, bronze: list[Row], besides: set[str]) -> None:
    """The six tables are those of the oracle; the columns `besides` are there, with whatever values."""
    for table, rows in expected(bronze).items():
        actual = rows_of(database, table)
        assert {frozenset(row) for row in actual} == {frozenset(rows[0])}, table
        for row in (*actual, *rows):
            for name in besides & row.keys():
                row[name] = None
        assert_same(actual, rows, KEYS[table])


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three weeks of a small feed, with orders that come late."""
    root = tmp_path_factory.mktemp("landing")
    generate(root, START, 21, FeedSettings(scale=400, late=100_000), processes=1)
    return root


def test_duckdb_from_the_landing_folder(landing: Path, tmp_path: Path) -> None:
    bronze = bronze_rows(landing)
    tables = expected(bronze)
    assert len(tables["silver.orders"]) < len(bronze), "no item was delivered again"
    for table, current in (("silver.dim_customers", "gold.customers360"), ("silver.dim_products", "gold.products360")):
        assert len(tables[table]) > len(tables[current]), f"nothing has changed in {table}"
    assert any(row["order_date"].date() < row["landing_date"] for row in tables["silver.orders"]), "no order is late"

    command = [sys.executable, "-m", "benchmarks.duckdb_alternative", str(landing), str(tmp_path / "out")]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert {key: result.pop(key) for key in ("tool", "version", "rows_landed")} == {
        "tool": "duckdb",
        "version": duckdb.__version__,
        "rows_landed": len(bronze),
    }
    assert set(result) == {"seconds", "total_seconds", "peak_memory_mb", "bytes_written"}
    assert {"bronze", "silver", "gold"} < set(result["seconds"])
    assert 0 < sum(result["seconds"].values()) <= result["total_seconds"]
    database = tmp_path / "out" / duckdb_alternative.DATABASE
    assert list((tmp_path / "out").iterdir()) == [database]
    assert result["bytes_written"] == database.stat().st_size
    with duckdb.connect(database, read_only=True) as connection:
        assert_equal(connection, bronze, HASHES)
        emails = connection.execute(
            "select count(distinct customer_email) > 1, count(*) filter (contains(customer_email, '@')),"
            " count(customer_password) from bronze.order_items"
        ).fetchall()
    assert emails == [(True, 0, 0)]


def histories() -> Iterable[Row]:
    yield cases.bronze_row(
        order_item_id=1,
        customer_id=9_000_001,
        product_card_id=9_000_001,
        order_item_total=None,
        order_profit_per_order=None,
    )  # counts, and has nothing to add up
    yield from cases.histories_in_one()[0]
    for seed in range(1000, 1012):
        yield from cases.random_history(seed)


def test_duckdb_from_bronze_rows_with_every_kind_of_history() -> None:
    bronze = list(histories())
    with duckdb.connect() as database:
        columns = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in BRONZE.fields)
        database.execute(f"create schema bronze; create table bronze.order_items ({columns})")
        database.register("given", pa.Table.from_pylist(bronze))
        database.execute("insert into bronze.order_items by name select * from given")
        for layer in ("silver", "gold"):
            duckdb_alternative.run_sql(database, layer)
        assert_equal(database, bronze, set())


@pytest.mark.parametrize(
    ("numerator", "denominator"), [(1, 8), (-1, 8), (1, -8), (2, 3), ("0.05", "1.00"), (0, 3), (5, 0), (None, 3)]
)
def test_quotients_are_rounded_half_up_once(numerator: Any, denominator: Any) -> None:
    sql = (duckdb_alternative.SQL / "gold.sql").read_text(encoding="utf-8")
    macros = [statement for statement in sql.split(";") if "create macro" in statement and "as_of" not in statement]
    numbers = [None if value is None else Decimal(value) for value in (numerator, denominator)]
    numerator, denominator = numbers
    with duckdb.connect() as database:
        database.execute(";".join(macros))
        actual = database.execute("select money($1, $2), rate($1, $2)", numbers).fetchall()
    if numerator is None or denominator is None:
        assert actual == [(None, None)]
    else:
        assert actual == [tuple(oracle.rounded(numerator, denominator, places) for places in (2, 4))]


def test_recoded_files(tmp_path: Path) -> None:
    source, target = tmp_path / "a.csv", tmp_path / "utf8" / "a.csv"
    for content, lines in ((b"", 0), (b"h\r\n", 0), (b"h\r\n\xe9\x96\r\n2\r\n", 2), (b"h\n1\n2", 2)):
        source.write_bytes(content)
        assert duckdb_alternative.recode(source, target) == lines
        assert target.read_bytes() == content.decode("cp1252").encode()


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="name the landing root"):
        duckdb_alternative.run(tmp_path, tmp_path / "out")
    folder = tmp_path / "dt=2018-01-01"
    folder.mkdir()
    (folder / "a.csv").touch()
    with pytest.raises(FileExistsError, match="is not empty"):
        duckdb_alternative.run(tmp_path, folder)
    assert list(folder.iterdir()) == [folder / "a.csv"]


def test_measured_memory_is_that_of_child_processes_too() -> None:
    with Measurement() as measurement:
        code = "import time; block = bytearray(b'x' * 200_000_000); time.sleep(0.5)"
        with measurement.step("child"):
            subprocess.run([sys.executable, "-c", code], check=True)
    assert measurement.peak_memory_mb > psutil.Process().memory_info().rss / 1e6 + 150
    assert 0.5 < measurement.seconds["child"] <= measurement.total_seconds


def test_compared_tables(landing: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "duckdb", tmp_path / "one_process"
    duckdb_alternative.run(landing, ours)

    def copied(change: str = "*") -> None:
        with duckdb.connect(ours / duckdb_alternative.DATABASE) as database:
            for table in compare.TABLES:
                folder = theirs.joinpath(*table.split("."))
                folder.mkdir(parents=True, exist_ok=True)
                columns = change if table == "gold.customers360" else "*"
                database.execute(f"copy (select {columns} from {table}) to '{folder}/a.parquet'")

    copied()
    assert compare.differences(ours, theirs) == dict.fromkeys(compare.TABLES, 0)
    copied("* replace (case customer_id when min(customer_id) over () then '000' else rfm_score end as rfm_score)")
    assert compare.differences(ours, theirs) == dict.fromkeys(compare.TABLES, 0) | {"gold.customers360": 2}
    copied("* replace (total_revenue::double as total_revenue)")
    with pytest.raises(ValueError, match=r"the columns of gold\.customers360 are not the same: total_revenue"):
        compare.differences(ours, theirs)


def test_a_benchmark_that_is_ended_leaves_no_spark_behind(landing: Path, tmp_path: Path) -> None:
    benchmark = subprocess.Popen([sys.executable, "-c", ONE_PROCESS, str(landing), str(tmp_path / "out")], cwd=REPO)

    def noted() -> list[str]:
        return [text for file in tmp_path.glob("out/spark-*/pids/spark.json") if (text := file.read_text())]

    spark = json.loads(wait_until(noted, 60)[0])["pid"]
    assert psutil.pid_exists(spark)
    benchmark.send_signal(signal.SIGTERM)
    assert benchmark.wait(30) == 143
    assert not psutil.pid_exists(spark)
    assert list(tmp_path.glob("out/spark-*")) == []
