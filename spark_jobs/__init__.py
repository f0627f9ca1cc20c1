"""The data work of the lakehouse: one wheel, one entry point a job task (design, section 1)."""
