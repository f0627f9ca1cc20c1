"""The parameters of a job task."""

from dataclasses import fields
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from spark_jobs.runtime.errors import IntervalRefused, ParameterRefused
from spark_jobs.runtime.interval import Interval
from spark_jobs.runtime.job_parameters import (
    BuildParameters,
    DatesParameters,
    DecideParameters,
    GateParameters,
    MaintenanceParameters,
    PublishParameters,
    ReportParameters,
    TaskParameters,
)

REPO = Path(__file__).resolve().parents[2]
BUILD = {
    "--catalog": "spark_catalog", "--schema-prefix": "", "--ops-root": "ops",
    "--staging-root": "staging", "--job-run-id": "7",
    "--repair-count": "0", "--layer": "bronze", "--interval-start": "2018-01-01", "--interval-end": "2018-01-02",
    "--landing-root": "landing", "--source-encoding": "windows-1252", "--email-secret": "lakehouse/key",
    "--allow-missing-dates": "false", "--max-quarantined-percent": "5", "--max-quarantined-lines": "5",
    "--fewer-lines-warning-percent": "50", "--fewer-lines-critical-percent": "0",
    "--date-order": "auto", "--max-order-age-days": "7305", "--max-order-days-ahead": "0",
    "--null-words": "NULL", "--email-columns": "all",
}  # fmt: skip


def arguments(**changes: str | None) -> list[str]:
    given = {**BUILD, **{f"--{name.replace('_', '-')}": value for name, value in changes.items()}}
    return [text for option, value in given.items() if value is not None for text in (option, value)]


def test_values_are_parsed_once_into_their_types() -> None:
    parameters = BuildParameters.parse(arguments(landing_root="'; drop table x --", interval_end="2018-01-03T00:00Z"))
    assert parameters.landing_root == Path("'; drop table x --")
    assert parameters.build_id == "7_0"
    assert parameters.max_quarantined_percent == Decimal(5)
    assert parameters.max_quarantined_lines == 5
    assert parameters.allow_missing_dates is False
    assert parameters.interval == Interval(date(2018, 1, 1), date(2018, 1, 3))
    assert BuildParameters.from_texts(parameters.as_texts()) == parameters


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"layer": "platinum"}, "layer is 'platinum'"),
        ({"layer": None}, "missing: layer"),
        ({"job_run_id": "7; rm"}, "job_run_id is '7; rm'"),
        ({"surprise": "1"}, "unknown parameter '--surprise'"),
        ({"max_quarantined_percent": "101"}, "max_quarantined_percent is '101'"),
        ({"max_quarantined_percent": "NaN"}, "max_quarantined_percent is 'NaN'"),
        ({"max_quarantined_percent": "many"}, "max_quarantined_percent is 'many'"),
        ({"max_quarantined_lines": "-1"}, "max_quarantined_lines is '-1'"),
        ({"allow_missing_dates": "yes"}, "allow_missing_dates is 'yes'"),
        ({"catalog": "a; drop"}, "catalog is 'a; drop'"),
        ({"schema_prefix": "a-"}, "schema_prefix is 'a-'"),
        ({"ops_root": ""}, "ops_root is empty"),
        ({"dates": "2018-01-01,2018-01-02"}, "dates has 2018-01-02, which is not in the interval"),
        ({"dates": "2018-01-01,soon"}, "dates is 'soon'"),
        ({"open_from": "today"}, "open_from is 'today'"),
    ],
)
def test_what_is_not_known_is_refused(changes: dict[str, str | None], named: str) -> None:
    with pytest.raises((ParameterRefused, IntervalRefused), match=named):
        BuildParameters.parse(arguments(**changes))


def test_every_task_of_the_bundle_gives_exactly_what_its_entry_point_needs() -> None:
    kinds: dict[str, type[TaskParameters]] = {
        "publish": PublishParameters,
        "maintenance": MaintenanceParameters,
        "dates": DatesParameters,
        "gate": GateParameters,
        "decide": DecideParameters,
        "report": ReportParameters,
    }
    seen = 0
    for file in sorted((REPO / "resources").glob("*.job.yml")):
        for job in yaml.safe_load(file.read_text())["resources"]["jobs"].values():
            declared = {parameter["name"] for parameter in job.get("parameters", [])}
            runs_others = any("run_job_task" in task for task in job["tasks"])
            for task in job["tasks"]:
                if "python_wheel_task" not in task:
                    continue
                given = task["python_wheel_task"]["parameters"]
                used = {v.removeprefix("{{job.parameters.").removesuffix("}}") for v in given if "parameters." in v}
                assert used <= declared if runs_others else used == declared, f"{file.name}: {task['task_key']}"
                options = {option.removeprefix("--").replace("-", "_") for option in given[::2]}
                entry_point = task["python_wheel_task"]["entry_point"]
                if entry_point != "synthetic_feed":  # no TaskParameters: it is a command for people, too
                    assert options == {field.name for field in fields(kinds.get(entry_point, BuildParameters))}
                seen += 1
    assert seen == 15
