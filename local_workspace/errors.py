"""The errors of the API, in the shape and with the codes of the real one."""

from typing import Any


class ApiError(Exception):
    """An answer `{"error_code": ..., "message": ...}` with its HTTP status."""

    def __init__(self, status: int, error_code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.message = message

    def body(self) -> dict[str, Any]:
        return {"error_code": self.error_code, "message": self.message}


def invalid(message: str) -> ApiError:
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def invalid_state(message: str) -> ApiError:
    return ApiError(400, "INVALID_STATE", message)


def unsupported(what: str) -> ApiError:
    """The local workspace says what it cannot do, and never pretends (design section 10)."""
    return ApiError(400, "INVALID_PARAMETER_VALUE", f"The local workspace does not support {what}.")


def no_such_job(job_id: int) -> ApiError:
    # The real Jobs API answers 400 here; only paths and files get a 404.
    return ApiError(400, "INVALID_PARAMETER_VALUE", f"Job {job_id} does not exist.")


def no_such_run(run_id: int) -> ApiError:
    return ApiError(400, "INVALID_PARAMETER_VALUE", f"Run {run_id} does not exist.")


def no_such_path(path: str, kind: str = "path") -> ApiError:
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"The {kind} {path} does not exist.")
