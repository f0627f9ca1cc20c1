"""Spark as on serverless compute, and lakehouses to build bronze in: fixtures of the suite's other tests."""

from __future__ import annotations

from tests.spark.conftest import serverless
from tests.spark.publishing.conftest import email_key, new_lakehouse

__all__ = ["email_key", "new_lakehouse", "serverless"]
