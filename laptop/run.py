"""`make run START=2018-01-01 END=2018-01-08`: trigger a run for these landing dates and follow it to its end."""

from __future__ import annotations

import os
import sys
from datetime import datetime

from laptop.airflow_client import AirflowClient
from laptop.follow import RunResult, failure_reasons, follow, screen
from laptop.landing_interval import parse_interval
from laptop.laptop_state import LaptopState
from laptop.service_news import ServiceNews
from laptop.services import DAG, require_up, wait_until_ready
from machine.command_line import run_command


def run_interval(state: LaptopState, start: datetime, end: datetime, note: str) -> RunResult:
    """Run the landing dates of [start, end) through the real scheduler, showing the progress."""
    client = AirflowClient(state)
    client.wait_for_dag(DAG)
    client.unpause(DAG)
    run_id = client.trigger(DAG, start, end, note)
    title = f"{DAG}, landing dates {start:%Y-%m-%d} up to {end:%Y-%m-%d}"
    print(f"{title}\n{client.run_page(DAG, run_id)}", flush=True)
    with screen(title) as shown:
        result = follow(client, DAG, run_id, shown, news=ServiceNews(state))
    if not result.succeeded:
        print("\n".join(failure_reasons(client, result)), file=sys.stderr)
    return result


def main() -> int:
    start, end = parse_interval(os.environ.get("START", ""), os.environ.get("END", ""))
    state = LaptopState.from_environment()
    require_up(state)
    wait_until_ready(state)
    result = run_interval(state, start, end, "make run")
    print(f"{'Succeeded' if result.succeeded else 'Failed'} after {result.seconds:.0f} s.")
    return 0 if result.succeeded else 1


if __name__ == "__main__":
    sys.exit(run_command(main))
