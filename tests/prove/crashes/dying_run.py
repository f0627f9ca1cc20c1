"""Build, audit and publish of one layer in another process, which kills itself at a commit.

Run as a module. Arguments: a build's parameters as JSON, then where to die, such as `7 before` or `7 after` (or
`0 never`). Commits are counted from 1 through the whole run; each is printed when it is reached.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyspark.sql.connect.client import SparkConnectClient

from spark_jobs.layers.registry import TABLES
from spark_jobs.runtime.job_parameters import BuildParameters, PublishParameters
from spark_jobs.runtime.session import spark_session
from spark_jobs.storage.lakehouse import Lakehouse
from spark_jobs.storage.ops_volume import OpsVolume
from spark_jobs.storage.publications import Publications
from spark_jobs.tasks.audit import audit_build
from spark_jobs.tasks.build import build_layer
from spark_jobs.tasks.publish import publish_build

WRITING = ("ALTER", "CREATE", "DELETE", "DROP", "INSERT", "MERGE", "RESTORE")
RUN_SETTINGS = ("catalog", "schema_prefix", "ops_root", "staging_root", "repair_count", "layer")


class Commits:
    """Counts what is written, and kills the process at one of them."""

    def __init__(self, number: int, moment: str) -> None:
        self._number, self._moment = number, moment
        self._reached = 0
        self._one_at_a_time = threading.RLock()

    @contextmanager
    def commit(self, name: str) -> Iterator[None]:
        # Tables are written side by side; here one after the other, so that a number names a commit.
        with self._one_at_a_time:
            self._reached += 1
            print(f"commit {self._reached}: {name}", flush=True)
            self._die("before")
            yield
            self._die("after")

    def _die(self, moment: str) -> None:
        if (self._reached, moment) == (self._number, self._moment):
            os.kill(os.getpid(), signal.SIGKILL)


def written(command: Any) -> str | None:
    """What a Spark Connect command writes, in a few words; None if it only reads."""
    kind = command.WhichOneof("command_type")
    if kind == "sql_command":
        return written_by(command.sql_command.input)
    if kind in ("write_operation", "write_operation_v2"):
        write = getattr(command, kind)
        return f"write {getattr(write, 'table_name', '') or write.table.table_name}"
    return None


def written_by(relation: Any) -> str | None:
    """What a statement writes, in a few words; None if it only reads."""
    if relation.HasField("with_relations"):  # a statement that reads frames
        relation = relation.with_relations.root
    text = " ".join(relation.sql.query.split())
    return text[:100] if text.upper().startswith(WRITING) else None


def watch(commits: Commits) -> None:
    """Every command that writes, and every file on the ops and staging volumes, is a commit."""
    execute: Callable[..., Any] = SparkConnectClient.execute_command
    fetch: Callable[..., Any] = SparkConnectClient.to_table
    write_json: Callable[..., Any] = OpsVolume.write_json

    def watched_execute(client: SparkConnectClient, command: Any, *rest: Any, **named: Any) -> Any:
        name = written(command)
        if name is None:
            return execute(client, command, *rest, **named)
        with commits.commit(name):
            return execute(client, command, *rest, **named)

    def watched_fetch(client: SparkConnectClient, plan: Any, *rest: Any, **named: Any) -> Any:
        name = written_by(plan.root)
        if name is None:
            return fetch(client, plan, *rest, **named)
        with commits.commit(name):
            return fetch(client, plan, *rest, **named)

    def watched_write(volume: OpsVolume, relative: str, content: dict[str, Any]) -> None:
        with commits.commit(f"file {relative}"):
            write_json(volume, relative, content)

    write_table: Callable[..., Any] = pq.write_table

    def watched_staging(rows: Any, where: Any, *rest: Any, **named: Any) -> None:
        with commits.commit(f"staging {Path(where).parent.name}"):
            write_table(rows, where, *rest, **named)

    setattr(pq, "write_table", watched_staging)  # noqa: B010
    setattr(SparkConnectClient, "execute_command", watched_execute)  # noqa: B010 - mypy forbids the assignment
    setattr(SparkConnectClient, "to_table", watched_fetch)  # noqa: B010
    setattr(OpsVolume, "write_json", watched_write)  # noqa: B010


def main() -> None:
    parameters = BuildParameters.from_texts(json.loads(sys.argv[1]))
    number, moment = sys.argv[2].split()
    ops = OpsVolume(parameters.ops_root)
    lakehouse = Lakehouse(spark_session(), parameters.names, ops, parameters.staging_root, TABLES)
    Publications(lakehouse).create()
    watch(Commits(int(number), moment))
    build = build_layer(lakehouse, parameters)
    verdict = audit_build(lakehouse, build)
    if not verdict.success:
        raise AssertionError("\n".join(verdict.lines()))
    print("to publish:", json.dumps([build.build_id, verdict.fingerprint]), flush=True)
    texts = parameters.as_texts()
    settings = {name: texts[name] for name in RUN_SETTINGS}
    chosen = {
        "build_job_run_id": parameters.job_run_id,
        "build_id": build.build_id,
        "job_run_id": f"{parameters.job_run_id}0",
        "fingerprint": verdict.fingerprint,
    }
    publish_build(lakehouse, PublishParameters.from_texts(settings | chosen))
    os._exit(0)


if __name__ == "__main__":
    main()
