"""The settings of a job. What the local workspace does not know or cannot do, it refuses by name."""

from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from local_workspace import references
from local_workspace.api_errors import from_validation, invalid, unsupported


def _only(supported: object, reason: str) -> AfterValidator:
    """Refuse every other value of a field, since it would be ignored."""

    def check(value: object, info: ValidationInfo) -> object:
        if value != supported:
            raise unsupported(f"{info.field_name} = {value!r}: {reason}")
        return value

    return AfterValidator(check)


def _paused(value: Any, info: ValidationInfo) -> Any:
    if value and (not isinstance(value, dict) or value.get("pause_status") != "PAUSED"):
        raise unsupported(f"{info.field_name}: nothing starts by itself on one machine; set pause_status: PAUSED")
    return value


def _without_content(value: Any, info: ValidationInfo) -> Any:
    if any(value.values()) if isinstance(value, dict) else value:
        raise unsupported(f"{info.field_name}: nothing is sent from one machine")
    return value


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
NotEmpty = Annotated[str, StringConstraints(min_length=1)]
Seconds = Annotated[int, Field(ge=0, le=30 * 86400)]
Notifications = Annotated[Any, AfterValidator(_without_content)]
"""Notifications go nowhere on one machine: an empty setting is harmless, another would be ignored."""
Trigger = Annotated[Any, AfterValidator(_paused)]
"""What starts runs by itself."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class HealthRule(_Settings):
    metric: Literal[
        "RUN_DURATION_SECONDS",
        "STREAMING_BACKLOG_BYTES",
        "STREAMING_BACKLOG_FILES",
        "STREAMING_BACKLOG_RECORDS",
        "STREAMING_BACKLOG_SECONDS",
    ]
    op: Literal["GREATER_THAN"]
    value: Annotated[int, Field(ge=0, le=10**15)]


class Health(_Settings):
    rules: list[HealthRule] = []


class Dependency(_Settings):
    task_key: str
    outcome: Literal["true", "false"] | None = None
    """Of a condition: the task is excluded where it comes out otherwise."""


class PythonWheelTask(_Settings):
    package_name: NotEmpty
    entry_point: NotEmpty
    parameters: list[str] = []


class RunJobTask(_Settings):
    job_id: Annotated[int, Field(ge=0, lt=2**63)]
    job_parameters: dict[str, str] = {}


class PipelineTask(_Settings):
    pipeline_id: NotEmpty
    full_refresh: bool = False


class ConditionTask(_Settings):
    op: Literal["EQUAL_TO", "NOT_EQUAL"]
    """Both compare texts."""
    left: str
    right: str


class TaskSettings(_Settings):
    """A task: an entry point of a wheel, a run of another job, an update of a pipeline, or a comparison."""

    task_key: Name
    description: str = ""
    depends_on: list[Dependency] = []
    run_if: Literal["ALL_SUCCESS", "NONE_FAILED"] = "ALL_SUCCESS"
    max_retries: Annotated[int, _only(0, "the scheduler that started the run retries; set max_retries: 0")] = 0
    min_retry_interval_millis: Annotated[int, Field(ge=0, le=10**9)] = 0
    retry_on_timeout: Annotated[bool, _only(False, "a task is not retried here")] = False
    disable_auto_optimization: bool = False
    timeout_seconds: Seconds = 0
    environment_key: str | None = None
    python_wheel_task: PythonWheelTask | None = None
    run_job_task: RunJobTask | None = None
    pipeline_task: PipelineTask | None = None
    condition_task: ConditionTask | None = None
    health: Health = Health()
    email_notifications: Notifications = None
    webhook_notifications: Notifications = None
    notification_settings: Notifications = None

    @property
    def upstream(self) -> set[str]:
        return {dependency.task_key for dependency in self.depends_on}

    @property
    def texts(self) -> list[str]:
        """What may hold references."""
        if self.python_wheel_task:
            return self.python_wheel_task.parameters
        if self.run_job_task:
            return list(self.run_job_task.job_parameters.values())
        return [self.condition_task.left, self.condition_task.right] if self.condition_task else []


class EnvironmentSpec(_Settings):
    environment_version: str = ""
    client: str = ""
    dependencies: list[str] = []


class Environment(_Settings):
    environment_key: Name
    spec: EnvironmentSpec = EnvironmentSpec()


class Parameter(_Settings):
    name: Name
    default: str


class Queue(_Settings):
    enabled: bool = False


class Deployment(_Settings):
    kind: Literal["BUNDLE"]
    metadata_file_path: str = ""


class RunAs(_Settings):
    user_name: str = ""
    service_principal_name: str = ""


class AccessControl(_Settings):
    user_name: str = ""
    group_name: str = ""
    service_principal_name: str = ""
    permission_level: str = ""


class JobSettings(_Settings):
    name: str = "Untitled"
    description: str = ""
    tags: Annotated[dict[str, str], Field(max_length=25)] = {}
    tasks: list[TaskSettings] = []
    environments: list[Environment] = []
    parameters: list[Parameter] = []
    max_concurrent_runs: Annotated[int, Field(ge=0, le=1000)] = 1
    queue: Queue = Queue()
    timeout_seconds: Seconds = 0
    health: Health = Health()
    performance_target: Literal["STANDARD", "PERFORMANCE_OPTIMIZED"] = "STANDARD"
    format: Literal["MULTI_TASK"] = "MULTI_TASK"
    edit_mode: Literal["EDITABLE", "UI_LOCKED"] = "EDITABLE"
    deployment: Deployment | None = None
    run_as: RunAs = RunAs()
    access_control_list: list[AccessControl] = []
    schedule: Trigger = None
    trigger: Trigger = None
    email_notifications: Notifications = None
    webhook_notifications: Notifications = None
    notification_settings: Notifications = None

    @classmethod
    def parse(cls, settings: dict[str, Any]) -> Self:
        """Parse the settings, with the defaults that the real API fills in.

        Raises ApiError, which names the first fault.
        """
        defaults = {"name": "Untitled", "max_concurrent_runs": 1, "timeout_seconds": 0, "format": "MULTI_TASK"}
        try:
            return cls.model_validate(defaults | settings)
        except ValidationError as error:
            raise from_validation(error, "field") from error

    def as_json(self) -> dict[str, Any]:
        """Return the settings as they were given, with the defaults that `parse` filled in."""
        return self.model_dump(mode="json", exclude_unset=True)

    def task(self, task_key: str) -> TaskSettings | None:
        """Return the settings of a task; None for one that the job no longer has."""
        return next((task for task in self.tasks if task.task_key == task_key), None)

    @property
    def default_parameters(self) -> dict[str, str]:
        return {parameter.name: parameter.default for parameter in self.parameters}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.tasks:
            raise invalid("The job has no tasks: give it at least one.")
        _check_unique("tasks: task_key", [task.task_key for task in self.tasks])
        _check_unique("environments: environment_key", [item.environment_key for item in self.environments])
        _check_unique("parameters: name", [parameter.name for parameter in self.parameters])
        environments = {environment.environment_key for environment in self.environments}
        upstream = {task.task_key: task.upstream for task in self.tasks}
        _check_order(upstream)
        conditions = {task.task_key for task in self.tasks if task.condition_task}
        for task in self.tasks:
            where = f"Task {task.task_key!r}"
            types = (task.python_wheel_task, task.run_job_task, task.pipeline_task, task.condition_task)
            if sum(map(bool, types)) != 1:
                raise invalid(f"{where} needs one of python_wheel_task, run_job_task, pipeline_task, condition_task.")
            if task.python_wheel_task and task.environment_key not in environments:
                raise invalid(f"{where}: environment_key {task.environment_key!r} is not among `environments`.")
            for dependency in task.depends_on:
                if dependency.outcome and dependency.task_key not in conditions:
                    raise invalid(f"{where}: {dependency.task_key!r} has no outcome, since it is no condition_task.")
            for text in task.texts:
                references.check(text, set(self.default_parameters), _all_upstream(upstream, task.task_key), where)
        return self


def _check_unique(place: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise invalid(f"{place} {name!r} occurs more than once.")


def _all_upstream(upstream: dict[str, set[str]], task_key: str) -> set[str]:
    """Return the tasks that have ended before this one starts."""
    found: set[str] = set()
    while more := {above for below in (found or {task_key}) for above in upstream[below]} - found:
        found |= more
    return found


def _check_order(upstream: dict[str, set[str]]) -> None:
    for task_key, dependencies in upstream.items():
        for missing in sorted(dependencies - set(upstream)):
            raise invalid(f"Task {task_key!r} depends on {missing!r}, which is no task of this job.")
    try:
        TopologicalSorter(upstream).prepare()
    except CycleError as error:
        raise invalid(f"The tasks depend on each other in a circle: {', '.join(error.args[1])}.") from error
