"""The secrets of one machine: generated once, in files that only their owner can read (design section 10)."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from laptop.state import State


def ensure_secrets(state: State) -> None:
    """Generate every secret that is missing; an existing one is never changed (the e-mail key must outlive runs)."""
    makers = {
        "workspace_token": lambda: secrets.token_urlsafe(32),
        "spark_token": lambda: secrets.token_urlsafe(32).replace("=", ""),
        "airflow_password": lambda: secrets.token_urlsafe(12),
        "airflow_fernet_key": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "airflow_jwt_secret": lambda: secrets.token_urlsafe(48),
        "airflow_api_secret": lambda: secrets.token_urlsafe(48),
        "lakehouse/email-hmac-key": lambda: secrets.token_hex(32),
    }
    for name, make in makers.items():
        path = state.secrets / name
        private_folder(path.parent)
        if not path.exists():
            write_private(path, make())


def private_folder(path: Path) -> None:
    """Make a folder that only its owner can enter, and make it so if it is there already."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)


def write_private(path: Path, text: str) -> None:
    """Write a file that was never readable by anyone else, not even for a moment, and never half-written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
