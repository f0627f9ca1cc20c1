"""Remove old runs from Airflow's database, and old logs of its tasks: `python -m machine.airflow_cleanup LOGS`.

It runs where Airflow's own command line works, in its environment. Standard library only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

DEFAULT_DAYS = 90
DAY_SECONDS = 24 * 3600
# All that Airflow can clean but the DAGs themselves: where none was parsed for long, they would be forgotten, and with
# them whether they are paused.
TABLES = (
    *("asset_event", "callback", "dag_run", "dag_version", "deadline", "import_error", "job", "log", "revoked_token"),
    *("task_instance", "task_instance_history", "task_reschedule", "task_state_store", "trigger", "xcom"),
)


def clean(logs: Path, before: datetime) -> int:
    """Remove what is older than a moment; the newest run of each DAG stays. Return an exit code."""
    print(f"Removing runs and logs from before {before:%Y-%m-%d}.", flush=True)
    removed = remove_files(logs, before)
    print(f"Removed {removed} log files.", flush=True)
    # Each table's old rows are moved to a new table first. One that was killed has left such tables behind.
    drop = ["airflow", "db", "drop-archived", "--yes"]
    dropped = subprocess.run(drop).returncode
    command = ["airflow", "db", "clean", "--clean-before-timestamp", before.isoformat(), "--tables", ",".join(TABLES)]
    cleaned = subprocess.run([*command, "--skip-archive", "--yes", "--error-on-cleanup-failure"]).returncode
    return dropped or cleaned


def remove_files(folder: Path, before: datetime) -> int:
    """Remove the files last written before a moment, and the folders that are empty then; return the files' number."""
    removed = 0
    for root, _, names in os.walk(folder, topdown=False):
        for path in (Path(root) / name for name in names):
            if path.lstat().st_mtime < before.timestamp():
                path.unlink()
                removed += 1
        # Only an old folder: in a new one somebody is about to write.
        if Path(root) != folder and Path(root).stat().st_mtime < before.timestamp():
            with suppress(OSError):  # it is not empty
                Path(root).rmdir()
    return removed


def retention_days() -> int:
    """Return LAKEHOUSE_AIRFLOW_RETENTION_DAYS. Raises ValueError."""
    text = os.environ.get("LAKEHOUSE_AIRFLOW_RETENTION_DAYS") or str(DEFAULT_DAYS)
    if not text.isascii() or not text.isdigit() or not int(text):
        raise ValueError(f"LAKEHOUSE_AIRFLOW_RETENTION_DAYS={text} must be a whole number of days from 1")
    return int(text)


def main(arguments: list[str]) -> int:
    """Clean once, or with `--daily` once a day, for ever."""
    logs, kept = Path(arguments[0]), timedelta(days=retention_days())
    while True:
        code = clean(logs, datetime.now(UTC) - kept)
        if arguments[1:] != ["--daily"]:
            return code
        time.sleep(DAY_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
