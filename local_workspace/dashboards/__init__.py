"""AI/BI dashboards: the files of Databricks (`.lvdash.json`), drawn from what is published on this machine."""
