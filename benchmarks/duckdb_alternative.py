"""Raw to gold in DuckDB: what a data team would write without Spark, Delta, gates and Airflow.

`python -m benchmarks.duckdb_alternative LANDING OUT` reads all landing folders and writes bronze.order_items and the
tables of silver and gold into OUT/lakehouse.duckdb. The work is in sql/*.sql. On clean data silver and gold are equal
to the product's, except for the hashes of rows and e-mail addresses.

What it leaves out: quarantine and its reasons (a line that cannot be split or has no key is dropped silently, another
value that does not parse becomes NULL, most row rules are not checked, and duplicate lines are removed in silver only),
masking, headers and manifests of files, every gate, publications and their history, and incremental runs: each run is
a full refresh, during which the file cannot be read.
"""

from __future__ import annotations

import secrets
import shutil
import sys
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.measurement import Measurement, command_line, empty_folder, order_files

SQL = Path(__file__).parent / "sql"
DATABASE = "lakehouse.duckdb"
_CHUNK = 1 << 20


def run(landing: Path, out: Path) -> dict[str, Any]:
    """Make all tables from all that has landed; return the measured result (measurement.Measurement.report).

    Raises FileNotFoundError where nothing has landed, and FileExistsError where `out` is not empty.
    """
    files = order_files(landing)
    out = empty_folder(out)
    measurement = Measurement()
    with measurement:
        utf8 = out / "utf8"
        with measurement.step("recode"):
            rows = sum(recode(file, utf8 / file.relative_to(landing)) for file in files)
        with duckdb.connect(out / DATABASE) as database:
            with measurement.step("bronze"):
                bronze(database, utf8, secrets.token_hex(16))
            for layer in ("silver", "gold"):
                with measurement.step(layer):
                    run_sql(database, layer)
            with measurement.step("checkpoint"):
                database.execute("checkpoint")
        shutil.rmtree(utf8)
    return measurement.report("duckdb", duckdb.__version__, rows, out)


def recode(file: Path, target: Path) -> int:
    """Write a windows-1252 file as UTF-8, in constant memory; return the number of its lines after the header.

    Bytes that windows-1252 does not define become U+FFFD. DuckDB itself reads UTF-8 and latin-1; windows-1252 takes an
    extension that it fetches from its own site.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    lines, last = 0, b"\n"
    with file.open("rb") as source, target.open("wb") as sink:
        while chunk := source.read(_CHUNK):
            lines += chunk.count(b"\n")
            last = chunk[-1:]
            sink.write(chunk if chunk.isascii() else chunk.decode("cp1252", "replace").encode())
    return max(lines + (last != b"\n") - 1, 0)


def bronze(database: duckdb.DuckDBPyConnection, utf8: Path, email_secret: str) -> None:
    """Make bronze.order_items from the recoded files."""
    database.execute("set variable landing = $1", [f"{utf8}/dt=*/*.csv"])
    database.execute("set variable email_secret = $1", [email_secret])
    run_sql(database, "bronze")


def run_sql(database: duckdb.DuckDBPyConnection, layer: str) -> None:
    """Run sql/<layer>.sql, which makes the layer's tables from those of the upstream layer."""
    database.execute((SQL / f"{layer}.sql").read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(command_line(run, __doc__ or ""))
