"""Check a job's settings: what the local workspace does not know or cannot do, it refuses by name."""

import re
from collections.abc import Callable
from typing import Any

from local_workspace import references
from local_workspace.errors import invalid, unsupported

Check = Callable[[str, Any], None]
_KEY = re.compile(r"[\w\-]{1,100}", re.ASCII)


def _text(where: str, value: Any) -> None:
    if not isinstance(value, str):
        raise invalid(f"{where} must be a string, not {type(value).__name__}.")


def _flag(where: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise invalid(f"{where} must be true or false.")


def _number(least: int, most: int) -> Check:
    def check(where: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise invalid(f"{where} must be a whole number from {least} to {most}, not {value!r}.")

    return check


def _one_of(*choices: str) -> Check:
    def check(where: str, value: Any) -> None:
        if value not in choices:
            raise invalid(f"{where} must be one of {', '.join(choices)}, not {value!r}.")

    return check


def _only(value_supported: Any, what: str) -> Check:
    def check(where: str, value: Any) -> None:
        if value != value_supported or isinstance(value, bool) != isinstance(value_supported, bool):
            raise unsupported(f"{where} = {value!r}: {what}")

    return check


def _strings(where: str, value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise invalid(f"{where} must be a list of strings.")


def _tags(where: str, value: Any) -> None:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise invalid(f"{where} must map names to strings.")
    if len(value) > 25:
        raise invalid(f"{where} has {len(value)} tags; a job may have 25.")


def _record(**fields: Check) -> Check:
    def check(where: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise invalid(f"{where} must be an object.")
        for name, item in value.items():
            inside = f"{where}.{name}" if where else name
            if name not in fields:
                raise unsupported(f"the field {inside}")
            fields[name](inside, item)

    return check


def _items(check_item: Check) -> Check:
    def check(where: str, value: Any) -> None:
        if not isinstance(value, list):
            raise invalid(f"{where} must be a list.")
        for position, item in enumerate(value):
            check_item(f"{where}[{position}]", item)

    return check


def _nothing(where: str, value: Any) -> None:
    """Notifications go nowhere on one machine: an empty setting is harmless, another would be ignored."""
    if any(value.values()) if isinstance(value, dict) else value:
        raise unsupported(f"{where}: nothing is sent from one machine")


_DAY = 86400
_HEALTH = _record(
    rules=_items(
        _record(
            metric=_one_of(
                "RUN_DURATION_SECONDS",
                "STREAMING_BACKLOG_BYTES",
                "STREAMING_BACKLOG_FILES",
                "STREAMING_BACKLOG_RECORDS",
                "STREAMING_BACKLOG_SECONDS",
            ),
            op=_one_of("GREATER_THAN"),
            value=_number(0, 10**15),
        )
    )
)
_PARAMETER = _record(name=_text, default=_text)
_TASK = _record(
    task_key=_text,
    description=_text,
    depends_on=_items(_record(task_key=_text)),
    run_if=_only("ALL_SUCCESS", "only tasks whose dependencies all succeeded are run"),
    max_retries=_only(0, "retries belong to the scheduler that started the run; say max_retries: 0"),
    min_retry_interval_millis=_number(0, 10**9),
    retry_on_timeout=_only(False, "a task is not retried here"),
    disable_auto_optimization=_flag,
    timeout_seconds=_number(0, 30 * _DAY),
    environment_key=_text,
    python_wheel_task=_record(package_name=_text, entry_point=_text, parameters=_strings),
    health=_HEALTH,
    email_notifications=_nothing,
    webhook_notifications=_nothing,
    notification_settings=_nothing,
)
_SETTINGS = _record(
    name=_text,
    description=_text,
    tags=_tags,
    tasks=_items(_TASK),
    environments=_items(
        _record(
            environment_key=_text,
            spec=_record(environment_version=_text, client=_text, dependencies=_strings),
        )
    ),
    parameters=_items(_PARAMETER),
    max_concurrent_runs=_number(0, 1000),
    queue=_record(enabled=_flag),
    timeout_seconds=_number(0, 30 * _DAY),
    health=_HEALTH,
    performance_target=_one_of("STANDARD", "PERFORMANCE_OPTIMIZED"),
    format=_one_of("MULTI_TASK"),
    edit_mode=_one_of("EDITABLE", "UI_LOCKED"),
    deployment=_record(kind=_one_of("BUNDLE"), metadata_file_path=_text),
    run_as=_record(user_name=_text, service_principal_name=_text),
    access_control_list=_items(
        _record(user_name=_text, group_name=_text, service_principal_name=_text, permission_level=_text)
    ),
    email_notifications=_nothing,
    webhook_notifications=_nothing,
    notification_settings=_nothing,
)


def checked(settings: Any) -> dict[str, Any]:
    """The settings with the real API's defaults filled in, or an error that names the first fault."""
    _SETTINGS("", settings)
    filled = {"name": "Untitled", "max_concurrent_runs": 1, "timeout_seconds": 0, "format": "MULTI_TASK", **settings}
    _check_names(filled)
    tasks = filled.get("tasks") or []
    if not tasks:
        raise invalid("The job has no tasks: give it at least one.")
    environments = {item.get("environment_key") for item in filled.get("environments", [])}
    for task in tasks:
        where = f"Task {task.get('task_key')!r}"
        wheel_task = task.get("python_wheel_task")
        if wheel_task is None:
            raise unsupported(f"the type of task {task.get('task_key')!r}: only python_wheel_task is there")
        for name in ("package_name", "entry_point"):
            if not wheel_task.get(name):
                raise invalid(f"{where}: python_wheel_task.{name} is missing.")
        if task.get("environment_key") not in environments:
            raise invalid(f"{where}: environment_key {task.get('environment_key')!r} is not among `environments`.")
        declared = {parameter["name"] for parameter in filled.get("parameters", [])}
        for parameter in wheel_task.get("parameters", []):
            references.check(parameter, declared, where)
    _check_order(tasks)
    return filled


def _check_names(settings: dict[str, Any]) -> None:
    for kind, key in (("tasks", "task_key"), ("environments", "environment_key"), ("parameters", "name")):
        names = [item.get(key) for item in settings.get(kind, [])]
        for name in names:
            if not isinstance(name, str) or not _KEY.fullmatch(name):
                raise invalid(f"{kind}: {key} {name!r} must be letters, digits, - and _ (at most 100).")
            if names.count(name) > 1:
                raise invalid(f"{kind}: {key} {name!r} occurs more than once.")
    for parameter in settings.get("parameters", []):
        if "default" not in parameter:
            raise invalid(f"parameters: {parameter['name']!r} has no default.")


def _check_order(tasks: list[dict[str, Any]]) -> None:
    waits_for = {task["task_key"]: {d.get("task_key") for d in task.get("depends_on", [])} for task in tasks}
    for task_key, others in waits_for.items():
        for other in sorted(others - set(waits_for), key=str):
            raise invalid(f"Task {task_key!r} depends on {other!r}, which is no task of this job.")
    done: set[str] = set()
    while len(done) < len(waits_for):
        ready = {key for key, others in waits_for.items() if key not in done and others <= done}
        if not ready:
            raise invalid(f"The tasks depend on each other in a circle: {', '.join(sorted(set(waits_for) - done))}.")
        done |= ready
