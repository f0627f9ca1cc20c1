"""Where the seconds of a run go."""

from benchmarks.task_times import TaskTimes, Waits, add_job_waits, job_task_times, total


def test_what_earlier_tasks_took_is_not_a_later_ones_queue() -> None:
    build = {"task_key": "build", "queue_duration": 500, "setup_duration": 2000, "execution_duration": 7500}
    audit = {"task_key": "audit", "queue_duration": 10_250, "setup_duration": 1000, "execution_duration": 4000}
    assert job_task_times([build, audit]) == [
        TaskTimes("  build (job task)", 10.0, 0.0, 0.5, 2.0, 7.5),
        TaskTimes("  audit (job task)", 5.25, 0.0, 0.25, 1.0, 4.0),
    ]


def test_a_jobs_tasks_are_not_counted_twice() -> None:
    times = [TaskTimes("build", 12.0, waiting=1.0, work=11.0), TaskTimes("  build (job task)", 11.0, work=11.0)]
    assert total(times) == TaskTimes("all", 12.0, waiting=1.0, work=11.0)


def test_waits_are_the_time_between_ends_and_starts() -> None:
    build = {"execution_duration": 5000, "end_time": 6_300}
    audit = {"execution_duration": 3000, "end_time": 9_500}
    found = Waits([], [], [], [])
    add_job_waits(found, {"start_time": 1000, "end_time": 9_510, "tasks": [build, audit]}, task_ended_ms=10_010)
    add_job_waits(found, {"start_time": 0, "end_time": 900, "tasks": [build | {"end_time": 5_250}]}, task_ended_ms=890)
    assert found == Waits([0.5, 0.0], [], [0.3, 0.25], [0.2])
