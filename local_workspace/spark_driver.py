"""The program that spark-submit runs: Spark and, in it, the Connect service, for as long as its JVM lives.

Spark's own Connect server gives each session a class loader of its own, whatever the settings say. Spark keeps the code
that it compiles by class loader, so each task of each day would compile (and the JVM warm up) all of it again: a third
of a day's time. With the service alone, sessions share one loader, and the code with it.

Spark's Connect plugin opens the port before there is a session. Of clients that come at that moment, each may become
the founder of a catalogue of its own, in which the others' tables do not exist. So the session comes first.
"""

import sys
from typing import Any

from pyspark.sql import SparkSession

if __name__ == "__main__":
    spark = SparkSession.builder.getOrCreate()
    jvm: Any = spark.sparkContext._jvm
    jvm.org.apache.spark.sql.connect.service.SparkConnectService.start(spark._jsparkSession.sparkContext())
    # The JVM holds the other end: it is closed when the JVM ends, however it ends.
    sys.stdin.read()
