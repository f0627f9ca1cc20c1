"""Warm Spark up after `make up`: run the job tasks on invented orders, and remove all that they have made.

The first daily run of a new Spark takes twice as long, since Java loads its classes and compiles its code. The warm-up
does that before: it runs the jobs' own code on separate schemas, volumes and secrets. As soon as a job run begins, it
gives Spark up. What it has made is removed when no job run is active; what it leaves when it is killed is removed by
the next one.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import NoReturn

from laptop.laptop_state import LaptopState
from laptop.services import WARM_UP, WARM_UP_SETTING, warm_up_folder, warm_up_is_wanted, workspace_client
from laptop.spark_client import connected, wait_for_port
from machine.command_line import run_command
from machine.http_client import HttpError
from machine.state_folder import StateFolder

PREFIX = "lakehouse_warm_up_"
"""Of the names of its schemas."""
START, DAYS = date(2018, 1, 1), 3
"""Landing dates: all but the last in one run, then the last, since one more day takes other code than a first load."""
LOOK_SECONDS = 0.2
QUIET_SECONDS = 10.0
"""Longer than the pauses between the job runs of a daily run."""


def warm_up(state: LaptopState) -> None:
    """Run the job tasks in one Spark session, until all are done or a job run begins. Raises what a task raises."""
    from laptop.jobs_in_process import use_task_environment

    session_id = str(uuid.uuid4())
    folder = warm_up_folder(state)
    wait_for_port(state.spark_port)
    use_task_environment(folder.secrets)
    os.environ["SPARK_REMOTE"] = f"{state.spark_remote()};user_id={WARM_UP};session_id={session_id}"
    threading.Thread(target=_end_at_a_job_run, args=(state, session_id), daemon=True).start()
    for name, run in job_tasks(folder):
        begun = time.monotonic()
        run()
        print(f"{name}: {time.monotonic() - begun:.1f} s", flush=True)


def job_tasks(folder: StateFolder) -> Iterator[tuple[str, Callable[[], None]]]:
    """Land invented orders below `folder`, and yield the job tasks that publish them.

    Each must have been called before the next one is asked for.
    """
    from feeds.synthetic.command import run
    from laptop.jobs_in_process import JobsInProcess

    folder.secret("lakehouse/email-hmac-key")  # a separate key: theirs is for the people's own data
    jobs = JobsInProcess(folder.volumes, PREFIX)
    jobs.landing.mkdir(parents=True)
    run([f"--landing={jobs.landing}", f"--start={START}", f"--days={DAYS}", "--processes=1"])
    end = START + timedelta(days=DAYS)
    last = end - timedelta(days=1)
    yield from jobs.tasks(START, last)
    yield from jobs.tasks(last, end)


def remove(state: LaptopState) -> None:
    """Remove the schemas and files of warm-ups, once no job run is active. Raises UserError where Spark is gone."""
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < QUIET_SECONDS:
        if _is_job_run_active(state):
            quiet_since = time.monotonic()
        time.sleep(1.0)
    wait_for_port(state.spark_port)
    with connected(f"{state.spark_remote()};user_id={WARM_UP};session_id={uuid.uuid4()}") as spark:
        for row in spark.sql(f"SHOW SCHEMAS LIKE '{PREFIX}*'").collect():
            spark.sql(f"DROP SCHEMA {row[0]} CASCADE")
    for left in (state.root / "warehouse").glob(f"{PREFIX}*"):  # of a statement that was interrupted
        shutil.rmtree(left)
    shutil.rmtree(warm_up_folder(state).root)
    print("What the warm-up has made is removed.", flush=True)


def _end_at_a_job_run(state: LaptopState, session_id: str) -> None:
    from local_workspace.spark_sessions import SparkSessions

    while not _is_job_run_active(state):
        time.sleep(LOOK_SECONDS)
    print("A job run has begun, so the warm-up ends.", flush=True)
    sessions = SparkSessions(state.spark_port, state.secret("spark_token"), WARM_UP)
    sessions.end(session_id, interrupt=True)
    _remove_in_a_new_program()


def _is_job_run_active(state: LaptopState) -> bool:
    """Return whether the workspace has a job run that is not over; one that does not answer runs none."""
    try:
        answer = workspace_client(state).call("GET", "/api/2.2/jobs/runs/list?active_only=true&limit=1", timeout=10)
    except HttpError:
        return False
    return bool(answer.get("runs"))


def _remove_in_a_new_program() -> NoReturn:
    """Replace this process, with all that its threads do and its memory, by one that only removes."""
    sys.stdout.flush()
    environment = os.environ | {WARM_UP_SETTING: "false"}
    os.execve(sys.executable, [sys.executable, "-m", "laptop.warm_up"], environment)  # noqa: S606 - our own program


def main() -> int:
    # It ends at once, also amid a statement: the next start removes what it leaves.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    state = LaptopState.from_environment()
    if warm_up_folder(state).root.exists():
        remove(state)
    if not warm_up_is_wanted():
        return 0
    try:
        warm_up(state)
    except Exception:  # noqa: BLE001 - whatever it was, what the tasks have made is removed
        traceback.print_exc()
    _remove_in_a_new_program()


if __name__ == "__main__":
    sys.exit(run_command(main))
