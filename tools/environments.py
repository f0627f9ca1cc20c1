"""The virtual environments, made from requirements files with hashes. Standard library only.

A stamp inside each environment says what it was made from, so that a second call does nothing and needs no network.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from machine.command_line import UserError
from machine.log_files import last_lines
from machine.state_folder import REPO, StateFolder

OLDEST, NEWEST = (3, 11), (3, 13)
NEEDED_BYTES = 4 * 1024**3
REQUIREMENTS = {
    "tools": REPO / "tools" / "requirements-tools.txt",
    "airflow": REPO / "requirements.txt",
    "workspace": REPO / "requirements-workspace.txt",
    "dev": REPO / "requirements-dev.txt",
}
STAMP = ".lakehouse-stamp"


def check_python(version: tuple[int, int] = sys.version_info[:2]) -> None:
    """Raise UserError for a Python that the pinned packages do not support."""
    if not OLDEST <= version <= NEWEST:
        raise UserError(
            f"this is Python {version[0]}.{version[1]}, and Python 3.11, 3.12 or 3.13 is needed. "
            "Install one of them, or name one: `make setup PYTHON=python3.12`."
        )


def check_disk(folder: Path, needed: int = NEEDED_BYTES) -> None:
    """Raise UserError where the disk has no room for a set-up."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"the disk of {folder} has {free / 1024**3:.1f} GB free, and set-up needs {needed / 1024**3:.0f} GB. "
            "Make room, or put the state folder on another disk: LAKEHOUSE_STATE=/path/to/folder."
        )


def ensure_environment(state: StateFolder, name: str) -> bool:
    """Make one environment or bring it up to date; False if it was. Raises UserError."""
    requirements = REQUIREMENTS[name]
    stamp = state.venv(name) / STAMP
    wanted = stamp_of(requirements.read_bytes(), sys.version_info[:2])
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted and state.python(name).exists():
        return False
    if name != "tools":
        ensure_environment(state, "tools")
    check_disk(state.root)
    print(f"  {name}: installing {requirements.name} ...", flush=True)
    begun = time.monotonic()
    # Without a stamp it is what a set-up left that was killed, perhaps without pip.
    is_whole = stamp.exists() and _version_of(state.python(name)) == sys.version_info[:2]
    stamp.unlink(missing_ok=True)
    if not is_whole:
        _make_venv(state, name)
    if name == "tools":
        _install_with_pip(state, name, requirements)
    else:
        _install(state, name, requirements)
    stamp.write_text(wanted, encoding="utf-8")
    print(f"  {name}: ready after {time.monotonic() - begun:.0f} s", flush=True)
    return True


def stamp_of(requirements: bytes, version: tuple[int, int]) -> str:
    """Describe what an environment was made from: the requirements' hash and the Python's version."""
    return f"{hashlib.sha256(requirements).hexdigest()} python{version[0]}.{version[1]}\n"


def _make_venv(state: StateFolder, name: str) -> None:
    """Make an empty environment in place of whatever is there."""
    folder = state.venv(name)
    if folder.is_symlink():
        raise UserError(f"{folder} is a link to an environment that does not work; run `make setup` where it points.")
    shutil.rmtree(folder, ignore_errors=True)
    if name != "tools":
        _run([*_uv(state), "venv", "--quiet", "--no-config", "--python", sys.executable, str(folder)])
        return
    made = subprocess.run([sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True)
    if made.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        raise UserError(
            f"{sys.executable} could not make a virtual environment. On Debian and Ubuntu install the package "
            f"python3-venv; then call again. Its last line: {last_lines(made.stdout + made.stderr, 1)}"
        )


def _version_of(python: Path) -> tuple[int, int] | None:
    if not python.exists():
        return None
    code = "import sys; print(*sys.version_info[:2])"
    answer = subprocess.run([str(python), "-c", code], capture_output=True, text=True)
    parts = answer.stdout.split()
    return (int(parts[0]), int(parts[1])) if answer.returncode == 0 and len(parts) == 2 else None


def _install(state: StateFolder, name: str, requirements: Path) -> None:
    """Install exactly the requirements by uv, which is several times faster; by pip if uv cannot."""
    command = [*_uv(state), "pip", "sync", "--quiet", "--no-config", "--require-hashes"]
    command += ["--python", str(state.python(name)), str(requirements)]
    done = subprocess.run(command, env=uv_environment(state), capture_output=True, text=True)
    if done.returncode == 0:
        return
    print(f"  {name}: uv could not ({last_lines(done.stderr, 1)}); trying pip ...", flush=True)
    _install_with_pip(state, name, requirements)


def _install_with_pip(state: StateFolder, name: str, requirements: Path) -> None:
    # The tools' pip installs into any environment, so that the others need none.
    pip = [str(state.python("tools")), "-m", "pip", "--python", str(state.python(name))]
    _run([*pip, "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(requirements)])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(
            f"`{' '.join(command)}` failed. Is the package index reachable (pip's own configuration is used)? "
            f"The end of its output:\n{last_lines(done.stdout + done.stderr)}"
        )


def _uv(state: StateFolder) -> list[str]:
    return [str(state.venv("tools") / "bin" / "uv")]


def uv_environment(state: StateFolder) -> dict[str, str]:
    """Return the environment in which uv uses the index, the certificates and the rest that pip is configured for."""
    pip = [str(state.python("tools")), "-m", "pip", "config", "list"]
    listed = subprocess.run(pip, capture_output=True, text=True)
    return {**os.environ, **uv_variables(pip_settings(listed.stdout), os.environ)}


def pip_settings(listing: str) -> dict[str, str]:
    """Return the settings in the output of `pip config list`; of two sources of one setting the stronger, as pip
    decides.

    Lines look like `global.index-url='https://...'`, `install.find-links=...` and `:env:.cert=...`.
    """
    strength = {"global": 0, "install": 1, ":env:": 2}
    found: dict[str, tuple[int, str]] = {}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.strip().rpartition(".")
        if section not in strength:
            continue
        try:
            text = str(ast.literal_eval(value))
        except (ValueError, SyntaxError):
            text = value
        if option not in found or strength[section] >= found[option][0]:
            found[option] = (strength[section], text)
    return {option: text for option, (_, text) in found.items()}


def uv_variables(pip: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return uv's variables for pip's settings; what the user has set for uv itself stays."""
    lists = {"extra-index-url": "UV_INDEX", "trusted-host": "UV_INSECURE_HOST"}
    variables: dict[str, str] = {}
    if "index-url" in pip:
        variables["UV_DEFAULT_INDEX"] = pip["index-url"]
    if "cert" in pip:
        variables["SSL_CERT_FILE"] = pip["cert"]
    if "find-links" in pip:
        variables["UV_FIND_LINKS"] = ",".join(pip["find-links"].split())
    for option, variable in lists.items():
        if option in pip:
            variables[variable] = " ".join(pip[option].split())
    if "extra-index-url" in pip:
        # As pip does; the hashes decide what is accepted.
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if pip.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        variables["UV_NO_INDEX"] = "1"
    if "proxy" in pip:
        variables["HTTPS_PROXY"] = pip["proxy"]
    return {name: value for name, value in variables.items() if name not in environment or name == "SSL_CERT_FILE"}
