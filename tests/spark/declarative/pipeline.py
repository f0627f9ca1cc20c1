"""Updates of the declarative pipeline in pipelines/, by Spark's own program, as the local workspace starts it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from local_workspace import pipelines
from spark_jobs.layers.bronze.bronze_tables import AUDIT_ONLY
from spark_jobs.layers.registry import TABLES
from tests.spark.publishing.lakehouse import REPO, SOURCE_SETTINGS, Lakehouse

_UPDATE = "from local_workspace.pipeline_runtime.pipeline_update import main; main()"


def configuration(landing: Path, auto_cdc: str = "false") -> dict[str, str]:
    """What the definitions read, as the bundle sets it for one machine."""
    settings = SOURCE_SETTINGS | {
        "landing_root": str(landing),
        "email_hmac": "lakehouse/email-hmac-key",
        "auto_loader": "false",
        "auto_cdc": auto_cdc,
    }
    return {f"lakehouse.{name}": value for name, value in settings.items()}


class Twin:
    """The pipeline over the landing files of a lakehouse, in a separate schema."""

    def __init__(self, lakehouse: Lakehouse, folder: Path, spark_remote: str) -> None:
        self._lakehouse, self._folder, self._remote = lakehouse, folder, spark_remote
        self.schema = f"{lakehouse.names.schema_prefix}declarative"
        shutil.copytree(REPO / "pipelines", folder / "definitions")
        settings = {
            "name": "twin",
            "catalog": "spark_catalog",
            "schema": self.schema,
            "configuration": {
                "spark.sql.session.timeZone": "UTC",
                "spark.sql.ansi.enabled": "true",
                **configuration(lakehouse.landing),
            },
        }
        self._file = folder / "spark-pipeline.yml"
        specification = pipelines.specification(settings, ["definitions/**"], folder / "storage")
        self._file.write_text(yaml.safe_dump(specification), encoding="utf-8")

    def update(self, *, full_refresh: bool = False) -> None:
        """Update the pipeline; what it printed is in the error where it fails."""
        done = subprocess.run(
            [sys.executable, "-c", _UPDATE, str(self._file), str(full_refresh).lower(), "false"],
            env=os.environ | {"SPARK_REMOTE": self._remote, "PYTHONPATH": str(REPO)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of the ten tables, sorted, audit columns aside, as Lakehouse.everything gives those published."""
        found = {}
        for name, spec in TABLES.items():
            frame = self._lakehouse.spark.table(f"spark_catalog.{self.schema}.{spec.short_name}")
            kept = [column for column in spec.columns if column not in AUDIT_ONLY]
            found[name] = sorted((tuple(row) for row in frame.select(*kept).collect()), key=repr)
        return found

    def drop(self) -> None:
        self._lakehouse.spark.sql(f"DROP SCHEMA IF EXISTS spark_catalog.{self.schema} CASCADE").collect()
