"""What the workspace's image and containers run: `setup` and `wheel` at build time, then `serve`, and `deploy` once.

The code is that of one machine without containers: only the folders differ. What set-up makes is in the image; data,
runs and secrets are in the volume at LAKEHOUSE_STATE. The token comes as LAKEHOUSE_WORKSPACE_TOKEN, because Airflow
must know it too; every other secret is made on first start and never leaves the volume.
"""

from __future__ import annotations

import os
import sys

from laptop.java_setup import ensure_java
from laptop.laptop_state import LaptopState, link_setup
from laptop.spark_jars import ensure_jars
from machine.command_line import UserError, run_command
from machine.state_folder import REPO, StateFolder, private_folder, write_private
from tools.build_wheel import ensure_wheel
from tools.environments import ensure_environment

TOKEN = "LAKEHOUSE_WORKSPACE_TOKEN"  # noqa: S105 - the variable's name
IMAGE = StateFolder(REPO / "setup")
"""What set-up makes, in the image and not in the volume."""


def setup() -> None:
    """Install packages, Java and Spark's jars, when the image is built.

    No secret is made here: a layer would keep it.
    """
    private_folder(IMAGE.root)
    ensure_environment(IMAGE, "workspace")
    print(f"  Java: {ensure_java(IMAGE)}", flush=True)
    ensure_jars(IMAGE)


def token() -> str:
    value = os.environ.pop(TOKEN, "")
    if not value:
        raise UserError(f"{TOKEN} is not set; `make env` writes it to .env, which compose reads.")
    return value


def serve(state: LaptopState) -> None:
    """Start the workspace in this process's place, on the volume."""
    private_folder(state.root)
    private_folder(state.secrets)
    link_setup(IMAGE, state)
    write_private(state.secrets / "workspace_token", token())
    state.ensure_secrets()
    for folder in (state.landing, state.ops, state.staging):
        folder.mkdir(parents=True, exist_ok=True)
    run_workspace(state, "serve")


def deploy(state: LaptopState, host: str) -> None:
    """Bring the bundle's jobs into the running workspace, in this process's place."""
    os.environ["DATABRICKS_TOKEN"] = token()
    bundle = ["--bundle", str(REPO / "databricks.yml"), "--target", "local"]
    run_workspace(state, "deploy", *bundle, "--host", host, "--var", f"volumes_root={state.volumes}")


def run_workspace(state: LaptopState, *arguments: str) -> None:
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "local_workspace", "--state", str(state.root), *arguments])


def main() -> int:
    match sys.argv[1:]:
        case ["setup"]:
            setup()
        case ["wheel"]:
            ensure_wheel(IMAGE)
        case ["serve"]:
            serve(LaptopState.from_environment())
        case ["deploy", host]:
            deploy(LaptopState.from_environment(), host)
        case _:
            raise UserError("give one of: setup, wheel, serve, deploy URL.")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
