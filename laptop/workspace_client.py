"""The little that the laptop's commands ask the local workspace: what a job run took."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from laptop.problems import Problem
from laptop.state import State


def job_run(state: State, run_id: int | str) -> dict[str, Any]:
    """A job run with its tasks, as `runs/get` of the Jobs API gives it."""
    request = urllib.request.Request(f"{state.workspace_url}/api/2.2/jobs/runs/get?run_id={run_id}")
    request.add_header("Authorization", f"Bearer {state.secret('workspace_token')}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            return dict(json.loads(answer.read()))
    except urllib.error.HTTPError as error:
        raise Problem(f"the local workspace knows no run {run_id} (HTTP {error.code}).") from None
    except OSError as error:
        raise Problem(f"the local workspace at {state.workspace_url} does not answer ({error}).") from None
