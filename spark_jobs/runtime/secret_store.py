"""Secrets by name: a Databricks secret scope, or on one machine a folder that only its owner can read."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from spark_jobs.runtime.errors import SecretMissing

SECRETS_FOLDER = "LAKEHOUSE_SECRETS_DIR"
"""Environment variable with the folder <scope>/<key>; where it is not set, the secret scope is asked."""


def secret(name: str) -> bytes:
    """Return the value of the secret "<scope>/<key>". Raises SecretMissing; the value is in no message."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or ".." in name:
        raise SecretMissing(f"{name!r} does not name a secret: it must be <scope>/<key>")
    folder = os.environ.get(SECRETS_FOLDER)
    value = _from_file(Path(folder), name) if folder else _from_scope(name)
    if not value:
        raise SecretMissing(f"the secret {name} is empty")
    return value


def _from_file(folder: Path, name: str) -> bytes:
    file = folder / name
    try:
        mode = file.stat().st_mode
        value = file.read_bytes().strip()
    except OSError as error:
        raise SecretMissing(
            f"the secret {name} cannot be read ({error.strerror}): `make setup` makes it, below {SECRETS_FOLDER}"
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SecretMissing(f"others can read the file of the secret {name}: `chmod 600` it, and change the secret")
    return value


def _from_scope(name: str) -> bytes:
    from databricks.sdk.runtime import dbutils  # the platform's own package

    scope, _, key = name.partition("/")
    try:
        return dbutils.secrets.get(scope, key).encode()
    except Exception as error:
        raise SecretMissing(f"the secret scope {scope} gives no {key}: {type(error).__name__}") from error
