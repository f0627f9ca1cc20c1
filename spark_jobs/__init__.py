"""The data work of the lakehouse: one wheel, with one entry point per job task."""
