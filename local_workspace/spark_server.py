"""Start, check and stop the Spark Connect server of a state folder.

This module needs nothing else of the workspace: tests and tools use it with their own state folders.
"""

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psutil

from machine.command_line import UserError
from machine.java import find_java_home
from machine.log_files import begin_log, log_end
from machine.ports import HOST, port_is_free
from machine.process_environment import UTF8
from machine.processes import ProcessIdentity, end_group
from machine.state_folder import StateFolder, private_file, private_folder

DRIVER = Path(__file__).with_name("spark_driver.py")
DEFAULT_PORT = 15002
DEFAULT_DRIVER_MEMORY = "4g"
# For few cores and much generated code: a garbage collector that does not run at the same time as the work, and a large
# code cache. A fresh JVM spent half of its first run on optimising code, most of which ran only briefly, so the
# thresholds for optimisation are ten times their defaults.
JAVA_OPTIONS = (
    "-Duser.timezone=UTC",
    "-XX:+UseParallelGC",
    "-XX:ReservedCodeCacheSize=512m",
    "-XX:-UseCodeCacheFlushing",
    "-XX:Tier4InvocationThreshold=50000",
    "-XX:Tier4MinInvocationThreshold=6000",
    "-XX:Tier4CompileThreshold=150000",
    "-XX:Tier4BackEdgeThreshold=400000",
)
# The defaults (200 and 50 partitions) are for clusters; on one machine they cost seconds per commit.
MANY_ROWS_SETTINGS = {
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
    "spark.sql.shuffle.partitions": str(max(2, os.cpu_count() or 2)),
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.leafNodeDefaultParallelism": str(os.cpu_count() or 2),
}
# For few rows, generating code costs more than it saves, and one partition is enough: the first daily runs of a fresh
# Spark take a fifth to a third less work.
FEW_ROWS_SETTINGS = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.shuffle.partitions": "1",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.leafNodeDefaultParallelism": "1",
}
SETTINGS_BY_ROWS = {"few": FEW_ROWS_SETTINGS, "many": MANY_ROWS_SETTINGS}


class SparkServerError(UserError):
    """Spark could not be started. The message gives the reason and the remedy."""


class SparkServer:
    """A Spark Connect server with Delta that listens on 127.0.0.1 and requires a token."""

    def __init__(
        self,
        state: Path,
        port: int = DEFAULT_PORT,
        *,
        driver_memory: str = DEFAULT_DRIVER_MEMORY,
        jars: Path | None = None,
        java_home: Path | None = None,
        start_timeout: float = 120.0,
        more_settings: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare a server that is not started yet.

        `jars` and `java_home` default to those of the state folder; `start_timeout` is seconds.
        """
        self.state = StateFolder(Path(state).resolve())
        self.port = port
        self._driver_memory = driver_memory
        self._jars = jars or self.state.jars
        self._java_home = java_home
        self._start_timeout = start_timeout
        self._more_settings = dict(more_settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._pid_file = self.state.pids / "spark.json"
        self.log_file = self.state.logs / "spark.log"

    def start(self) -> None:
        """Start the server and return when a client can connect. Raises SparkServerError and NoJavaError."""
        if self.is_alive():
            return
        for folder in (self.state.pids, self.state.logs, self.state.spark, self.state.root / "warehouse"):
            private_folder(folder)
        self.end_orphan()
        if not port_is_free(self.port):
            raise SparkServerError(
                f"Port {self.port} on {HOST} is in use, so Spark cannot listen there: stop the program "
                "that uses it, or choose another port (LAKEHOUSE_SPARK_PORT)."
            )
        jars = sorted(self._jars.glob("*.jar"))
        if not jars:
            raise SparkServerError(f"There are no Spark jars in {self._jars}: run `make setup` to fetch them.")
        java_home = self._java_home or find_java_home(self.state.root)
        properties = self._write_settings(jars)
        spark_home = _spark_home()
        command = [str(spark_home / "bin" / "spark-submit"), "--properties-file", str(properties)]
        with begin_log(self.log_file) as log:
            self._process = subprocess.Popen(  # noqa: S603 - a fixed argument list
                [*command, str(DRIVER)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.state.spark,
                env=self._environment(spark_home, java_home),
                start_new_session=True,
            )
        self._write_pid_file()
        try:
            self._wait_until_open()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and its child processes."""
        process, self._process = self._process, None
        if process is None:
            return
        end_group(process.pid, grace=8)
        process.wait()
        self._pid_file.unlink(missing_ok=True)

    def is_alive(self) -> bool:
        """Return whether the server's process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The server's process id, which is also its process group."""
        return self._process.pid if self._process else None

    @property
    def remote(self) -> str:
        """The connection string (SPARK_REMOTE) for clients, each with its own session. It contains the token."""
        return f"sc://localhost:{self.port}/;token={self.state.secret('spark_token')}"

    def remote_url(self, session_id: str, user_id: str = "local") -> str:
        """Return the connection string of one session."""
        return f"{self.remote};user_id={quote(user_id)};session_id={session_id}"

    def end_orphan(self) -> bool:
        """End a server whose owner was killed; True if one was found.

        Raises SparkServerError if the owner runs: two servers would corrupt the metastore.
        """
        try:
            record = json.loads(self._pid_file.read_text(encoding="utf-8"))
            server = ProcessIdentity(record["pid"], record["started"])
            owner = ProcessIdentity(record["owner_pid"], record["owner_started"])
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if not server.is_alive():
            self._pid_file.unlink(missing_ok=True)
            return False
        if owner.is_alive() and owner.pid != os.getpid():
            raise SparkServerError(
                f"Spark already runs for {self.state.root} (process {server.pid}, port {record.get('port')}, "
                f"started by process {owner.pid}): use that one, or stop it first with `make down`."
            )
        end_group(server.pid, grace=8)
        self._pid_file.unlink(missing_ok=True)
        return True

    def _write_pid_file(self) -> None:
        if self._process is None:
            return
        try:
            server, owner = ProcessIdentity.of(self._process.pid), ProcessIdentity.of(os.getpid())
        except psutil.Error:  # it has ended already: _wait_until_open reports that
            return
        record = {"pid": server.pid, "started": server.started, "port": self.port}
        record |= {"owner_pid": owner.pid, "owner_started": owner.started}
        with private_file(self._pid_file) as file:
            file.write(json.dumps(record).encode())

    def _wait_until_open(self) -> None:
        process = self._process
        deadline = time.monotonic() + self._start_timeout
        while time.monotonic() < deadline:
            if process is None or process.poll() is not None:
                code = process.returncode if process else None
                raise SparkServerError(
                    f"Spark ended while it started (exit code {code}). The end of its log, "
                    f"{self.log_file}:\n{self.log_tail()}"
                )
            try:
                # The server opens its port last, when Spark is up.
                socket.create_connection((HOST, self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise SparkServerError(
            f"Spark was not ready after {self._start_timeout:.0f} s. The end of its log, {self.log_file}:\n"
            f"{self.log_tail()}"
        )

    def log_tail(self) -> str:
        """Return the last lines of the server's log."""
        return log_end(self.log_file) or "(there is no log)"

    def _write_settings(self, jars: list[Path]) -> Path:
        """Write Spark's settings to a file, because `ps` would show a token on the command line."""
        if not re.fullmatch(r"[1-9][0-9]*[mgMG]", self._driver_memory):
            raise SparkServerError(
                f"Spark's memory must be a number and a unit, like 4g or 3000m, not {self._driver_memory!r} "
                "(LAKEHOUSE_SPARK_MEMORY)."
            )
        scratch = self.state.spark / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)  # a Spark that was killed has left it
        private_folder(scratch)
        metastore = self.state.root / "metastore_db"
        settings = {
            "spark.app.name": "local workspace",
            "spark.master": "local[*]",
            "spark.driver.memory": self._driver_memory,
            "spark.driver.host": HOST,
            "spark.driver.bindAddress": HOST,
            # Not /tmp: it may refuse to run the libraries that Spark unpacks there, and what a Spark that is killed
            # leaves in it would stay for ever.
            "spark.driver.extraJavaOptions": " ".join([*JAVA_OPTIONS, f'"-Djava.io.tmpdir={scratch}"']),
            "spark.jars": ",".join(jar.resolve().as_uri() for jar in jars),
            "spark.local.dir": str(scratch),
            "spark.ui.enabled": "false",
            # The driver program uses the classic API; only clients use Connect.
            "spark.api.mode": "classic",
            "spark.connect.grpc.binding.address": HOST,
            "spark.connect.grpc.binding.port": str(self.port),
            "spark.connect.authenticate.token": self.state.secret("spark_token"),
            "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
            "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
            "spark.sql.catalogImplementation": "hive",
            "spark.sql.warehouse.dir": str(self.state.root / "warehouse"),
            "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={metastore};create=true",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.ansi.enabled": "true",
            **MANY_ROWS_SETTINGS,
            # Each commit would read the table's list of files again, to write it to a checksum file that nothing uses.
            "spark.databricks.delta.allFilesInCrc.enabled": "false",
            # Each table stays in memory for an hour after its last use, with some 2 MB of plans. Staging tables, which
            # are dropped, would fill the heap, and garbage collection would take most of the time.
            "spark.databricks.delta.delta.log.cacheSize": "100",
            # A daily run generates some thousand classes. The default of 100 would keep none of them for the next run.
            "spark.sql.codegen.cache.maxEntries": "4000",
            # Hadoop's file systems start a process for each permission that they set and each link that they look for:
            # these start the fewest. This log store suffices for one Spark that alone writes to its tables.
            "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
            "spark.delta.logStore.file.impl": "io.delta.storage.LocalLogStore",
            # Spark writes each query's plan down for a web page that is switched off; the short form costs less.
            "spark.sql.ui.explainMode": "simple",
            # Shuffles are most of what a load writes. By default Spark writes each twice where it has few partitions.
            "spark.shuffle.sort.bypassMergeThreshold": "1",
            "spark.io.compression.codec": "zstd",
            "spark.io.compression.zstd.level": "6",
            # The files of tables and of staging.
            "spark.sql.parquet.compression.codec": "zstd",
            # Without a cluster, planning a query again after each stage costs more than it saves.
            "spark.sql.adaptive.enabled": "false",
            # Listing a thousand landed files takes seconds with a task per file, and almost none with a few tasks.
            "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",
            # The message of a failed statement is enough; the server's log has the stack trace.
            "spark.sql.connect.serverStacktrace.enabled": "false",
            "spark.sql.pyspark.jvmStacktrace.enabled": "false",
            # For messages of errors, Spark looks up the line of code that made each column, in Python and in the JVM.
            # That makes a plan of bronze four times as long. Python's traceback names the line too.
            "spark.python.sql.dataFrameDebugging.enabled": "false",
            "spark.sql.dataFrameQueryContext.enabled": "false",
            **self._more_settings,
        }
        path = self.state.spark / "spark.properties"
        with private_file(path) as file:
            for key, value in settings.items():
                escaped = value.replace("\\", "\\\\")
                file.write(f"{key}={escaped}\n".encode())
        (self.state.spark / "log4j2.properties").write_text(_LOGGING, encoding="utf-8")
        return path

    def _environment(self, spark_home: Path, java_home: Path) -> dict[str, str]:
        kept = ("PATH", "HOME", "TMPDIR", "USER", "LOGNAME")
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        return environment | {
            **UTF8,
            "TZ": "UTC",
            "JAVA_HOME": str(java_home),
            "SPARK_HOME": str(spark_home),
            # Keeps out the settings of another Spark on this machine.
            "SPARK_CONF_DIR": str(self.state.spark),
            "SPARK_LOCAL_IP": HOST,
            "PYSPARK_PYTHON": sys.executable,
        }


_LOGGING = """\
rootLogger.level = warn
rootLogger.appenderRef.stdout.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss.SSS} %p %c{1}: %m%n%ex
logger.hive.name = org.apache.hadoop.hive
logger.hive.level = error
logger.datanucleus.name = DataNucleus
logger.datanucleus.level = error
"""


def _spark_home() -> Path:
    """Return the folder of the installed pyspark, which contains Spark; found without the cost of importing it."""
    found = importlib.util.find_spec("pyspark")
    if found is None or found.origin is None:
        raise SparkServerError(f"pyspark is not installed for {sys.executable}: run `make setup`.")
    return Path(found.origin).parent
