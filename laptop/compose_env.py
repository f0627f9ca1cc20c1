"""`make env`: write `.env` with generated secrets, for docker compose and Astro. Standard library only.

An existing line is never changed, so that a database or a volume keeps the secret that it was made with. What the
containers mount from this machine is made readable for their user, whatever the umask it was cloned under.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from machine.command_line import UserError, run_command
from machine.state_folder import REPO, fernet_key, random_token, write_private

HEADER = "# Made by `make env`, which changes no existing line. It holds secrets: keep this file to yourself.\n"
CONNECTION = "AIRFLOW_CONN_DATABRICKS_DEFAULT"
TOKEN = "LAKEHOUSE_WORKSPACE_TOKEN"  # noqa: S105 - the variable's name
WORKSPACE = "workspace.localhost:8765"
"""Where docker-compose.yaml and docker-compose.override.yml put the local workspace."""

MOUNTED = ("dags", "include", "plugins")
"""What docker-compose.yaml and Astro mount from this machine."""
NO_PROXY = "localhost,127.0.0.1,api-server,postgres,workspace.localhost"
"""The hosts that containers reach without a proxy: each other."""

SECRETS: dict[str, Callable[[], str]] = {
    "LAKEHOUSE_POSTGRES_PASSWORD": random_token,
    "LAKEHOUSE_AIRFLOW_PASSWORD": random_token,
    "LAKEHOUSE_AIRFLOW_FERNET_KEY": fernet_key,
    "LAKEHOUSE_AIRFLOW_JWT_SECRET": random_token,
    "LAKEHOUSE_AIRFLOW_API_SECRET": random_token,
    TOKEN: random_token,
}


def write(path: Path) -> list[str]:
    """Add the missing variables to the file, readable by its owner alone. Return their names. Raises UserError."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise UserError(f"{path} is not a plain file; move it away, and call again.")
    text = path.read_text(encoding="utf-8") if path.exists() else HEADER
    if text and not text.endswith("\n"):
        text += "\n"
    existing = values(text)
    # docker-compose.override.yml is Astro's: without this line plain `docker compose` would read it too.
    added = {} if "COMPOSE_FILE" in existing else {"COMPOSE_FILE": "docker-compose.yaml"}
    added |= {name: make() for name, make in SECRETS.items() if not existing.get(name)}
    if not existing.get(CONNECTION):
        token = (existing | added)[TOKEN]
        added[CONNECTION] = f"databricks://:{token}@{WORKSPACE}/http"
    # Astro's own containers get it from here; docker-compose.yaml has the hosts itself.
    added |= {name: NO_PROXY for name in ("NO_PROXY", "no_proxy") if name not in existing}
    write_private(path, text + "".join(f"{name}={value}\n" for name, value in added.items()))
    return list(added)


def make_readable(folders: Iterable[Path]) -> None:
    """Let everybody read these folders and what is in them: in a container another user does."""
    for folder in folders:
        for path in [folder, *folder.rglob("*")]:
            if path.exists() and not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))


def values(text: str) -> dict[str, str]:
    """Return the assignments of an .env file, without quotes."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            found[name.strip()] = value.strip().strip("\"'")
    return found


def main(repo: Path = REPO) -> int:
    path = repo / ".env"
    added = write(path)
    make_readable(repo / name for name in MOUNTED)
    if not added:
        print(f"{path} has everything; nothing was changed.")
        return 0
    print(f"Wrote {path} (only you can read it), with generated values for {', '.join(added)}.")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
