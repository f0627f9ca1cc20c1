"""What a client asks of Spark, call by call: executed statements, schema analyses, configuration calls, their seconds.

`SparkCalls.session` makes a Spark Connect session whose calls are recorded, and `SparkCalls.task` names what runs. The
client's own calls are recorded (a gRPC interceptor), so nothing that is measured needs to know of it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import Message

from machine.state_folder import REPO

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STATEMENT, ANALYSIS, CONFIG = "ExecutePlan", "AnalyzePlan", "Config"
METHODS = (STATEMENT, ANALYSIS, CONFIG)
_TEXT_LIMIT = 160
_MEASURED = str(REPO / "spark_jobs")


@dataclass
class SparkCall:
    """One call of the Spark Connect service."""

    task: str
    """What ran, as `SparkCalls.task` named it; empty outside of it."""
    method: str
    kind: str
    """`read`, `sql` or `write` for a statement; what is asked for an analysis or a configuration call."""
    text: str
    """The SQL, or the relations of the plan from the outermost one, with the names of tables."""
    where: str
    """The lines of the jobs' code that made the call, the innermost first."""
    seconds: float = 0.0
    """Until the last answer has arrived."""
    failed: bool = False


@dataclass
class SparkCalls(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Records the calls of its sessions; also those of several threads at a time."""

    recorded: list[SparkCall] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._task = ""
        self._lock = threading.Lock()

    def session(self, remote: str) -> SparkSession:
        """Make a session, the default one of this process: what asks for the platform's session gets it."""
        from pyspark.sql.connect.client import DefaultChannelBuilder
        from pyspark.sql.connect.session import SparkSession

        # What PySpark's own builder sets for a remote session; functions such as F.struct read it.
        os.environ |= {"SPARK_CONNECT_MODE_ENABLED": "1", "SPARK_REMOTE": remote}
        builder = DefaultChannelBuilder(remote)
        builder.add_interceptor(self)
        spark: Any = SparkSession.builder.channelBuilder(builder).create()
        return spark

    @contextmanager
    def task(self, name: str) -> Iterator[None]:
        """Record the calls that are made meanwhile, by whatever thread, under the name of a task."""
        before, self._task = self._task, name
        try:
            yield
        finally:
            self._task = before

    def count(self, method: str, task: str | None = None) -> int:
        """Count the calls of that method, by one task or by all."""
        return sum(call.method == method and task in (None, call.task) for call in self.recorded)

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        call = self._begin(details.method, request)
        begun = time.perf_counter()
        answer = continuation(details, request)
        if call:
            call.seconds = time.perf_counter() - begun
            call.failed = answer.code() is not grpc.StatusCode.OK
        return answer

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        call = self._begin(details.method, request)
        if call is None:
            return continuation(details, request)
        return _Answers(continuation(details, request), call)

    def _begin(self, path: str, request: Message) -> SparkCall | None:
        method = path.rpartition("/")[2]
        if method not in METHODS:
            return None
        kind, text = _described(method, request)
        call = SparkCall(self._task, method, kind, text[:_TEXT_LIMIT], _where(sys._getframe(1)))
        with self._lock:
            self.recorded.append(call)
        return call


class _Answers:
    """The answers to a statement, which note the time of the last one that arrived."""

    def __init__(self, answers: Any, call: SparkCall) -> None:
        self._answers = answers
        self._call = call
        self._begun = time.perf_counter()

    def __iter__(self) -> _Answers:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._answers)
        except grpc.RpcError:
            self._call.failed = True
            raise
        finally:
            self._call.seconds = time.perf_counter() - self._begun

    def __getattr__(self, name: str) -> Any:
        return getattr(self._answers, name)


def _described(method: str, request: Any) -> tuple[str, str]:
    """Return kind and text of a call."""
    if method == CONFIG:
        operation = request.operation.WhichOneof("op_type")
        asked = getattr(request.operation, operation)
        keys = [pair.key for pair in asked.pairs] if hasattr(asked, "pairs") else list(getattr(asked, "keys", []))
        return operation, ", ".join(keys)
    if method == ANALYSIS:
        asked = request.WhichOneof("analyze")
        return asked, _relations(getattr(request, asked))
    plan = request.plan
    if plan.WhichOneof("op_type") == "root":
        return "read", _relations(plan.root)
    command = plan.command.WhichOneof("command_type")
    if command == "sql_command":
        sql = plan.command.sql_command
        return "sql", " ".join((_sql(sql.input) or sql.sql).split())
    return ("write" if command.startswith("write") else command), _relations(plan.command)


def _sql(relation: Any) -> str:
    """Return the text of an SQL relation, also of one with references to other frames."""
    kind = relation.WhichOneof("rel_type")
    if kind == "sql":
        return str(relation.sql.query)
    return _sql(relation.with_relations.root) if kind == "with_relations" else ""


def _relations(message: Message) -> str:
    """Name the relations inside a message from the outermost one, tables by their names; inputs in parentheses."""
    parts: list[str] = []
    for descriptor, value in message.ListFields():
        if descriptor.type != descriptor.TYPE_MESSAGE or descriptor.name == "common":
            continue
        values = [value] if isinstance(value, Message) else list(value) if not hasattr(value, "items") else []
        parts += [text for each in values if (text := _relations(each))]
    inner = ", ".join(parts)
    if message.DESCRIPTOR.name != "Relation":
        return inner
    kind = str(message.WhichOneof("rel_type"))
    if kind == "read":
        return _source(message)
    if kind == "sql":
        return f"sql {_sql(message)}"
    return f"{kind}({inner})" if inner else kind


def _source(relation: Any) -> str:
    read = relation.read
    if read.WhichOneof("read_type") == "named_table":
        return str(read.named_table.unparsed_identifier)
    return f"{read.data_source.format} {' '.join(Path(path).name for path in read.data_source.paths[:3])}"


def _where(frame: FrameType | None) -> str:
    lines: list[str] = []
    while frame is not None and len(lines) < 4:
        file = frame.f_code.co_filename
        if file.startswith(_MEASURED):
            lines.append(f"{Path(file).stem}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(lines)


def delta_versions(warehouse: Path) -> Counter[str]:
    """Return for each table (`schema.table`, as the folders name it) how many commits it has had."""
    found: Counter[str] = Counter()
    for log in warehouse.rglob("_delta_log"):
        versions = [int(path.stem) for path in log.glob("[0-9]*.json") if path.stem.isdigit()]
        name = ".".join(log.parent.relative_to(warehouse).parts).replace(".db.", ".")
        found[name] = max(versions, default=-1) + 1
    return found
