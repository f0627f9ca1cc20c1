"""A stand-in for a Databricks workspace on one machine (README, "The local workspace")."""
