"""What the workspace's image and containers run: `setup` and `wheel` at build time, then `serve`, and `deploy` once.

All of it is the laptop's own code: only the folders differ. What set-up makes lies in the image; data, runs and
secrets lie in the volume at LAKEHOUSE_STATE. The token comes as LAKEHOUSE_WORKSPACE_TOKEN, because Airflow has to
know it too; every other secret is made on first start and never leaves the volume.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from laptop.environments import ensure_environment
from laptop.jars import ensure_jars
from laptop.java import ensure_java
from laptop.keys import ensure_secrets, private_folder, write_private
from laptop.problems import Problem, guarded
from laptop.state import REPO, State, beside
from laptop.wheel import ensure_wheel

TOKEN = "LAKEHOUSE_WORKSPACE_TOKEN"  # noqa: S105 - the variable's name


def image_state(state: State) -> State:
    """What set-up made in the image, beside the volume."""
    return State(REPO / "setup", state.workspace_port, state.spark_port, state.airflow_port)


def setup(state: State) -> None:
    """Build time: packages, Java and Spark's jars. No secret is made here: a layer would keep it."""
    image = image_state(state)
    private_folder(image.root)
    ensure_environment(image, "workspace")
    print(f"  Java: {ensure_java(image)}", flush=True)
    ensure_jars(image)


def token() -> str:
    value = os.environ.pop(TOKEN, "")
    if not value:
        raise Problem(f"{TOKEN} is not set; `make env` writes it to .env, which compose reads.")
    return value


def serve(state: State) -> None:
    """Start the workspace in this process's place, on the volume."""
    private_folder(state.root)
    private_folder(state.secrets)
    beside(image_state(state), state.root, (state.workspace_port, state.spark_port, state.airflow_port))
    write_private(state.secrets / "workspace_token", token())
    ensure_secrets(state)
    for folder in (state.landing, state.ops):
        folder.mkdir(parents=True, exist_ok=True)
    run(state, "serve")


def deploy(state: State, host: str) -> None:
    """Bring the bundle's jobs into the running workspace, in this process's place."""
    os.environ["DATABRICKS_TOKEN"] = token()
    bundle = ["--bundle", str(REPO / "databricks.yml"), "--target", "local"]
    run(state, "deploy", *bundle, "--host", host, "--var", f"volumes_root={state.volumes}")


def run(state: State, *arguments: str) -> None:
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "local_workspace", "--state", str(state.root), *arguments])


def main() -> int:
    state = State.from_environment()
    match sys.argv[1:]:
        case ["setup"]:
            setup(state)
        case ["wheel"]:
            ensure_wheel(image_state(state), Path(REPO))
        case ["serve"]:
            serve(state)
        case ["deploy", host]:
            deploy(state, host)
        case _:
            raise Problem("say one of: setup, wheel, serve, deploy URL.")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
