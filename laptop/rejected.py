"""`make rejected`: why the newest rejected build of bronze was rejected, and its quarantined lines.

They can be queried until maintenance removes their staging: SQL="select ... from rejected" asks for anything else.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from laptop import query
from laptop.laptop_state import LaptopState
from machine.command_line import UserError, run_command

ALL = "select landing_date, source_file, reasons, line from rejected order by landing_date, source_file, line"


def newest_rejection(state: LaptopState) -> dict[str, Any]:
    """Return the verdict of the newest audit of bronze, of those that reject and have lines in quarantine.

    Raises UserError where there is none whose staging is still there.
    """
    verdicts = sorted((state.ops / "verdicts" / "bronze").glob("*.json"), key=lambda path: int(path.stem), reverse=True)
    for path in verdicts:
        verdict: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        staged = verdict.get("staged_quarantine")
        if not verdict["success"] and staged and any(Path(staged).glob("*.parquet")):
            return verdict
    raise UserError(
        f"no rejected build of bronze has lines to show: {state.ops}/verdicts/bronze has none, or maintenance has"
        " removed its staging."
    )


def main() -> int:
    verdict = newest_rejection(LaptopState.from_environment())
    dates = f"{verdict['interval_start']} to {verdict['interval_end']} (exclusive)"
    print(
        f"bronze build {verdict['build_id']}, landing dates {dates}", *verdict["explanation"], sep="\n", file=sys.stderr
    )
    sql = os.environ.get("SQL", "").strip().rstrip(";") or ALL
    if not re.match(r"select\b", sql, re.IGNORECASE):
        raise UserError('SQL must begin with select; it can read from the table "rejected".')
    path = verdict["staged_quarantine"].replace("`", "``")
    rejected = f"WITH rejected AS (SELECT * FROM parquet.`{path}`)"  # noqa: S608 - the audit wrote the path
    return query.answer(f"{rejected} {sql}")


if __name__ == "__main__":
    sys.exit(run_command(main))
