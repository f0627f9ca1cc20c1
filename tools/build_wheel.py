"""Build the wheel with the jobs' code into dist/, if its sources have changed.

    python3 -m tools.build_wheel

`make setup`, the bundle (databricks.yml) and the image of the local workspace all build it here. It needs Python, and
a package index once: the build tools, pinned with hashes, are installed into the state folder's environment `tools`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from machine.command_line import UserError, run_command
from machine.log_files import last_lines
from machine.state_folder import REPO, StateFolder, private_folder
from tools.environments import check_python, ensure_environment

PACKAGES = ("spark_jobs", "feeds", "gx")
PROJECT_FILES = ("pyproject.toml", "README.md", "LICENSE", "NOTICE")
STAMP = ".built-from"


def ensure_wheel(state: StateFolder, repo: Path = REPO) -> Path:
    """Build the one wheel in dist/ again if a source file has changed, and return it: equal sources make an equal
    wheel.

    Raises UserError.
    """
    dist = repo / "dist"
    sources = source_files(repo)
    digest = digest_of(repo, sources)
    wheels = sorted(dist.glob("*.whl"))
    stamp = dist / STAMP
    if len(wheels) == 1 and stamp.exists() and stamp.read_text(encoding="utf-8") == f"{digest} {wheels[0].name}\n":
        return wheels[0]
    ensure_environment(state, "tools")
    with tempfile.TemporaryDirectory(prefix=".wheel-", dir=state.root) as scratch:
        built = _build(state, repo, sources, Path(scratch))
        dist.mkdir(exist_ok=True)
        stamp.unlink(missing_ok=True)
        for old in wheels:
            old.unlink()
        target = dist / built.name
        shutil.move(built, target)
    stamp.write_text(f"{digest} {target.name}\n", encoding="utf-8")
    print(f"  wheel: built {target.relative_to(repo)}", flush=True)
    return target


def source_files(repo: Path) -> list[Path]:
    """Return all files that the wheel is made from, in a fixed order."""
    files = [repo / name for name in PROJECT_FILES if (repo / name).exists()]
    for package in PACKAGES:
        files += [path for path in (repo / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return sorted(files)


def digest_of(repo: Path, sources: list[Path]) -> str:
    """Return a hash over the names and the contents of the sources."""
    digest = hashlib.sha256()
    for path in sources:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(repo).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _build(state: StateFolder, repo: Path, sources: list[Path], scratch: Path) -> Path:
    # From a copy: a build in place leaves build/ behind, whose stale files would get into the next wheel.
    copy, out = scratch / "source", scratch / "out"
    for path in sources:
        target = copy / path.relative_to(repo)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.chmod(0o644)
    command = [str(state.python("tools")), "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    command += ["--no-index", "--disable-pip-version-check", "--wheel-dir", str(out), str(copy)]
    # A fixed time stamp and fixed modes: equal sources make an equal wheel.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1704067200"}
    done = subprocess.run(command, env=environment, umask=0o022, capture_output=True, text=True)
    wheels = sorted(out.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        end = last_lines(done.stdout + done.stderr)
        raise UserError(f"the wheel could not be built from {repo}. The end of pip's output:\n{end}")
    return wheels[0]


def main() -> int:
    check_python()
    state = StateFolder.from_environment()
    private_folder(state.root)
    print(ensure_wheel(state))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
