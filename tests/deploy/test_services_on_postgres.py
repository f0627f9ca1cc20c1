"""The Airflow services of docker-compose.yaml, run natively: LocalExecutor on PostgreSQL, up to the end of a run.

Commands, environments and health checks are read from the file, and the secrets are those that `make env` writes;
only addresses, ports and folders are put in for those of the containers. PostgreSQL is the machine's own (Debian's
package `postgresql`), and the workspace is a tiny one, so that no Spark is needed.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from laptop import compose_env
from machine.ports import free_port
from tests.dags.tiny_workspace import LANDING, TOKEN, TinyWorkspace, good_verdict
from tests.deploy.compose import REPO, entrypoint, services

AIRFLOW = Path(sys.executable).parent / "airflow"
STAYING = ("api-server", "scheduler", "dag-processor", "triggerer")
DAG = "ecommerce_medallion"


def postgres_programs() -> Path:
    """The folder of `initdb` and `postgres`, or a skip that says so."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    for folder in reversed(found):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")


def other_user() -> list[str]:
    """What to put before PostgreSQL's programs, which refuse to run as root."""
    if os.geteuid() != 0:
        return []
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    group = str(pwd.getpwnam(user).pw_gid)
    return ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]


class Stack:
    """The services as processes, and a client for the API server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "airflow"
        (self.home / "logs").mkdir(parents=True)
        self.port, self.postgres_port = free_port(), free_port()
        self.workspace = TinyWorkspace()
        self.workspace.folders[LANDING] = ["dt=2018-01-01"]
        self.workspace.duration = 0.2
        self.workspace.verdict = self.verdict
        (folder / ".env").write_text(f"{compose_env.TOKEN}={TOKEN}\n", encoding="utf-8")
        compose_env.write(folder / ".env")
        self.variables = compose_env.values((folder / ".env").read_text(encoding="utf-8"))
        self.services = services(self.variables)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.token = ""

    @staticmethod
    def verdict(layer: str, run_id: int, parameters: dict[str, str]) -> dict[str, Any]:
        """Yes for bronze, no for silver."""
        counts = {"evaluated": 57, "successful": 56, "failed": 1, "warnings": 0}
        verdict = good_verdict(layer, run_id, parameters)
        return verdict if layer == "bronze" else verdict | {"success": False, "statistics": counts}

    def here(self, text: str) -> str:
        """A text of the compose file with this machine's addresses and folders for the containers'."""
        for inside, outside in {
            "@postgres:5432": f"@127.0.0.1:{self.postgres_port}",
            "//api-server:8080": f"//127.0.0.1:{self.port}",
            "//localhost:8080": f"//127.0.0.1:{self.port}",
            compose_env.WORKSPACE: f"127.0.0.1:{self.workspace.port}",
            "0.0.0.0": "127.0.0.1",
            "/opt/lakehouse": str(REPO),
            "/opt/airflow": str(self.home),
        }.items():
            text = text.replace(inside, outside)
        return text

    def environment(self, name: str) -> dict[str, str]:
        given = {key: self.here(value) for key, value in self.services[name]["environment"].items()}
        given["AIRFLOW__API__PORT"] = str(self.port)
        given["LAKEHOUSE_MAINTENANCE_START"] = "2100-01-01"  # its weekly run would begin at once
        return given | {"PATH": f"{AIRFLOW.parent}:/usr/bin:/bin", "HOME": str(self.home)}

    def command(self, name: str) -> list[str]:
        whole = entrypoint(REPO / self.services[name]["build"]["dockerfile"]) + self.services[name]["command"]
        return [self.here(word) for word in whole]

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def start(self, name: str, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=environment, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        self.processes[name] = process
        return process

    def start_postgres(self, programs: Path) -> None:
        """A separate server on a free port, with the user, password and database that the compose file names."""
        data, secret = self.folder / "postgres", self.folder / "password"
        environment = self.services["postgres"]["environment"]
        user = other_user()
        secret.write_text(environment["POSTGRES_PASSWORD"], encoding="utf-8")
        secret.chmod(0o600)
        data.mkdir(mode=0o700)
        if user:
            account = user[1].partition("=")[2]
            shutil.chown(data, account)
            shutil.chown(secret, account)
        login = [f"--username={environment['POSTGRES_USER']}", f"--pwfile={secret}", "--auth=scram-sha-256"]
        subprocess.run(
            [*user, str(programs / "initdb"), "-D", str(data), "--no-sync", *login],
            check=True,
            capture_output=True,
            cwd=self.folder,
        )
        secret.unlink()
        server = ["-D", str(data), "-h", "127.0.0.1", "-p", str(self.postgres_port), "-k", "", "-c", "fsync=off"]
        self.start("postgres", [*user, str(programs / "postgres"), *server], {"PATH": "/usr/bin:/bin", "TZ": "UTC"})
        import psycopg2

        def connected() -> Any:
            with contextlib.suppress(psycopg2.OperationalError):
                return psycopg2.connect(
                    host="127.0.0.1",
                    port=self.postgres_port,
                    user=environment["POSTGRES_USER"],
                    password=environment["POSTGRES_PASSWORD"],
                    dbname="postgres",
                )

        connection = self.wait(connected, 30, "postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{environment["POSTGRES_DB"]}"')
        connection.close()

    def wait(self, condition: Any, seconds: float, *names: str) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := condition():
                return found
            for name in names:
                assert self.processes[name].poll() is None, f"{name} ended:\n{self.log(name)[-3000:]}"
            time.sleep(0.3)
        raise AssertionError(f"not within {seconds} s: " + "\n".join(self.log(name)[-1500:] for name in names))

    def is_healthy(self, name: str) -> bool:
        """The health check that the compose file gives the service."""
        kind, *command = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        command = [self.here(word) for word in command]
        done = subprocess.run(command, env=self.environment(name), capture_output=True, timeout=30)
        return done.returncode == 0

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return json.load(answer)

    def log_in(self) -> None:
        login = {"username": "admin", "password": self.variables["LAKEHOUSE_AIRFLOW_PASSWORD"]}
        self.token = self.call("POST", "/auth/token", login)["access_token"]

    def stop(self) -> None:
        for name, process in reversed(self.processes.items()):
            # SIGINT is PostgreSQL's fast shutdown.
            process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
        for process in reversed(self.processes.values()):
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        self.workspace.close()


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    programs = postgres_programs()
    pytest.importorskip("psycopg2", reason="needs requirements-postgres.txt")
    pytest.importorskip("asyncpg", reason="needs requirements-postgres.txt")
    if not AIRFLOW.exists():
        pytest.skip(f"there is no Airflow beside {sys.executable}")
    # Not pytest's own folder: PostgreSQL's user may not enter it.
    folder = Path(tempfile.mkdtemp(prefix="compose-"))
    folder.chmod(0o755)
    stack = Stack(folder)
    try:
        stack.start_postgres(programs)
        init = stack.start("airflow-init", stack.command("airflow-init"), stack.environment("airflow-init"))
        assert init.wait(timeout=180) == 0, stack.log("airflow-init")[-3000:]
        for name in STAYING:
            stack.start(name, stack.command(name), stack.environment(name))
        for name in STAYING:
            stack.wait(lambda name=name: stack.is_healthy(name), 120, *STAYING)
        stack.log_in()
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_the_database_is_postgresql(stack: Stack) -> None:
    import psycopg2

    with psycopg2.connect(
        host="127.0.0.1",
        port=stack.postgres_port,
        user="airflow",
        password=stack.variables["LAKEHOUSE_POSTGRES_PASSWORD"],
        dbname="airflow",
    ) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT count(*) FROM job WHERE state = 'running'")
        assert cursor.fetchone()[0] >= 3
    connection.close()
    assert not list(stack.home.rglob("*.db"))


def test_the_pool_counts_deferred_tasks_and_stays_as_it_is(stack: Stack) -> None:
    pool = stack.call("GET", "/api/v2/pools/databricks")
    assert (pool["slots"], pool["include_deferred"]) == (3, True)
    changed = {"pool": "databricks", "slots": 5, "description": "mine", "include_deferred": True}
    stack.call("PATCH", "/api/v2/pools/databricks", changed)
    again = stack.start("airflow-init", stack.command("airflow-init"), stack.environment("airflow-init"))
    assert again.wait(timeout=180) == 0, stack.log("airflow-init")[-3000:]
    assert stack.call("GET", "/api/v2/pools/databricks")["slots"] == 5


def test_only_the_password_of_env_opens_it(stack: Stack) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        stack.call("POST", "/auth/token", {"username": "admin", "password": "admin"})
    assert refused.value.code == 401
    passwords = stack.home / "passwords.json"
    assert passwords.stat().st_mode & 0o777 == 0o600


def test_a_run_of_the_dag_goes_as_far_as_its_gates_let_it(stack: Stack) -> None:
    def parsed() -> Any:
        try:
            return stack.call("GET", f"/api/v2/dags/{DAG}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return None

    stack.wait(parsed, 60, *STAYING)
    assert stack.call("GET", "/api/v2/importErrors")["total_entries"] == 0
    stack.call("PATCH", f"/api/v2/dags/{DAG}?update_mask=is_paused", {"is_paused": False})
    interval = {"data_interval_start": "2018-01-01T00:00:00Z", "data_interval_end": "2018-01-02T00:00:00Z"}
    run = stack.call("POST", f"/api/v2/dags/{DAG}/dagRuns", {"logical_date": "2018-01-02T00:00:00Z", **interval})
    path = f"/api/v2/dags/{DAG}/dagRuns/{run['dag_run_id']}"

    def over() -> Any:
        state = stack.call("GET", path)["state"]
        return state if state in ("success", "failed") else None

    # Bronze goes all its way; silver's gate says no, which ends the run without another minute of the same.
    assert stack.wait(over, 180, *STAYING) == "failed", stack.call("GET", f"{path}/taskInstances")
    states = {task["task_id"]: task["state"] for task in stack.call("GET", f"{path}/taskInstances")["task_instances"]}
    done = ("check_landing", "bronze.build", "bronze.gate", "bronze.publish", "silver.build")
    never = ("silver.publish", "gold.build", "gold.gate", "gold.publish")
    expected = dict.fromkeys(done, "success") | dict.fromkeys(never, "upstream_failed") | {"silver.gate": "failed"}
    assert states == expected
    assert [run["job"] for run in stack.workspace.runs.values()] == ["bronze_build", "publish", "silver_build"]
    log = json.dumps(stack.call("GET", f"{path}/taskInstances/bronze.gate/logs/1?map_index=-1"))
    assert "Verdict on bronze" in log, log[-2000:]


def test_no_secret_is_in_any_log(stack: Stack) -> None:
    secrets = {stack.variables[name] for name in compose_env.SECRETS}
    logs = [path for path in stack.folder.rglob("*.log") if path.is_file()]
    assert len(logs) > 10
    for path in logs:
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not [secret for secret in secrets if secret in text], path
