"""The lakehouse, Spark and tiny workspace of other folders, for cases that go through all of them."""

from __future__ import annotations

from tests.dags.conftest import context, workspace
from tests.spark.conftest import compiling_spark, serverless
from tests.spark.publishing.conftest import email_key, lakehouse, new_lakehouse

__all__ = ["compiling_spark", "context", "email_key", "lakehouse", "new_lakehouse", "serverless", "workspace"]
