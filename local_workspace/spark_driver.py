"""The program that spark-submit runs: Spark with the Connect service, until its JVM ends.

Spark's own Connect server gives each session its own class loader, whatever the settings say. Spark caches the code
that it generates by class loader, so each task of each run would compile (and the JVM warm up) all of it again, which
takes a third of a daily run's time. With only the service, sessions share one class loader and the cached code.

Spark's Connect plugin opens the port before a session exists. Clients that connect at that moment may each get their
own catalog, without the tables of the others. So the session is created first.
"""

import sys
from typing import Any

from pyspark.sql import SparkSession

if __name__ == "__main__":
    spark = SparkSession.builder.getOrCreate()
    jvm: Any = spark.sparkContext._jvm
    jvm.org.apache.spark.sql.connect.service.SparkConnectService.start(spark._jsparkSession.sparkContext())
    # The JVM holds the other end, which is closed whenever and however the JVM ends.
    sys.stdin.read()
