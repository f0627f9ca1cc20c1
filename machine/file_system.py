"""What the file system of a state folder must offer, tried before anything is installed there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from machine.command_line import FULL_DISK, UserError
from machine.state_folder import private_file, private_folder


def check_file_system(root: Path) -> None:
    """Make the folder, and try in it what set-up and services need. Raises UserError; it leaves nothing behind then."""
    made = not root.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe = Path(tempfile.mkdtemp(prefix=".probe-", dir=root))
    except OSError as error:
        raise UserError(
            f"the state folder {root} cannot be written: {error.strerror}. "
            "Name another: LAKEHOUSE_STATE=/path/to/folder."
        ) from None
    try:
        lacking = [what for what, works in _NEEDED.items() if not _try(works, probe)]
    finally:
        shutil.rmtree(probe, ignore_errors=True)
    if not lacking:
        return
    if made:
        with contextlib.suppress(OSError):
            root.rmdir()
    raise UserError(
        f"the file system of the state folder {root} has no {', no '.join(lacking)} (FAT and exFAT have none of them, "
        "network and Windows drives often lack some, and a disk may be mounted without). Put the state folder on "
        "another disk: LAKEHOUSE_STATE=/path/to/folder."
    )


def _try(works: Callable[[Path], bool], probe: Path) -> bool:
    try:
        return works(probe)
    except OSError as error:
        if error.errno in FULL_DISK:
            raise
        return False


def _keeps_modes(probe: Path) -> bool:
    with private_file(probe / "private"):
        pass
    folder = private_folder(probe / "folder")
    return not any(stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (probe / "private", folder))


def _has_symbolic_links(probe: Path) -> bool:
    (probe / "symbolic").symlink_to(probe / "folder", target_is_directory=True)
    return (probe / "symbolic").is_dir()


def _has_hard_links(probe: Path) -> bool:
    (probe / "file").touch()
    os.link(probe / "file", probe / "hard")
    return (probe / "hard").stat().st_nlink == 2


def _has_locks(probe: Path) -> bool:
    with (probe / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True


def _runs_programs(probe: Path) -> bool:
    program = probe / "program"
    program.write_text("#!/bin/sh\nexit 0\n", encoding="ascii")
    program.chmod(0o700)
    return subprocess.run([str(program)]).returncode == 0


_NEEDED: dict[str, Callable[[Path], bool]] = {
    "file modes, by which secrets are private": _keeps_modes,
    "symbolic links": _has_symbolic_links,
    "hard links": _has_hard_links,
    "file locks": _has_locks,
    "right to run programs": _runs_programs,
}
