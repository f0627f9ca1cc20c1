"""`make env`: write `.env` with generated secrets, for docker compose and Astro. Standard library only.

What the file has already is never changed, so that a database or a volume keeps the secret that it was made with.
"""

from __future__ import annotations

import base64
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

from laptop.keys import write_private
from laptop.problems import Problem, guarded
from laptop.state import REPO

HEADER = "# Made by `make env`; what is here stays as it is. Secrets: keep this file to yourself.\n"
CONNECTION = "AIRFLOW_CONN_DATABRICKS_DEFAULT"
TOKEN = "LAKEHOUSE_WORKSPACE_TOKEN"  # noqa: S105 - the variable's name
WORKSPACE = "workspace.localhost:8765"
"""Where docker-compose.yaml and docker-compose.override.yml put the local workspace."""

# Letters, digits, - and _ only (a Fernet key ends with =): they stand in URLs and need no quotes.
SECRETS: dict[str, Callable[[], str]] = {
    "LAKEHOUSE_POSTGRES_PASSWORD": lambda: secrets.token_urlsafe(24),
    "LAKEHOUSE_AIRFLOW_PASSWORD": lambda: secrets.token_urlsafe(12),
    "LAKEHOUSE_AIRFLOW_FERNET_KEY": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    "LAKEHOUSE_AIRFLOW_JWT_SECRET": lambda: secrets.token_urlsafe(48),
    "LAKEHOUSE_AIRFLOW_API_SECRET": lambda: secrets.token_urlsafe(48),
    TOKEN: lambda: secrets.token_urlsafe(32),
}


def write(path: Path) -> list[str]:
    """Add what is missing to the file, readable by its owner alone; the names that were added."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise Problem(f"{path} is not a plain file; move it away, and call again.")
    text = path.read_text(encoding="utf-8") if path.exists() else HEADER
    if text and not text.endswith("\n"):
        text += "\n"
    there = values(text)
    # docker-compose.override.yml is Astro's: without this line plain `docker compose` would read it too.
    added = {} if "COMPOSE_FILE" in there else {"COMPOSE_FILE": "docker-compose.yaml"}
    added |= {name: make() for name, make in SECRETS.items() if not there.get(name)}
    if not there.get(CONNECTION):
        token = (there | added)[TOKEN]
        added[CONNECTION] = f"databricks://:{token}@{WORKSPACE}/http"
    write_private(path, text + "".join(f"{name}={value}\n" for name, value in added.items()))
    return list(added)


def values(text: str) -> dict[str, str]:
    """The assignments of an .env file, without quotes."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            found[name.strip()] = value.strip().strip("\"'")
    return found


def main() -> int:
    path = REPO / ".env"
    added = write(path)
    if not added:
        print(f"{path} has everything; nothing was changed.")
        return 0
    print(f"Wrote {path} (only you can read it), with generated values for {', '.join(added)}.")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
