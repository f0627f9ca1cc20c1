"""The errors of the API, in the shape and with the codes of the real one."""

import re
import reprlib

from pydantic import ValidationError


class ApiError(Exception):
    """An answer `{"error_code": ..., "message": ...}` with its HTTP status."""

    def __init__(self, status: int, error_code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.message = message

    def body(self) -> dict[str, str]:
        return {"error_code": self.error_code, "message": self.message}


def invalid(message: str) -> ApiError:
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def invalid_state(message: str) -> ApiError:
    return ApiError(400, "INVALID_STATE", message)


def unsupported(feature: str) -> ApiError:
    """Refuse by name what the local workspace cannot do, instead of ignoring it."""
    return invalid(f"The local workspace does not support {feature}.")


def no_such_job(job_id: int) -> ApiError:
    # The real Jobs API answers 400 here; only paths and files get a 404.
    return invalid(f"Job {job_id} does not exist.")


def no_such_run(run_id: int) -> ApiError:
    return invalid(f"Run {run_id} does not exist.")


def no_such_path(path: str, kind: str = "path") -> ApiError:
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"The {kind} {path} does not exist.")


def from_validation(error: ValidationError, kind: str) -> ApiError:
    """Return the first fault that pydantic found, with its place.

    `kind` is the word for what was sent: field or argument.
    """
    faults = error.errors(include_url=False)
    # An unknown field explains what is missing beside it: another type of task, say.
    fault = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    place = ""
    for step in fault["loc"]:
        place += f"[{step}]" if isinstance(step, int) else f".{step}"
    place = place.removeprefix(".")
    if fault["type"] == "extra_forbidden":
        return unsupported(f"the {kind} {place}")
    if fault["type"] == "missing":
        return invalid(f"{place} is missing.")
    demand = re.sub(r"^[A-Z]\w+ should ", "must ", fault["msg"])
    return invalid(f"{place} {demand}, not {reprlib.repr(fault['input'])}.")
