"""What the Airflow containers run: `init`, or any command of Airflow. Standard library only.

Airflow's simple login wants a file that it may write to, so the password comes as an environment variable and goes
into a file of the container's own, and what Airflow starts does not inherit it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

USER = "admin"
# The same as in laptop/airflow_settings.py: deferred tasks count, because their jobs are running.
POOLS = {"databricks": "3", "databricks_bronze": "1", "databricks_silver": "1", "databricks_gold": "1"}
POOL_TEXT = "Runs at a time, deferred tasks included"


def write_login() -> None:
    """Write the login to the file that Airflow is configured for, readable by its owner alone."""
    password = os.environ.pop("LAKEHOUSE_AIRFLOW_PASSWORD", "")
    if not password:
        return
    path = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({USER: password}, file)


def init() -> int:
    """Make or upgrade the database, and make the pools; an existing one stays as it is."""
    migrated = subprocess.run(["airflow", "db", "migrate"]).returncode
    if migrated:
        return migrated
    for pool, slots in POOLS.items():
        if subprocess.run(["airflow", "pools", "get", pool], stdout=subprocess.DEVNULL).returncode == 0:
            continue
        made = subprocess.run(["airflow", "pools", "set", pool, slots, POOL_TEXT, "--include-deferred"]).returncode
        if made:
            return made
    return 0


def main() -> int:
    arguments = sys.argv[1:]
    if arguments == ["init"]:
        return init()
    if arguments[:1] == ["api-server"]:
        write_login()
    # In this process's place, so that signals reach it.
    return os.execvp("airflow", ["airflow", *arguments])


if __name__ == "__main__":
    sys.exit(main())
