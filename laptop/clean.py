"""`make clean`: stop everything, and remove all state. Standard library only, so that it works on a broken set-up."""

from __future__ import annotations

import shutil
import subprocess
import sys

from laptop.laptop_state import LaptopState
from machine.command_line import UserError, run_command
from machine.state_folder import REPO, StateFolder

# What set-up and the services make in a state folder; a folder with anything else in it is not ours to remove whole.
PARTS = {
    ".setup-lock", "airflow", "bench", "demo.json", "jars", "java", "logs", "metastore_db", "pids",
    "secrets", "venv", "volumes", "warehouse", "workspace",
}  # fmt: skip


def remove_state(state: StateFolder) -> list[str]:
    """Remove the state folder's known parts, and the folder if it is empty then. Return the names of what is left."""
    for path in sorted(state.root.iterdir()) if state.root.is_dir() else []:
        if path.name not in PARTS and not path.name.startswith((".jars-", ".probe-", ".wheel-")):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    left = sorted(path.name for path in state.root.iterdir()) if state.root.is_dir() else []
    if not left and state.root.is_dir() and not state.root.is_symlink():
        state.root.rmdir()
    return left


def main() -> int:
    state = LaptopState.from_environment()
    python = state.python("workspace")
    if python.exists() and state.pids.is_dir():
        done = subprocess.run([str(python), "-m", "laptop.services", "down"], cwd=REPO)
        if done.returncode:
            raise UserError("the services could not be stopped, so nothing was removed.")
    left = remove_state(state)
    for folder in (REPO / "dist", REPO / "build", REPO / "site"):
        shutil.rmtree(folder, ignore_errors=True)
    for cache in (".cache", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"):
        shutil.rmtree(REPO / cache, ignore_errors=True)
    print(f"Removed the state in {state.root}." + (f" Left alone: {', '.join(left)}." if left else ""))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
