"""The parameters of a job task."""

from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from spark_jobs.runtime.errors import ParameterRefused
from spark_jobs.runtime.job_parameters import BuildParameters, MaintenanceParameters, PublishParameters, TaskParameters

REPO = Path(__file__).resolve().parents[2]
BUILD = {
    "--catalog": "spark_catalog", "--schema-prefix": "", "--ops-root": "ops", "--job-run-id": "7",
    "--repair-count": "0", "--layer": "bronze", "--interval-start": "2018-01-01", "--interval-end": "2018-01-02",
    "--landing-root": "landing", "--source-encoding": "windows-1252", "--email-secret": "lakehouse/key",
    "--allow-missing-dates": "false", "--max-quarantined-percent": "5", "--max-quarantined-lines": "5",
}  # fmt: skip


def arguments(**changes: str | None) -> list[str]:
    given = {**BUILD, **{f"--{name.replace('_', '-')}": value for name, value in changes.items()}}
    return [text for option, value in given.items() if value is not None for text in (option, value)]


def test_values_are_taken_as_they_are() -> None:
    parameters = BuildParameters.parse(arguments(landing_root="'; drop table x --"))
    assert parameters.landing_root == "'; drop table x --"
    assert parameters.fresh_build_id == "7_0"
    assert parameters.quarantined_percent == Decimal(5)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"layer": "platinum"}, "layer is 'platinum'"),
        ({"layer": None}, "missing: layer"),
        ({"job_run_id": "7; rm"}, "job_run_id is '7; rm'"),
        ({"surprise": "1"}, "unknown parameter '--surprise'"),
    ],
)
def test_what_is_not_known_is_refused(changes: dict[str, str | None], named: str) -> None:
    with pytest.raises(ParameterRefused, match=named):
        BuildParameters.parse(arguments(**changes))


@pytest.mark.parametrize(
    ("changes", "read"),
    [
        ({"max_quarantined_percent": "101"}, "quarantined_percent"),
        ({"max_quarantined_percent": "NaN"}, "quarantined_percent"),
        ({"max_quarantined_percent": "many"}, "quarantined_percent"),
        ({"max_quarantined_lines": "-1"}, "quarantined_lines"),
        ({"allow_missing_dates": "yes"}, "missing_dates_allowed"),
        ({"catalog": "a; drop"}, "tables"),
        ({"schema_prefix": "a-"}, "tables"),
    ],
)
def test_values_are_checked_when_they_are_read(changes: dict[str, str | None], read: str) -> None:
    with pytest.raises(ParameterRefused):
        getattr(BuildParameters.parse(arguments(**changes)), read)


def test_every_task_of_the_bundle_gives_exactly_what_its_entry_point_needs() -> None:
    kinds: dict[str, type[TaskParameters]] = {"publish": PublishParameters, "maintenance": MaintenanceParameters}
    seen = 0
    for file in sorted((REPO / "resources").glob("*.job.yml")):
        for job in yaml.safe_load(file.read_text())["resources"]["jobs"].values():
            declared = {parameter["name"] for parameter in job["parameters"]}
            for task in job["tasks"]:
                given = task["python_wheel_task"]["parameters"]
                used = {v.removeprefix("{{job.parameters.").removesuffix("}}") for v in given if "parameters." in v}
                assert used == declared, f"{file.name}: {task['task_key']}"
                values = ["7" if v in ("{{job.run_id}}", "{{job.repair_count}}") else v for v in given]
                values = ["gold" if v == "{{job.parameters.layer}}" else v for v in values]
                values = ["7" if v == "{{job.parameters.build_job_run_id}}" else v for v in values]
                entry_point = task["python_wheel_task"]["entry_point"]
                if entry_point != "synthetic_feed":  # no TaskParameters: it is a command for people too
                    kinds.get(entry_point, BuildParameters).parse(values)
                seen += 1
    assert seen == 9
