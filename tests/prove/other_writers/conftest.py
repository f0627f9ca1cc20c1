"""The lakehouses of other folders, for cases in which others write to published tables."""

from __future__ import annotations

from tests.spark.conftest import serverless
from tests.spark.publishing.conftest import email_key, new_lakehouse

__all__ = ["email_key", "new_lakehouse", "serverless"]
