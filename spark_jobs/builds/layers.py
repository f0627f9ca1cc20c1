"""The build of each layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from spark_jobs.builds.bronze import build_bronze
from spark_jobs.builds.gold import build_gold
from spark_jobs.builds.record import Build
from spark_jobs.builds.silver import build_silver
from spark_jobs.parameters import BuildParameters

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Builder = Callable[["SparkSession", BuildParameters, str], Build]

BUILDERS: dict[str, Builder] = {"bronze": build_bronze, "silver": build_silver, "gold": build_gold}
