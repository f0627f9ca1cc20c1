"""Task values: what a task tells the tasks after it, which read it as {{tasks.<task>.values.<name>}}."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

VALUES_FILE = "LAKEHOUSE_TASK_VALUES"
"""Environment variable with the file of the local workspace; where it is not set, the platform is told."""
log = logging.getLogger(__name__)


def set_task_values(values: Mapping[str, str]) -> None:
    """Set all values of this task, and log them."""
    for name, value in values.items():
        log.info("%s = %s", name, value)
    if file := os.environ.get(VALUES_FILE):
        Path(file).write_text(json.dumps(dict(values)), encoding="utf-8")
        return
    from databricks.sdk.runtime import dbutils  # the platform's own package

    for name, value in values.items():
        dbutils.jobs.taskValues.set(key=name, value=value)
