"""Snapshots of the wheels that a job was defined with: a later build changes no deployed job."""

import hashlib
import io
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path

from local_workspace.api_errors import invalid, unsupported
from local_workspace.job_settings import JobSettings
from local_workspace.paths import path_in_files, path_in_volumes
from machine.state_folder import StateFolder, private_folder

_UNPACKED_LIMIT = 1024**3
# What zipfile raises for archives that are damaged or encrypted, compressed by an unknown method, or have a file and a
# folder of the same name, or a name that no file can have.
_BAD_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, FileExistsError, NotADirectoryError)


def snapshot(state: StateFolder, settings: JobSettings) -> dict[str, list[str]]:
    """Unpack the wheels of each environment, and return their sha256 by environment key. Raises ApiError."""
    used = {task.environment_key for task in settings.tasks if task.python_wheel_task}
    digests: dict[str, list[str]] = {}
    for environment in settings.environments:
        key, wheels = environment.environment_key, environment.spec.dependencies
        if key in used and not wheels:
            raise invalid(f"Environment {key!r} has no wheel among its dependencies, and a task needs one.")
        digests[key] = [_unpacked(state, _located(state, key, name)) for name in wheels]
    return digests


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
            "/Workspace/ or /Volumes/ (`python -m local_workspace deploy` does that)."
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
            # zipfile reads no more of a member than the size that it declares.
            if sum(member.file_size for member in archive.infolist()) > _UNPACKED_LIMIT:
                raise invalid(f"{wheel.name} would be larger than {_UNPACKED_LIMIT:,} bytes unpacked, the limit.")
            # zipfile keeps members inside the target: it drops drive letters, leading slashes and `..`.
            archive.extractall(draft)
        try:
            draft.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another request has just unpacked the same wheel
                raise
    except _BAD_ARCHIVE as error:
        raise invalid(f"{wheel.name} is not a wheel: {error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return digest
