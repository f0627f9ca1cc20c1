"""The program that spark-submit runs: Spark with the Connect plugin, for as long as its JVM lives.

Spark's own Connect server gives each session a class loader of its own, whatever the settings say. Spark keeps the code
that it compiles by class loader, so each task of each day would compile (and the JVM warm up) all of it again: a third
of a day's time. With the plugin, sessions share one loader, and the code with it.
"""

import sys

from pyspark.sql import SparkSession

if __name__ == "__main__":
    SparkSession.builder.getOrCreate()
    # The JVM holds the other end: it is closed when the JVM ends, however it ends.
    sys.stdin.read()
