"""The worked example of CONTRIBUTING.md adds a gold table that is built, audited and published."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[3]
PUBLISH_TWO_DAYS = """
import json, sys
from pathlib import Path
from pyspark.sql import SparkSession
from tests.spark.publishing.lakehouse import Lakehouse, order_item

spark = SparkSession.builder.remote(sys.argv[1]).create()
spark.conf.set("spark.sql.session.timeZone", "UTC")
lakehouse = Lakehouse(spark, Path(sys.argv[2]), "worked_example_")
try:
    lakehouse.land("2018-01-01", order_item(1, day=1), order_item(2, day=1, Market="Europe"))
    lakehouse.run("2018-01-01", "2018-01-02", audited=False)
    lakehouse.land("2018-01-02", order_item(3, day=2, Market="Europe"), order_item(4, day=2, status="CANCELED"))
    lakehouse.run("2018-01-02", "2018-01-03", audited=False, layers=("bronze", "silver"))
    build = lakehouse.build("gold", "2018-01-02", "2018-01-03")
    verdict = lakehouse.audit(build)
    assert verdict.success, verdict.lines()
    lakehouse.publish(build, verdict.fingerprint)
    rows = lakehouse.published("gold.markets").orderBy("market").collect()
    print(json.dumps([[row.market, row.total_orders, str(row.total_revenue)] for row in rows]))
finally:
    lakehouse.drop()
    spark.stop()
"""


def block(language: str) -> str:
    """The example's only block of code in a language."""
    text = (REPO / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("<!-- worked example: add a gold table -->")[1].split("<!-- end of worked example -->")[0]
    (found,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return str(found)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, in which the example was followed."""
    for folder in ("spark_jobs", "gx", "tests/spark/publishing"):
        shutil.copytree(REPO / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPO / "databricks.yml", tmp_path)
    (tmp_path / "spark_jobs/layers/gold/markets.py").write_text(block("python"), encoding="utf-8")
    (tmp_path / "gx/rules/gold.markets.yml").write_text(block("yaml"), encoding="utf-8")
    return tmp_path


def test_the_new_table_is_published(project: Path, email_key: None, spark_remote: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PUBLISH_TWO_DAYS, spark_remote, str(project / "lakehouse")],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [["Europe", 2, "180.00"], ["Pacific Asia", 1, "90.00"]]
