"""The archive of the classes that Spark loads (Java's class data sharing): from it they load in a third of the time.

A Spark of its own runs some statements and writes the archive when it ends, in the workspace's environment:
`python -m laptop.class_archive FILE`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from machine.command_line import UserError, run_command
from machine.java import class_archive, find_java_home
from machine.log_files import last_lines
from machine.ports import free_port
from machine.state_folder import REPO, StateFolder

ARCHIVING_SECONDS = 120.0
"""Longer than Java takes to write the archive, on a busy machine too."""
STATEMENTS = (
    "CREATE SCHEMA archived",
    "CREATE TABLE archived.items (id BIGINT COMMENT 'key', day DATE, amount DECIMAL(18, 2), name STRING) USING delta"
    " TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true', 'delta.enableDeletionVectors' = 'true')",
    "INSERT INTO archived.items SELECT id, date_add(DATE'2018-01-01', CAST(id % 2 AS INT)),"
    " CAST(id / 7 AS DECIMAL(18, 2)), sha2(CAST(id AS STRING), 256) FROM range(100)",
    "INSERT INTO archived.items REPLACE WHERE day = DATE'2018-01-02'"
    " SELECT id, DATE'2018-01-02', amount, upper(name) FROM archived.items WHERE name RLIKE '^[0-9a-f]+$' LIMIT 10",
    "MERGE INTO archived.items AS t USING (SELECT id + 50 AS id, CAST(id AS DECIMAL(18, 2)) AS n FROM range(100)) AS s"
    " ON t.id = s.id WHEN MATCHED AND t.amount > 10 THEN DELETE WHEN MATCHED THEN UPDATE SET amount = s.n"
    " WHEN NOT MATCHED THEN INSERT (id, day, amount, name) VALUES (s.id, DATE'2018-01-03', s.n, NULL)",
    "SELECT day, sum(amount), count(DISTINCT name), max(previous) FROM"
    " (SELECT *, lag(id) OVER (PARTITION BY day ORDER BY id) AS previous FROM archived.items)"
    " JOIN (SELECT explode(sequence(1, 99)) AS id) USING (id) GROUP BY day ORDER BY day",
    "SELECT count(*) FROM archived.items VERSION AS OF 1 FULL JOIN table_changes('archived.items', 1) USING (id)",
    "DESCRIBE HISTORY archived.items",
    "DESCRIBE DETAIL archived.items",
    "INSERT OVERWRITE archived.items SELECT * FROM archived.items",
    "INSERT OVERWRITE DIRECTORY '{folder}/parquet' USING parquet SELECT * FROM archived.items",
    "SELECT count(*) FROM parquet.`{folder}/parquet` LEFT ANTI JOIN archived.items USING (id)",
    "INSERT OVERWRITE DIRECTORY '{folder}/text' USING text SELECT to_json(struct(*)) FROM archived.items",
    "SELECT from_json(value, 'id BIGINT').id, _metadata.file_path FROM text.`{folder}/text`",
)
"""The kinds of statements that the jobs send; they load most of the classes that a daily run does."""


def ensure_class_archive(state: StateFolder) -> None:
    """Make the archive for this Java and these jars, unless there is one.

    Where that fails, an empty file keeps the next command from trying again: Spark starts without an archive.
    """
    target = class_archive(state.jars, find_java_home(state.root), spark_of(state.venv("workspace")))
    if target.exists():
        return
    print("  Spark's classes: archiving them, for faster starts ...", flush=True)
    begun = time.monotonic()
    command = [str(state.python("workspace")), "-m", "laptop.class_archive", str(target)]
    environment = os.environ | {"LAKEHOUSE_STATE": str(state.root)}
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True)
    if done.returncode:
        target.touch()
        print(f"  Spark's classes: there is no archive of them:\n{last_lines(done.stderr)}", flush=True)
        return
    size = target.stat().st_size / 1024**2
    print(f"  Spark's classes: {size:.0f} MB after {time.monotonic() - begun:.0f} s", flush=True)


def spark_of(environment: Path) -> Path:
    """Return the folder of the pyspark in a virtual environment, as a Spark server of that environment finds it."""
    return next(environment.resolve().glob("lib/python*/site-packages/pyspark"))


def archive_classes(state: StateFolder, target: Path) -> None:
    """Run a Spark in a folder of the state folder, and write its archive. Raises UserError."""
    from pyspark.sql import SparkSession

    from local_workspace.spark_server import FEW_ROWS_SETTINGS, SparkServer

    folder, draft = state.root / "class-archive", target.with_name(f".{target.name}")
    server = SparkServer(
        folder,
        free_port(),
        jars=state.jars,
        java_home=find_java_home(state.root),
        more_settings=FEW_ROWS_SETTINGS,
        # Without the optimising compiler, which would only warm up.
        more_java_options=(f'"-XX:ArchiveClassesAtExit={draft}"', "-XX:TieredStopAtLevel=1"),
    )
    for earlier in target.parent.glob("*.jsa"):  # of another Java or Spark, and what a killed set-up has left
        earlier.unlink()
    try:
        server.start()
        spark = SparkSession.builder.remote(server.remote).create()
        for statement in STATEMENTS:
            spark.sql(statement.format(folder=folder)).collect()
        spark.stop()
        if server.stop(ARCHIVING_SECONDS) == -signal.SIGKILL or not draft.exists():
            raise UserError(f"Java wrote no archive. The end of Spark's log:\n{server.log_tail()}")
        with draft.open("rb") as file:  # a file that a power cut has damaged would crash Java
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    archive_classes(StateFolder.from_environment(), Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
