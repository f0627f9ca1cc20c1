"""Lakehouses, as the tests of publishing have them."""

from tests.spark.publishing.conftest import email_key, new_lakehouse

__all__ = ["email_key", "new_lakehouse"]
