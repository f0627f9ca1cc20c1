"""`make run START=2018-01-01 END=2018-01-08`: trigger a run for these landing dates and follow it to its end."""

from __future__ import annotations

import os
import sys
from datetime import datetime

from laptop.airflow_client import AirflowClient
from laptop.dates import parse_interval
from laptop.follow import RunResult, follow, reasons, screen
from laptop.problems import Problem, guarded
from laptop.services import DAG, is_up
from laptop.state import State


def run_interval(state: State, start: datetime, end: datetime, note: str) -> RunResult:
    """Run the landing dates of [start, end) through the real scheduler, showing the progress."""
    client = AirflowClient(state)
    client.wait_for_dag(DAG)
    client.unpause(DAG)
    run_id = client.trigger(DAG, start, end, note)
    title = f"{DAG}, landing dates {start:%Y-%m-%d} up to {end:%Y-%m-%d}"
    print(f"{title}\n{client.run_page(DAG, run_id)}", flush=True)
    with screen(title) as shown:
        result = follow(client, DAG, run_id, shown)
    if not result.ok:
        print("\n".join(reasons(client, result)), file=sys.stderr)
    return result


def main() -> int:
    start, end = parse_interval(os.environ.get("START", ""), os.environ.get("END", ""))
    state = State.from_environment()
    if not is_up(state):
        raise Problem("Airflow and the local workspace are not running; start them with `make up`.")
    result = run_interval(state, start, end, "make run")
    print(f"{'Succeeded' if result.ok else 'Failed'} after {result.seconds:.0f} s.")
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(guarded(main))
