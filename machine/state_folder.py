"""Where everything that outlives a process is kept on one machine, and the secrets in it."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True)
class StateFolder:
    """The project's state folder (`.state/`, or what LAKEHOUSE_STATE names)."""

    root: Path

    @classmethod
    def from_environment(cls) -> "StateFolder":
        named = os.environ.get("LAKEHOUSE_STATE")
        return cls((Path(named) if named else Path(".state")).resolve())

    @property
    def jars(self) -> Path:
        return self.root / "jars"

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
        """The secret of that name; made on first use, in a file that only the owner can read."""
        private_folder(self.secrets)
        path = self.secrets / name
        if not path.exists():
            # Written aside and linked, so that two processes that start together agree on one value
            # and nobody reads half a secret.
            draft = self.secrets / f".{name}.{os.getpid()}.{secrets.token_hex(4)}"
            with private_file(draft) as file:
                file.write(secrets.token_hex(24).encode())
            try:
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        value = path.read_text(encoding="utf-8").strip()
        if not value:
            raise ValueError(f"{path} is empty: delete the file, and a new secret is made at the next start.")
        return value

    def secret_values(self) -> list[str]:
        """Every secret in the folder: what no log and no page may show."""
        if not self.secrets.is_dir():
            return []
        values = set()
        for path in sorted(self.secrets.rglob("*")):
            if path.is_file():
                text = path.read_text(encoding="utf-8", errors="replace")
                values.update({text.strip(), *text.split()})
        # A very short word would blank out innocent text and protects nothing.
        return sorted((value for value in values if len(value) >= 8), key=len, reverse=True)


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
