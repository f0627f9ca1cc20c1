"""Dynamic value references of Databricks (`{{job.run_id}}`) in the parameters of tasks."""

import re
from collections.abc import Mapping

from local_workspace.api_errors import invalid, unsupported

_REFERENCE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_JOB_PARAMETER = "job.parameters."
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


def check(text: str, declared: set[str], where: str) -> None:
    """Raise ApiError for an unknown reference, or one to a job parameter that is not declared."""
    for name in _REFERENCE.findall(text):
        if name.startswith(_JOB_PARAMETER):
            if name.removeprefix(_JOB_PARAMETER) not in declared:
                raise invalid(f"{where} uses {{{{{name}}}}}, but the job declares no such parameter.")
        elif name not in KNOWN:
            raise unsupported(f"the reference {{{{{name}}}}} of {where.lower()}")


def resolved(text: str, values: Mapping[str, str]) -> str:
    """Return the text with each reference replaced by its value.

    A value that looks like a reference is not replaced again.
    """
    return _REFERENCE.sub(lambda match: values.get(match.group(1), match.group(0)), text)
