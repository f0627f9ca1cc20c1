"""`make pipeline`: update the declarative pipeline in the local workspace, and follow it to its end.

DRY=1 checks the definitions only; FULL=1 makes all tables again.
"""

from __future__ import annotations

import sys
import time

from laptop.laptop_state import LaptopState
from laptop.services import require_up, wait_until_ready, workspace_client
from machine.command_line import UserError, is_set, run_command
from machine.http_client import HttpClient

PIPELINE = "declarative"


def update(client: HttpClient, *, full_refresh: bool = False, validate_only: bool = False) -> str:
    """Run an update, print what it reports, and return the state in which it ended. Raises UserError, HttpError."""
    listed = client.call("GET", "/api/2.0/pipelines?max_results=250").get("statuses", [])
    found = [pipeline["pipeline_id"] for pipeline in listed if pipeline["name"] == PIPELINE]
    if not found:
        raise UserError(f"the workspace has no pipeline {PIPELINE}: `make up` deploys it.")
    path = f"/api/2.0/pipelines/{found[0]}"
    asked = {"full_refresh": full_refresh, "validate_only": validate_only}
    update_id = client.call("POST", f"{path}/updates", asked)["update_id"]
    printed = 0
    while True:
        state = str(client.call("GET", f"{path}/updates/{update_id}")["update"]["state"])
        query = f"filter=update_id%20%3D%20'{update_id}'&max_results=250"
        events = client.call("GET", f"{path}/events?{query}").get("events", [])[::-1]
        for event in events[printed:]:
            print(event["message"], flush=True)
        printed = len(events)
        if state in ("COMPLETED", "FAILED", "CANCELED"):
            return state
        time.sleep(0.3)


def main() -> int:
    state = LaptopState.from_environment()
    require_up(state)
    wait_until_ready(state)
    begun = time.monotonic()
    ended = update(workspace_client(state), full_refresh=is_set("FULL"), validate_only=is_set("DRY"))
    print(f"{ended.capitalize()} after {time.monotonic() - begun:.0f} s.")
    return 0 if ended == "COMPLETED" else 1


if __name__ == "__main__":
    sys.exit(run_command(main))
