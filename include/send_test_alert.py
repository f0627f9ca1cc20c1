"""`python -m include.send_test_alert`: send a test message to the receivers of alerts, in Airflow's environment."""

from __future__ import annotations

import sys

from include.alerts import AlertsUnusable, receivers, send
from include.settings import load


def main() -> int:
    """Return 0 if all took the message, else 1 with the reasons on stderr."""
    try:
        urls = receivers(load(), _password)
    except AlertsUnusable as error:
        print(f"No message was sent: {error}.", file=sys.stderr)
        return 1
    title = "A test message of the lakehouse"
    failed = send(title, "If you read this, alerts about its runs reach you.", urls, kind="info")
    for reason in failed:
        print(f"{reason}.", file=sys.stderr)
    print(f"{len(urls) - len(failed)} of {len(urls)} took the message.")
    return 1 if failed else 0


def _password(connection: str) -> str | None:
    """Look a connection up without a task: in the environment, a secrets backend or Airflow's database."""
    from airflow.models.connection import Connection

    found: str | None = Connection.get_connection_from_secrets(connection).password
    return found


if __name__ == "__main__":
    sys.exit(main())
