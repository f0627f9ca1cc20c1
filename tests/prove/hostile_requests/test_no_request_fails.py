"""Whatever is asked of the workspace, with the right token: it answers, and never with its fault (5xx)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from tests.prove.budget import examples
from tests.prove.hostile_requests.conftest import log_of
from tests.prove.hostile_requests.openapi import IN_PATHS, VOLUME, WORKING, arguments, description
from tests.workspace.conftest import Workspace

OPERATIONS = sorted(arguments(0, 0), reverse=True)  # so that files are put before they are asked for


@pytest.fixture(scope="module")
def api(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Any:
    job = workspace.call("POST", "/api/2.2/jobs/create", WORKING)["job_id"]
    run = workspace.wait(workspace.run(job))["run_id"]
    workspace.call("PUT", f"/api/2.0/fs/directories{VOLUME}/folder")
    found = schemathesis.openapi.from_dict(description(tmp_path_factory.mktemp("described"), job, run))
    return found, IN_PATHS | {"job_id": (str(job), "1", "x", "9" * 30), "run_id": (str(run), "1", "x", "9" * 30)}


@pytest.fixture(scope="module")
def asked() -> Iterator[Counter[int]]:
    """How often each status was answered."""
    count: Counter[int] = Counter()
    yield count
    print(f"\ndoors: {count.total()} requests made up by schemathesis, answered with {dict(sorted(count.items()))}")


@pytest.mark.timed
@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_request_makes_it_fail(
    operation: str, api: Any, workspace: Workspace, owner: requests.Session, asked: Counter[int]
) -> None:
    description, in_paths = api
    method, path = operation.split(" ")
    # Some as the description says, some against it.
    made_up = st.one_of(*(description[path][method].as_strategy(mode) for mode in GenerationMode))
    filled = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in in_paths.items()})

    @given(case=made_up, filled=filled)
    @settings(
        max_examples=examples(12, seconds=20), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
    )
    def ask(case: Any, filled: dict[str, str]) -> None:
        case.path_parameters = {name: value for name, value in filled.items() if f"{{{name}}}" in path}
        answer = case.call(base_url=workspace.host, session=owner, allow_redirects=False, timeout=10)
        asked[answer.status_code] += 1
        assert answer.status_code < 500, answer.content
        if answer.status_code >= 400 and path.startswith("/api/") and method != "HEAD":
            assert set(answer.json()) == {"error_code", "message"}
        assert workspace.token.encode() not in answer.content

    ask()
    assert "Traceback" not in log_of(workspace)
