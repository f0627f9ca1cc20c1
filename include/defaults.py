"""What all tasks have in common."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk.module_loading import import_string

from include.settings import SETTINGS, Settings


def default_args(settings: Settings = SETTINGS) -> dict[str, Any]:
    """Owner, retries for infrastructure (with back-off), time-out, notifier, and: finish first what was begun."""
    return {
        "owner": settings.owner,
        "retries": settings.retries,
        "retry_delay": settings.retry_delay,
        "retry_exponential_backoff": 2,
        "max_retry_delay": settings.max_retry_delay,
        "execution_timeout": timedelta(minutes=15),
        "on_failure_callback": import_string(settings.notifier)(),
        # Tasks near the end of their run come first when the pool is full, so that ten runs at a time publish
        # one after the other instead of building ten times on a base that is stale when its turn comes.
        "weight_rule": "upstream",
    }
