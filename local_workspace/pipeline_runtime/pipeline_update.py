"""The process of one update of a pipeline, as `spark-pipelines run` or `dry-run` by Spark Connect.

Arguments: the specification's file, true for a full refresh, true for a dry run. It imports only PySpark, so that it
runs with the search path of a task.
"""

import sys
from pathlib import Path


def main() -> None:
    from pyspark.pipelines.cli import load_pipeline_spec, run
    from pyspark.sql import SparkSession

    file, full_refresh, dry = sys.argv[1:]
    spec = load_pipeline_spec(Path(file))
    # Spark fails where the schema is missing; on Databricks the pipeline makes it.
    SparkSession.builder.getOrCreate().sql(f"CREATE SCHEMA IF NOT EXISTS {spec.catalog}.{spec.database}").collect()
    run(Path(file), full_refresh=[], full_refresh_all=full_refresh == "true", refresh=[], dry=dry == "true")
