"""The stand-in for a Databricks workspace on one machine (design section 10)."""
