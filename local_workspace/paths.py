"""Map paths of the API (`/Volumes/...`, `/Workspace/...`) to files, never outside of their folders."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from local_workspace.api_errors import ApiError, invalid
from machine.state_folder import StateFolder


def path_in_volumes(state: StateFolder, api_path: str) -> Path:
    """Return the file of `/Volumes/<catalog>/<schema>/<volume>/...`. Raises ApiError."""
    parts = _parts(api_path)
    if parts[:1] != ["Volumes"] or len(parts) < 4:
        raise invalid(
            f"{api_path!r} is not a path in a volume: it must be /Volumes/<catalog>/<schema>/<volume>/<path>."
        )
    return _inside(state.volumes, parts[1:], api_path)


def path_in_files(state: StateFolder, api_path: str) -> Path:
    """Return the file of a workspace path. The prefix `/Workspace` may be left out, as in the real API."""
    parts = _parts(api_path)
    return _inside(state.files, parts[1:] if parts[:1] == ["Workspace"] else parts, api_path)


def shown_name(path: Path) -> str:
    """Return the name of a file, with replacement characters for bytes that are not UTF-8, which JSON cannot carry."""
    return os.fsencode(path.name).decode("utf-8", "replace")


@contextmanager
def written(path: Path, *, overwrite: bool = True) -> Iterator[IO[bytes]]:
    """Open a draft for writing, which takes the place of the file if nothing fails.

    Raises FileExistsError if the file exists and may not be overwritten.
    """
    with tempfile.NamedTemporaryFile(prefix=".upload-", dir=path.parent, delete=False) as file:
        draft = Path(file.name)
        try:
            yield file
            file.flush()
            draft.replace(path) if overwrite else os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)


def _parts(api_path: str) -> list[str]:
    parts = [part for part in api_path.split("/") if part]
    if any(part in (".", "..") or "\0" in part for part in parts) or not api_path.startswith("/"):
        raise invalid(f"{api_path!r} is not an absolute path without '.' and '..'.")
    return parts


def _inside(root: Path, parts: list[str], api_path: str) -> Path:
    base = root.resolve()
    path = base.joinpath(*parts)
    # Resolved first: symbolic links must not lead outside either.
    if not Path(os.path.realpath(path)).is_relative_to(base):
        raise ApiError(403, "PERMISSION_DENIED", f"{api_path!r} leads outside of its folder.")
    return path
