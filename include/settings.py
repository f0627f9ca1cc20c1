"""All settings of the Airflow side.

They come from environment variables, so that parsing a DAG file reads no database and no Variable. An invalid value
is an error that names the variable; Airflow shows it as the DAG's import error.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

LAYERS = ("bronze", "silver", "gold")
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


@dataclass(frozen=True)
class Settings:
    """The settings, each with its environment variable and default."""

    connection_id: str
    """LAKEHOUSE_CONNECTION_ID: the Databricks connection (default databricks_default)."""
    catalog: str
    """LAKEHOUSE_CATALOG: catalog of tables and volumes, as in the bundle's target (default spark_catalog)."""
    schema_prefix: str
    """LAKEHOUSE_SCHEMA_PREFIX: prefix of every schema's name, as in the bundle (default none)."""
    job_prefix: str
    """LAKEHOUSE_JOB_PREFIX: prefix of every job's name, as a bundle in development mode has it (default none)."""
    asset_host: str
    """LAKEHOUSE_ASSET_HOST: host part of the published tables' asset URIs (default workspace)."""
    pool: str
    """LAKEHOUSE_POOL: pool of the tasks that run jobs of no layer, and the beginning of the names of the layers' pools,
    such as databricks_silver; all must count deferred tasks (default databricks)."""
    poll_seconds: float
    """LAKEHOUSE_POLL_SECONDS: seconds between two polls of a job run (default 2)."""
    wait_in_task: timedelta
    """LAKEHOUSE_WAIT_IN_TASK: seconds in which a task polls its job run itself before it defers (default 60)."""
    poll_patience: timedelta
    """LAKEHOUSE_POLL_PATIENCE: seconds for which failing polls of a job run are tolerated (default 300)."""
    api_retries: int
    """LAKEHOUSE_API_RETRIES: attempts of one call of the Databricks API (default 6, about half a minute)."""
    api_retry_delay: int
    """LAKEHOUSE_API_RETRY_DELAY: seconds before the second attempt; doubles with each attempt (default 1)."""
    dashboard_url: str
    """LAKEHOUSE_DASHBOARD_URL: address of the deployed dashboard, to which the tab Lakehouse and alerts lead (default
    none: no tab). On one machine that of the local workspace."""
    owner: str
    """LAKEHOUSE_OWNER: owner of the tasks (default lakehouse)."""
    notifier: str
    """LAKEHOUSE_NOTIFIER: dotted path of the notifier of failures (default include.notifiers.LogNotifier)."""
    alerts_connection: str
    """LAKEHOUSE_ALERTS_CONNECTION: Airflow connection whose password holds the Apprise URLs of the receivers of
    alerts, separated by blanks (default none)."""
    alerts_file: str
    """LAKEHOUSE_ALERTS_FILE: or a file with such URLs, one per line (default none)."""
    deadline: timedelta | None
    """LAKEHOUSE_DEADLINE: time in UTC, such as 06:00, by which a scheduled run has published gold for the day
    before; otherwise an alert says that it is late (default none)."""
    decision_wait: timedelta
    """LAKEHOUSE_DECISION_WAIT: seconds for which a gate waits for a person's decision where all that failed may be
    overruled; 0 fails at once (default 0)."""
    deciders: str
    """LAKEHOUSE_DECIDERS: ids of the users of Airflow who may answer, separated by commas; the bundle's variable
    deciders must name them too (default none: Airflow lets everybody answer who may, and the job decide refuses the
    others)."""
    retries: int
    """LAKEHOUSE_RETRIES: retries of a task after an infrastructure error (default 2)."""
    retry_delay: timedelta
    """LAKEHOUSE_RETRY_DELAY: seconds before the first retry; doubles with each retry (default 30)."""
    max_retry_delay: timedelta
    """LAKEHOUSE_MAX_RETRY_DELAY: upper bound of the retry delay in seconds (default 600)."""
    landing_retries: int
    """LAKEHOUSE_LANDING_RETRIES: retries of check_landing while dates have not landed (default 12)."""
    landing_retry_delay: timedelta
    """LAKEHOUSE_LANDING_RETRY_DELAY: seconds between two such retries (default 900)."""
    allow_missing_dates: bool
    """LAKEHOUSE_ALLOW_MISSING_DATES: warn of dates that have not landed, do not wait; in jobs too (default false)."""
    task_timeout: timedelta
    """LAKEHOUSE_TASK_TIMEOUT: time-out of a build or publish in seconds, queueing included. Longer than the jobs' own
    time-out of 3600, so that the job ends first and reports why (default 7200)."""
    maintenance_timeout: timedelta
    """LAKEHOUSE_MAINTENANCE_TIMEOUT: time-out of maintenance in seconds, its job's is 7200 (default 10800)."""
    schedule: str
    """LAKEHOUSE_SCHEDULE: cron of the daily run, in UTC (default 0 0 * * *)."""
    schedule_start: datetime | None
    """LAKEHOUSE_SCHEDULE_START: first date of the schedule, with catch-up (default none: the scheduler creates the
    newest interval only). Does not bind manual runs and backfills."""
    schedule_end: datetime | None
    """LAKEHOUSE_SCHEDULE_END: the scheduler creates no interval that ends after this date, for a data set that has
    ended (default none). Does not bind manual runs and backfills."""
    live_schedule: str
    """LAKEHOUSE_LIVE_SCHEDULE: cron of the looks of the live DAG, in UTC (default */5 * * * *)."""
    live_days: int
    """LAKEHOUSE_LIVE_DAYS: how many of the newest landing folders a look of the live DAG reads; of older ones it sees
    new folders only (default 7)."""
    live_timeout: timedelta
    """LAKEHOUSE_LIVE_TIMEOUT: time-out of the live DAG's job run in seconds, its job's is 21600 (default 28800)."""
    maintenance_schedule: str
    """LAKEHOUSE_MAINTENANCE_SCHEDULE: cron of the maintenance, in UTC (default 0 3 * * 0)."""
    maintenance_start: datetime | None
    """LAKEHOUSE_MAINTENANCE_START: the first week of the maintenance begins on this date or later (default none: the
    scheduler runs the newest complete week at once). `make up` sets the day on which the state folder was set up."""
    max_active_runs: int
    """LAKEHOUSE_MAX_ACTIVE_RUNS: concurrent scheduled and manual runs; a backfill has its own limit (default 3)."""

    @property
    def has_receivers(self) -> bool:
        """Return whether alerts go to anybody."""
        return bool(self.alerts_connection or self.alerts_file)

    @property
    def landing_volume(self) -> str:
        """Return the API path of the landing volume."""
        return f"/Volumes/{self.catalog}/{self.schema_prefix}landing/files"

    @property
    def ops_volume(self) -> str:
        """Return the API path of the volume that holds verdicts, publications and Data Docs."""
        return f"/Volumes/{self.catalog}/{self.schema_prefix}ops/files"

    def verdict_path(self, layer: str, job_run_id: int | str) -> str:
        """Return the API path of the verdict on the build of a job run, or of a job run that has started the build."""
        return f"{self.ops_volume}/verdicts/{layer}/{job_run_id}.json"

    def layer_pool(self, layer: str) -> str:
        """Return the pool of a layer's tasks: as many runs as it has slots work on the layer at a time."""
        return f"{self.pool}_{layer}"

    @property
    def pools(self) -> dict[str, int]:
        """Return every pool with the slots that it is made with."""
        return {self.pool: 3} | {self.layer_pool(layer): 1 for layer in LAYERS}

    def job_name(self, job: str) -> str:
        """Return the name of a deployed job of the bundle."""
        return f"{self.job_prefix}{job}"


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from the environment; raise ValueError for a value that is not valid."""

    def text(name: str, default: str) -> str:
        return environment.get(f"LAKEHOUSE_{name}", default).strip()

    def number(name: str, default: int, least: int = 0) -> int:
        value = text(name, str(default))
        if not value.isdecimal() or int(value) < least:
            raise ValueError(f"LAKEHOUSE_{name} must be a whole number of at least {least}, not {value!r}.")
        return int(value)

    def fraction(name: str, default: float, least: float) -> float:
        value = text(name, str(default))
        try:
            found = float(value)
        except ValueError:
            found = math.nan
        if not (least <= found < math.inf):
            raise ValueError(f"LAKEHOUSE_{name} must be a number of at least {least}, not {value!r}.")
        return found

    def seconds(name: str, default: int, least: int = 0) -> timedelta:
        return timedelta(seconds=number(name, default, least))

    def flag(name: str) -> bool:
        value = text(name, "").lower()
        if value not in _TRUE | _FALSE:
            raise ValueError(f"LAKEHOUSE_{name} must be true or false, not {value!r}.")
        return value in _TRUE

    def moment(name: str) -> datetime | None:
        value = text(name, "")
        if not value:
            return None
        try:
            found = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"LAKEHOUSE_{name} must be a date such as 2018-02-01, not {value!r}.") from error
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)

    def time_of_day(name: str) -> timedelta | None:
        value = text(name, "")
        if not value:
            return None
        try:
            found = datetime.strptime(value, "%H:%M")  # noqa: DTZ007 - a time of day
        except ValueError as error:
            raise ValueError(f"LAKEHOUSE_{name} must be a time such as 06:00, not {value!r}.") from error
        return timedelta(hours=found.hour, minutes=found.minute)

    return Settings(
        connection_id=text("CONNECTION_ID", "databricks_default"),
        catalog=text("CATALOG", "spark_catalog"),
        schema_prefix=text("SCHEMA_PREFIX", ""),
        job_prefix=_job_prefix(environment.get("LAKEHOUSE_JOB_PREFIX", "")),
        asset_host=text("ASSET_HOST", "workspace"),
        pool=text("POOL", "databricks"),
        poll_seconds=fraction("POLL_SECONDS", 2, least=0.1),
        wait_in_task=seconds("WAIT_IN_TASK", 60),
        poll_patience=seconds("POLL_PATIENCE", 300),
        api_retries=number("API_RETRIES", 6, least=1),
        api_retry_delay=number("API_RETRY_DELAY", 1),
        dashboard_url=text("DASHBOARD_URL", ""),
        owner=text("OWNER", "lakehouse"),
        notifier=text("NOTIFIER", "include.notifiers.LogNotifier"),
        alerts_connection=text("ALERTS_CONNECTION", ""),
        alerts_file=text("ALERTS_FILE", ""),
        deadline=time_of_day("DEADLINE"),
        decision_wait=seconds("DECISION_WAIT", 0),
        deciders=text("DECIDERS", ""),
        retries=number("RETRIES", 2),
        retry_delay=seconds("RETRY_DELAY", 30),
        max_retry_delay=seconds("MAX_RETRY_DELAY", 600),
        landing_retries=number("LANDING_RETRIES", 12),
        landing_retry_delay=seconds("LANDING_RETRY_DELAY", 900),
        allow_missing_dates=flag("ALLOW_MISSING_DATES"),
        task_timeout=seconds("TASK_TIMEOUT", 7200, least=1),
        maintenance_timeout=seconds("MAINTENANCE_TIMEOUT", 10800, least=1),
        schedule=text("SCHEDULE", "0 0 * * *"),
        schedule_start=moment("SCHEDULE_START"),
        schedule_end=moment("SCHEDULE_END"),
        live_schedule=text("LIVE_SCHEDULE", "*/5 * * * *"),
        live_days=number("LIVE_DAYS", 7, least=1),
        live_timeout=seconds("LIVE_TIMEOUT", 28800, least=1),
        maintenance_schedule=text("MAINTENANCE_SCHEDULE", "0 3 * * 0"),
        maintenance_start=moment("MAINTENANCE_START"),
        max_active_runs=number("MAX_ACTIVE_RUNS", 3, least=1),
    )


def _job_prefix(text: str) -> str:
    """Return the prefix with the blank at the end that `.env` files lose: a bundle in development mode has "[dev me] ".

    `docker run --env-file` keeps quotes as part of a value; they are taken off. Any other prefix stays as it is.
    """
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    bare = text.strip()
    return f"{bare} " if bare.startswith("[dev ") and bare.endswith("]") else text


SETTINGS = load()
