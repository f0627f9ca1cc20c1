"""Jobs, runs and task runs: what the store keeps, the runner advances and the views show.

Moments are milliseconds since 1970, as in the API.
"""

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from local_workspace.job_settings import JobSettings


class LifeCycle(StrEnum):
    """How far a run or a task run has got (`life_cycle_state` of the API)."""

    QUEUED = "QUEUED"
    PENDING = "PENDING"
    BLOCKED = "BLOCKED"
    RUNNING = "RUNNING"
    TERMINATING = "TERMINATING"
    TERMINATED = "TERMINATED"
    SKIPPED = "SKIPPED"
    INTERNAL_ERROR = "INTERNAL_ERROR"


TERMINAL = (LifeCycle.TERMINATED, LifeCycle.SKIPPED, LifeCycle.INTERNAL_ERROR)
ACTIVE = (LifeCycle.PENDING, LifeCycle.RUNNING, LifeCycle.TERMINATING)
"""A run in one of these counts towards its job's maximum of concurrent runs."""


class Result(StrEnum):
    """How a run or a task run ended (`result_state` of the API)."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    TIMEDOUT = "TIMEDOUT"
    UPSTREAM_FAILED = "UPSTREAM_FAILED"
    UPSTREAM_CANCELED = "UPSTREAM_CANCELED"
    EXCLUDED = "EXCLUDED"
    """A condition came out otherwise, of this task or of one before it."""
    MAXIMUM_CONCURRENT_RUNS_REACHED = "MAXIMUM_CONCURRENT_RUNS_REACHED"


@dataclass(frozen=True, kw_only=True)
class Job:
    job_id: int
    name: str
    settings: JobSettings
    wheels: dict[str, list[str]]
    """By environment key: the sha256 of each unpacked wheel."""
    creator: str
    created: int
    deleted: bool = False
    pipeline: dict[str, Any] | None = None
    """The settings of the pipeline that the job stands for: its runs are the updates."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """What a run and a task run have in common."""

    run_id: int
    life_cycle: LifeCycle
    result: Result | None = None
    message: str = ""
    created: int
    started: int | None = None
    ended: int | None = None

    @property
    def is_over(self) -> bool:
        return self.life_cycle in TERMINAL


@dataclass(frozen=True, kw_only=True)
class RunParameter:
    name: str
    value: str
    default: str | None = None
    """None if the job does not declare the parameter; it reaches no task then."""


@dataclass(frozen=True, kw_only=True)
class Repair:
    """The tasks of a run that were run again, and how the run had ended before."""

    id: int
    start_time: int
    task_run_ids: list[int]
    before: Execution


@dataclass(frozen=True, kw_only=True)
class Run(Execution):
    """A run of a job, with the settings and wheels that the job had when the run was started or last repaired."""

    job_id: int
    job_name: str
    settings: JobSettings
    wheels: dict[str, list[str]]
    parameters: list[RunParameter]
    attempt_started: int | None = None
    """When the run, or its latest repair, started: from here its timeout counts."""
    cancel_requested: bool = False
    timed_out: bool = False
    repair_count: int = 0
    repairs: list[Repair] = field(default_factory=list)

    def execution(self) -> Execution:
        """Return a copy of the state and the times alone."""
        return Execution(**{item.name: getattr(self, item.name) for item in fields(Execution)})


@dataclass(frozen=True, kw_only=True)
class TaskRun(Execution):
    """One attempt of one task of a run."""

    parent_run_id: int
    task_key: str
    attempt: int
    repair_id: int | None = None
    process_started: int | None = None
    """When the task's process called the entry point, after its imports."""
    pid: int | None = None
    pid_started: float | None = None
    session_id: str = ""
    parameters: list[str] = field(default_factory=list)
    error: str | None = None
    error_trace: str | None = None
    values: dict[str, str] = field(default_factory=dict)
    """Set by the task, for those after it."""
    outcome: str | None = None
    """Of a condition: true or false."""
    child_run_id: int | None = None
    """The run of another job that it has started."""
