"""A stand-in for a Databricks workspace on one machine (docs/local-workspace.md)."""
