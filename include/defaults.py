"""Task arguments that all DAGs share."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk.module_loading import import_string

from include.alerts import remember_failure
from include.failures import RETRY_POLICY
from include.settings import SETTINGS, Settings


def default_args(settings: Settings = SETTINGS) -> dict[str, Any]:
    """Return owner, retries with exponential back-off, time-out, failure notifier and weight rule."""
    notifiers = [import_string(settings.notifier)()]
    if settings.has_receivers:
        notifiers.append(remember_failure)
    return {
        "owner": settings.owner,
        "retries": settings.retries,
        "retry_policy": RETRY_POLICY,
        "retry_delay": settings.retry_delay,
        "retry_exponential_backoff": 2,
        "max_retry_delay": settings.max_retry_delay,
        "execution_timeout": timedelta(minutes=15),
        "on_failure_callback": notifiers,
        # When a pool is full, prefer tasks near the end of their run: a gate and a publish before the next build.
        # Otherwise ten concurrent runs build ten times on a publication that is stale when their turn to publish comes.
        "weight_rule": "upstream",
    }
