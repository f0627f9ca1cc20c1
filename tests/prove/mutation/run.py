"""Mutate modules with cosmic-ray, and list the mutants that no test notices; README.md says how to run it.

All happens in a copy of the work tree in a temporary folder. So that a mutant costs little, one Spark server serves
all, and the tests of each run in a process that is forked from one that has loaded the libraries (serve.py).
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from local_workspace.spark_server import SparkServer
from tests.shared_spark import few_rows_server

REPO = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
SECONDS = 90
"""After which a mutant counts as killed."""


def copy_work_tree(folder: Path) -> None:
    """What git knows or would add, as it is now."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=REPO, check=True, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if (REPO / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPO / name, folder / name)


def start_spark(state: Path, project_state: Path) -> SparkServer:
    """A Spark Connect server of this run alone, and SPARK_REMOTE."""
    server = few_rows_server(state, project_state)
    server.start()
    os.environ["SPARK_REMOTE"] = server.remote
    return server


def mutate(name: str, wanted: dict[str, Any], work: Path, cosmic_ray: str) -> None:
    """All mutants of one module."""
    folder, address, session = work / "repo", work / f"{name}.socket", work / f"{name}.sqlite"
    arguments = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "xdist", *wanted["tests"]]
    if wanted.get("leave_out"):
        arguments += ["-k", f"not ({wanted['leave_out']})"]
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(address))
    listening.listen()
    # In the copy, with the copy alone on its path for modules.
    program = folder / HERE.relative_to(REPO) / "serve.py"
    command = [sys.executable, str(program), str(listening.fileno()), ",".join(wanted["imports"]), *arguments]
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        # Two mutants of one second and one size would share their compiled file.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # loading them takes longer than the tests
    }
    server = subprocess.Popen(command, cwd=folder, env=environment, pass_fds=[listening.fileno()])
    listening.close()
    try:
        asked = f"{sys.executable} -S {HERE / 'ask.py'} {address}"
        config = work / f"{name}.toml"
        config.write_text(
            f'[cosmic-ray]\nmodule-path = "{wanted["module"]}"\ntimeout = {SECONDS}.0\nexcluded-modules = []\n'
            f'test-command = "{asked}"\n[cosmic-ray.distributor]\nname = "local"\n'
        )
        # Not cosmic-ray's own baseline: a fresh Spark may need longer for it than a mutant may take.
        subprocess.run(asked.split(), cwd=folder, check=True)
        for step in (["init", config, session], ["exec", config, session]):
            subprocess.run([cosmic_ray, *map(str, step)], cwd=folder, check=True)
    finally:
        server.kill()
        server.wait()
    report(name, session)


def report(name: str, session: Path) -> None:
    """What a session of cosmic-ray found: each survivor, and the numbers."""
    with sqlite3.connect(session) as rows:
        mutants = rows.execute(
            "SELECT test_outcome, worker_outcome, start_pos_row, operator_name, diff"
            " FROM work_results JOIN mutation_specs USING (job_id) ORDER BY start_pos_row, operator_name, occurrence"
        ).fetchall()
    # Anything but a test that failed, or hung, counts as a survivor.
    alive = [row for row in mutants if "KILLED" not in str(row[0]).upper()]
    for outcome, worker, line, operator, diff in alive:
        changed = [text for text in (diff or "").splitlines() if text[:1] in "+-" and text[:3] not in ("+++", "---")]
        print(f"{name}, line {line}: {operator} ({outcome}, {worker})", *changed, sep="\n    ")
    print(f"{name}: {len(mutants)} mutants, {len(mutants) - len(alive)} killed, {len(alive)} survive", flush=True)


def main() -> None:
    modules = tomllib.loads((HERE / "modules.toml").read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(modules)}; all, if none is given")
    parser.add_argument("--cosmic-ray", default="cosmic-ray", help="the program, if it is not on the search path")
    given = parser.parse_args()
    names = given.names or list(modules)
    if unknown := [name for name in names if name not in modules]:
        parser.error(f"modules.toml has no {', '.join(unknown)}")
    cosmic_ray = shutil.which(given.cosmic_ray)
    if cosmic_ray is None:
        parser.error(f"there is no program {given.cosmic_ray}: see README.md in {HERE}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing is left running
    project_state = Path(os.environ.get("LAKEHOUSE_STATE", REPO / ".state")).resolve()
    os.environ["LAKEHOUSE_STATE"] = str(project_state)
    with tempfile.TemporaryDirectory(prefix="mutation-") as temporary:
        work = Path(temporary)
        copy_work_tree(work / "repo")
        os.environ["AIRFLOW_HOME"] = str(work / "airflow")
        spark = start_spark(work / "spark", project_state) if "SPARK_REMOTE" not in os.environ else None
        try:
            for name in names:
                mutate(name, modules[name], work, cosmic_ray)
        finally:
            if spark is not None:
                spark.stop()


if __name__ == "__main__":
    main()
