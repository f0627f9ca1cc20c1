"""Databricks' dynamic value references (`{{job.run_id}}`) in task parameters."""

import re
from collections.abc import Mapping

from local_workspace.errors import invalid, unsupported

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
    """Refuse a reference that could never be filled in."""
    for name in _REFERENCE.findall(text):
        if name.startswith(_JOB_PARAMETER):
            if name.removeprefix(_JOB_PARAMETER) not in declared:
                raise invalid(f"{where} uses {{{{{name}}}}}, but the job declares no such parameter.")
        elif name not in KNOWN:
            raise unsupported(f"the reference {{{{{name}}}}} of {where.lower()}")


def resolved(text: str, values: Mapping[str, str]) -> str:
    """Fill in the references, once: a value that looks like a reference stays as it is."""
    return _REFERENCE.sub(lambda found: values.get(found.group(1), found.group(0)), text)
