"""Where everything lies on one machine: the state folder, its parts, the ports and the addresses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from laptop.problems import Problem
from machine.ports import HOST

REPO = Path(__file__).resolve().parent.parent
CATALOG = "spark_catalog"
PORT_VARIABLES = {
    "workspace": ("LAKEHOUSE_WORKSPACE_PORT", 8765),
    "spark": ("LAKEHOUSE_SPARK_PORT", 15002),
    "airflow": ("LAKEHOUSE_AIRFLOW_PORT", 8080),
}
# What another state folder may borrow from the main one, because it never changes after set-up.
SHARED_PARTS = ("venv", "jars", "java")


@dataclass(frozen=True)
class State:
    """The state folder: git-ignored, removed by `make clean`, and the only place that the laptop writes to."""

    root: Path
    workspace_port: int
    spark_port: int
    airflow_port: int

    @classmethod
    def from_environment(cls) -> State:
        """The state folder and the ports that the environment names, or the defaults."""
        root = Path(os.environ.get("LAKEHOUSE_STATE") or REPO / ".state").expanduser()
        ports = {name: _port(*variable) for name, variable in PORT_VARIABLES.items()}
        if len(set(ports.values())) < len(ports):
            names = ", ".join(name for name, _ in PORT_VARIABLES.values())
            raise Problem(f"{names} must be three different ports; they are {sorted(ports.values())}.")
        return cls(root.resolve(), ports["workspace"], ports["spark"], ports["airflow"])

    def venv(self, name: str) -> Path:
        return self.root / "venv" / name

    def python(self, name: str) -> Path:
        return self.venv(name) / "bin" / "python"

    @property
    def jars(self) -> Path:
        return self.root / "jars"

    @property
    def java(self) -> Path:
        return self.root / "java"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def pids(self) -> Path:
        return self.root / "pids"

    @property
    def airflow_home(self) -> Path:
        return self.root / "airflow"

    @property
    def volumes(self) -> Path:
        return self.root / "volumes"

    @property
    def landing(self) -> Path:
        return self.volumes / CATALOG / "landing" / "files"

    @property
    def ops(self) -> Path:
        return self.volumes / CATALOG / "ops" / "files"

    @property
    def workspace_url(self) -> str:
        return f"http://{HOST}:{self.workspace_port}"

    @property
    def airflow_url(self) -> str:
        return f"http://{HOST}:{self.airflow_port}"

    def secret(self, name: str) -> str:
        """The text of one secret file."""
        path = self.secrets / name
        try:
            return path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise Problem(f"the secret {path} is missing; `make setup` makes it.") from None

    def spark_remote(self) -> str:
        """The Spark Connect address; the host must be `localhost` (with any other, the client demands TLS)."""
        return f"sc://localhost:{self.spark_port}/;token={self.secret('spark_token')}"

    def environment(self) -> dict[str, str]:
        """The variables by which a child process finds this very state folder and its ports."""
        environment = {
            "LAKEHOUSE_STATE": str(self.root),
            "LAKEHOUSE_WORKSPACE_PORT": str(self.workspace_port),
            "LAKEHOUSE_SPARK_PORT": str(self.spark_port),
            "LAKEHOUSE_AIRFLOW_PORT": str(self.airflow_port),
        }
        if (self.java / "bin" / "java").exists():
            environment["JAVA_HOME"] = str(self.java)
        return environment


def beside(main: State, root: Path, ports: tuple[int, int, int]) -> State:
    """A second state folder with data and services of its own, on the environments and jars of the main one."""
    root = root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    for part in SHARED_PARTS:
        link, target = root / part, main.root / part
        if target.exists() and not link.exists():
            link.symlink_to(target.resolve(), target_is_directory=True)
    return State(root, *ports)


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise Problem(f"{variable}={text} is not a port; give a number from 1 to 65535.")
    return int(text)
