"""Write the names of the published tables for the Airflow side, which has no Spark to import the registry with.

    python -m tools.generate_published_tables [--check]

With `--check` nothing is written, and the exit code is 1 if the file is stale.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from spark_jobs.tables.names import LAYER_TABLES

FILE = Path(__file__).resolve().parent.parent / "include" / "published_tables.json"


def content() -> str:
    """Return the JSON text: the tables of each layer, without the layer's name."""
    layers = {layer: [table.removeprefix(f"{layer}.") for table in tables] for layer, tables in LAYER_TABLES.items()}
    return json.dumps(layers, indent=2) + "\n"


def is_current(file: Path = FILE) -> bool:
    """Return whether the file lists exactly the tables of the registry."""
    return file.exists() and file.read_text(encoding="utf-8") == content()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only report whether the file is stale")
    if not parser.parse_args().check:
        FILE.write_text(content(), encoding="utf-8")
    elif not is_current():
        print(f"{FILE} is stale; run `python -m tools.generate_published_tables`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
