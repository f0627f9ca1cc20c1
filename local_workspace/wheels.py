"""Wheels as they were when the job was defined: a later build changes no deployed job."""

import hashlib
import io
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

from local_workspace.errors import invalid, unsupported
from local_workspace.paths import path_in_files, path_in_volumes
from machine.state_folder import StateFolder, private_folder

_MOST_UNPACKED = 1024**3
# All that zipfile raises for damaged, encrypted or strange archives (unknown compression, a file and a folder of one
# name, a name that no file can have).
_NO_WHEEL = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, FileExistsError, NotADirectoryError)


def snapshot(state: StateFolder, settings: dict[str, Any]) -> dict[str, list[str]]:
    """Unpack each environment's wheels, and return their sha256 by environment key."""
    used = {task["environment_key"] for task in settings["tasks"]}
    found: dict[str, list[str]] = {}
    for environment in settings.get("environments", []):
        key = environment["environment_key"]
        wheels = environment.get("spec", {}).get("dependencies", [])
        if key in used and not wheels:
            raise invalid(f"Environment {key!r} has no wheel among its dependencies, and a task wants one.")
        found[key] = [_unpacked(state, _located(state, key, name)) for name in wheels]
    return found


def _located(state: StateFolder, key: str, name: str) -> Path:
    if not name.endswith(".whl"):
        raise unsupported(
            f"the dependency {name!r} of environment {key!r}: only wheels (.whl) that were uploaded under "
            "/Workspace/ or /Volumes/; nothing is installed from a package index"
        )
    if name.startswith("/Workspace/"):
        path = path_in_files(state, name)
    elif name.startswith("/Volumes/"):
        path = path_in_volumes(state, name)
    else:
        raise invalid(
            f"Environment {key!r}: the wheel {name!r} must be uploaded first and be named by its path under "
            "/Workspace/ or /Volumes/ (the deployer does that)."
        )
    if not path.is_file():
        raise invalid(f"Environment {key!r}: the wheel {name} does not exist in this workspace.")
    return path


def _unpacked(state: StateFolder, wheel: Path) -> str:
    content = wheel.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    private_folder(state.wheels)
    target = state.wheels / digest
    if target.is_dir():
        return digest
    draft = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=state.wheels))
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # No member gives more than it announces: zipfile stops there.
            if sum(member.file_size for member in archive.infolist()) > _MOST_UNPACKED:
                raise invalid(f"{wheel.name} would be larger than {_MOST_UNPACKED:,} bytes unpacked, the most here.")
            # zipfile keeps members inside the target: it drops drive letters, leading slashes and `..`.
            archive.extractall(draft)
        try:
            draft.rename(target)
        except OSError:
            if not target.is_dir():  # else another request unpacked the same wheel in between
                raise
    except _NO_WHEEL as error:
        raise invalid(f"{wheel.name} is not a wheel: {error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return digest
