"""The state folder with the ports and addresses of its services."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from machine.command_line import UserError
from machine.ports import HOST, free_ports
from machine.state_folder import StateFolder, named_root

CATALOG = "spark_catalog"
PORT_VARIABLES = {
    "workspace": ("LAKEHOUSE_WORKSPACE_PORT", 8765),
    "spark": ("LAKEHOUSE_SPARK_PORT", 15002),
    "airflow": ("LAKEHOUSE_AIRFLOW_PORT", 8080),
}
# What another state folder may use, because it does not change after set-up.
SHARED_PARTS = ("venv", "jars", "java")


@dataclass(frozen=True)
class LaptopState(StateFolder):
    """The state folder: git-ignored, removed by `make clean`, and the only place that the commands write to."""

    workspace_port: int
    spark_port: int
    airflow_port: int

    @classmethod
    def from_environment(cls) -> LaptopState:
        """Return the state folder and the ports that the environment names, or the defaults. Raises UserError."""
        ports = {name: _port(*variable) for name, variable in PORT_VARIABLES.items()}
        if len(set(ports.values())) < len(ports):
            names = ", ".join(name for name, _ in PORT_VARIABLES.values())
            raise UserError(f"{names} must be three different ports; they are {sorted(ports.values())}.")
        return cls(named_root(), ports["workspace"], ports["spark"], ports["airflow"])

    def with_own_data(self, root: Path, ports: tuple[int, int, int] | None = None) -> LaptopState:
        """Make another state folder, with separate data and services, on the environments and jars of this one.

        `ports` (workspace, Spark, Airflow) are by default any that are free.
        """
        state = LaptopState(root.resolve(), *(ports or free_ports(3)))
        link_setup(self, state)
        return state

    @property
    def airflow_home(self) -> Path:
        return self.root / "airflow"

    @property
    def landing(self) -> Path:
        return self.volumes / CATALOG / "landing" / "files"

    @property
    def ops(self) -> Path:
        return self.volumes / CATALOG / "ops" / "files"

    @property
    def staging(self) -> Path:
        return self.volumes / CATALOG / "staging" / "files"

    @property
    def workspace_url(self) -> str:
        return f"http://{HOST}:{self.workspace_port}"

    @property
    def dashboard_url(self) -> str:
        return f"{self.workspace_url}/dashboards"

    @property
    def airflow_url(self) -> str:
        return f"http://{HOST}:{self.airflow_port}"

    def spark_remote(self) -> str:
        """Return the Spark Connect address; the host must be `localhost` (with any other, the client demands TLS)."""
        return f"sc://localhost:{self.spark_port}/;token={self.secret('spark_token')}"

    def environment(self) -> dict[str, str]:
        """Return the variables by which a child process finds this very state folder and its ports."""
        environment = {
            "LAKEHOUSE_STATE": str(self.root),
            "LAKEHOUSE_WORKSPACE_PORT": str(self.workspace_port),
            "LAKEHOUSE_SPARK_PORT": str(self.spark_port),
            "LAKEHOUSE_AIRFLOW_PORT": str(self.airflow_port),
        }
        if (self.java / "bin" / "java").exists():
            environment["JAVA_HOME"] = str(self.java)
        return environment


def link_setup(source: StateFolder, target: StateFolder) -> None:
    """Let a state folder use the environments, jars and Java of another one."""
    target.root.mkdir(parents=True, exist_ok=True)
    for part in SHARED_PARTS:
        link, original = target.root / part, source.root / part
        if original.exists() and not link.exists():
            link.symlink_to(original.resolve(), target_is_directory=True)


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise UserError(f"{variable}={text} is not a port; give a number from 1 to 65535.")
    return int(text)
