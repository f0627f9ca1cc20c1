"""Where everything that outlives a process is kept on one machine, and the secrets in it."""

import base64
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from machine.command_line import UserError

REPO = Path(__file__).resolve().parents[1]


def random_token() -> str:
    """Return 256 random bits of letters, digits, - and _, which need no quotes in a URL, a shell or YAML."""
    return secrets.token_urlsafe(32)


def fernet_key() -> str:
    """Return a key as Airflow wants it for the values that it encrypts: 32 bytes, base64 for URLs."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


SECRETS: dict[str, Callable[[], str]] = {
    "workspace_token": random_token,
    "spark_token": random_token,
    "airflow_password": lambda: secrets.token_urlsafe(12),
    "airflow_fernet_key": fernet_key,
    "airflow_jwt_secret": random_token,
    "airflow_api_secret": random_token,
    "lakehouse/email-hmac-key": lambda: secrets.token_hex(32),
}
"""The secrets of one machine, each with its generator. A name with a slash is a secret scope and a key in it."""


@dataclass(frozen=True)
class StateFolder:
    """The project's state folder (`.state/`, or what LAKEHOUSE_STATE names)."""

    root: Path

    @classmethod
    def from_environment(cls) -> "StateFolder":
        return cls(named_root())

    def venv(self, name: str) -> Path:
        return self.root / "venv" / name

    def python(self, name: str) -> Path:
        return self.venv(name) / "bin" / "python"

    @property
    def jars(self) -> Path:
        return self.root / "jars"

    @property
    def java(self) -> Path:
        return self.root / "java"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def volumes(self) -> Path:
        return self.root / "volumes"

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    @property
    def database(self) -> Path:
        return self.workspace / "workspace.sqlite"

    @property
    def runs(self) -> Path:
        return self.workspace / "runs"

    @property
    def wheels(self) -> Path:
        """Unpacked wheels, each in a folder named by its sha256."""
        return self.workspace / "wheels"

    @property
    def files(self) -> Path:
        """The tree that the workspace API serves (`/Workspace/...`)."""
        return self.workspace / "files"

    @property
    def spark(self) -> Path:
        return self.workspace / "spark"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def pids(self) -> Path:
        return self.root / "pids"

    def secret(self, name: str) -> str:
        """Return the secret with that name; made on first use, in a file that only its owner can read, and never
        changed.

        Raises UserError where the file is empty.
        """
        path = self.secrets / name
        if not path.exists():
            private_folder(self.secrets)
            private_folder(path.parent)
            # Written under another name and linked, so that two processes that start together agree on one value
            # and nobody reads half a secret.
            draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
            with private_file(draft) as file:
                file.write(SECRETS.get(name, random_token)().encode())
            try:
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        value = path.read_text(encoding="utf-8").strip()
        if not value:
            raise UserError(f"{path} is empty: delete the file, and a new secret is made at the next start.")
        return value

    def ensure_secrets(self) -> None:
        """Make every secret that is missing."""
        for name in SECRETS:
            self.secret(name)

    def secret_values(self) -> list[str]:
        """Return every secret in the folder: what no log and no page may show."""
        if not self.secrets.is_dir():
            return []
        values = set()
        for path in sorted(self.secrets.rglob("*")):
            if path.is_file():
                text = path.read_text(encoding="utf-8", errors="replace")
                values.update({text.strip(), *text.split()})
        # A very short word would blank out innocent text and protects nothing.
        return sorted((value for value in values if len(value) >= 8), key=len, reverse=True)


def named_root() -> Path:
    """Return the folder that LAKEHOUSE_STATE names, or `.state` in the repository."""
    named = os.environ.get("LAKEHOUSE_STATE")
    return (Path(named).expanduser() if named else REPO / ".state").resolve()


def private_folder(path: Path) -> Path:
    """Make the folder, readable by its owner alone."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def private_file(path: Path) -> BinaryIO:
    """Open a file for writing that is readable by its owner alone from its first moment."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "wb")


def write_private(path: Path, text: str) -> None:
    """Write a whole file, or replace it at once; it is readable by its owner alone."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with private_file(draft) as file:
        file.write(text.encode())
    draft.replace(path)
