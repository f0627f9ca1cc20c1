"""Remove what old runs leave behind: their rows, folders and logs, and wheels that no job uses any more."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from datetime import timedelta
from pathlib import Path

from local_workspace.runner import Runner
from local_workspace.store import Store, now_ms
from machine.state_folder import StateFolder

log = logging.getLogger(__name__)
DEFAULT_DAYS = 60
"""As Databricks, which keeps finished runs for 60 days."""
_PAUSE_SECONDS = 3600.0
_WHEEL_GRACE_MS = 24 * 3600 * 1000
"""A wheel is unpacked before the job that uses it is stored."""


def remove_old(state: StateFolder, store: Store, runner: Runner, kept: timedelta, now: int) -> int:
    """Remove the runs that ended longer ago than `kept`, and what nothing refers to; return the number of runs.

    `now` is in milliseconds since 1970.
    """
    before = now - int(kept.total_seconds() * 1000)
    run_ids = store.run_ids_ended_before(before)
    for run_id in run_ids:
        store.delete_run(run_id)
        runner.forget(run_id)
    store.delete_lost_tokens()
    known = {str(run_id) for run_id in store.all_run_ids()}
    _remove([path for path in _folders(state.runs) if path.name not in known], before)
    used = store.used_wheels()
    _remove([path for path in _folders(state.wheels) if path.name not in used], now - _WHEEL_GRACE_MS)
    return len(run_ids)


def keep_removing(state: StateFolder, store: Store, runner: Runner, kept: timedelta) -> None:
    """Remove old runs now, and then every hour, in a separate thread."""

    def loop() -> None:
        while True:
            try:
                if removed := remove_old(state, store, runner, kept, now_ms()):
                    log.info("%d runs removed that ended more than %d days ago", removed, kept.days)
            except Exception:  # the next hour may be better: the disk was full, say
                log.exception("Old runs cannot be removed")
            time.sleep(_PAUSE_SECONDS)

    threading.Thread(target=loop, name="retention", daemon=True).start()


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _remove(folders: list[Path], before: int) -> None:
    for folder in folders:
        if folder.stat().st_mtime * 1000 < before:
            shutil.rmtree(folder)
