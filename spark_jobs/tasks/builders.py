"""The build of each layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from spark_jobs.runtime.job_parameters import BuildParameters
from spark_jobs.storage.build_record import Build
from spark_jobs.tasks.build_bronze import build_bronze
from spark_jobs.tasks.build_gold import build_gold
from spark_jobs.tasks.build_silver import build_silver

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Builder = Callable[["SparkSession", BuildParameters, str], Build]

BUILDERS: dict[str, Builder] = {"bronze": build_bronze, "silver": build_silver, "gold": build_gold}
