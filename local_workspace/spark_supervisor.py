"""Keep the Spark server of the workspace running."""

import contextlib
import logging
import threading
from collections.abc import Callable

from local_workspace.spark_server import SparkServer, SparkServerError
from local_workspace.spark_sessions import SparkSessions
from machine.java import NoJavaError
from machine.log_files import limit_log, most_bytes

log = logging.getLogger(__name__)
USER_ID = "workspace"


class SparkSupervisor:
    """Starts the server, notices its death, and starts it again."""

    def __init__(self, server: SparkServer, when_lost: Callable[[], None]) -> None:
        self.server = server
        self._when_lost = when_lost
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="spark-supervisor", daemon=True)
        self._sessions: SparkSessions | None = None
        self.state = "starting"
        self.error = ""
        self._most_log_bytes = most_bytes()
        self.generation = 0  # of servers: a task compares it to know whether its server was replaced

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._ready.clear()
        if self._thread.is_alive():
            self._thread.join(timeout=150)
        self.server.stop()
        self.state = "stopped"

    def wait_until_ready(self, timeout: float) -> bool:
        return self._ready.wait(timeout)

    def is_ready(self) -> bool:
        return self._ready.is_set() and self.server.is_alive()

    def remote_url(self, session_id: str) -> str:
        return self.server.remote_url(session_id, USER_ID)

    def end_session(self, session_id: str, *, interrupt: bool) -> None:
        sessions = self._sessions
        if sessions is not None and self.is_ready():
            sessions.end(session_id, interrupt=interrupt)

    def _supervise(self) -> None:
        pause = 1.0
        while not self._stopping.is_set():
            try:
                self.server.start()
                self._sessions = SparkSessions(self.server.port, self.server.state.secret("spark_token"), USER_ID)
            except (SparkServerError, NoJavaError, OSError) as error:
                self.state, self.error = "failed", str(error)
                log.error("%s", error)
                self._stopping.wait(pause)
                pause = min(pause * 2, 60.0)
                continue
            pause = 1.0
            self.generation += 1
            self.state, self.error = "ready", ""
            self._ready.set()
            while self.server.is_alive() and not self._stopping.wait(0.3):
                with contextlib.suppress(OSError):  # no room for the copy: the log grows until there is some
                    limit_log(self.server.log_file, self._most_log_bytes)
            self._ready.clear()
            if self._stopping.is_set():
                break
            self.state, self.error = "starting", "Spark died and is being restarted."
            log.error("Spark died; the end of its log:\n%s", self.server.log_tail())
            self._when_lost()
            self.server.stop()
