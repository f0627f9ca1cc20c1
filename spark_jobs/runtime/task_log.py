"""The log of a job task: lines for people on standard output, which is what a job run keeps."""

from __future__ import annotations

import logging
import sys


def log_to_stdout(*packages: str) -> None:
    """Show what these packages log from INFO on, and warnings of all others."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    for package in packages:
        logging.getLogger(package).setLevel(logging.INFO)
