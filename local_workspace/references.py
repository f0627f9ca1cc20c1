"""Dynamic value references of Databricks (`{{job.run_id}}`) in the parameters of tasks."""

import re
from collections.abc import Mapping

from local_workspace.api_errors import invalid, unsupported

_REFERENCE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_JOB_PARAMETER = "job.parameters."
_TASK_VALUE = re.compile(r"tasks\.([A-Za-z0-9_-]+)\.values\.([A-Za-z0-9_-]+)")
KNOWN = (
    "job.id",
    "job.name",
    "job.run_id",
    "job.repair_count",
    "job.start_time.iso_date",
    "job.start_time.iso_datetime",
    "job.start_time.timestamp_ms",
    "task.name",
    "task.run_id",
    "task.execution_count",
)


class ValueMissing(Exception):
    """A task needs a value that the task before it has not set."""


def check(text: str, declared: set[str], upstream: set[str], where: str) -> None:
    """Raise ApiError for an unknown reference, or one to a job parameter that is not declared, or to a value of a task
    that is not upstream."""
    for name in _REFERENCE.findall(text):
        if name.startswith(_JOB_PARAMETER):
            if name.removeprefix(_JOB_PARAMETER) not in declared:
                raise invalid(f"{where} uses {{{{{name}}}}}, but the job declares no such parameter.")
        elif value := _TASK_VALUE.fullmatch(name):
            if value.group(1) not in upstream:
                raise invalid(f"{where} uses {{{{{name}}}}}, but does not depend on task {value.group(1)!r}.")
        elif name not in KNOWN:
            raise unsupported(f"the reference {{{{{name}}}}} of {where.lower()}")


def resolved(text: str, values: Mapping[str, str]) -> str:
    """Return the text with each reference replaced by its value. Raises ValueMissing.

    A value that looks like a reference is not replaced again.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if (found := _TASK_VALUE.fullmatch(name)) and name not in values:
            raise ValueMissing(f"Task {found.group(1)} has set no value named {found.group(2)}.")
        return values.get(name, match.group(0))

    return _REFERENCE.sub(value, text)
