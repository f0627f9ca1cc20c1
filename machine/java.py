"""Find a Java that Spark can run on."""

import os
import re
import shutil
import subprocess
from pathlib import Path

OLDEST = 17
NEWEST = 23  # Java 24 took away what Spark's Hadoop logs in by (Subject.getSubject)


class NoJavaError(RuntimeError):
    """There is no Java of a fitting version."""


def find_java_home(state: Path) -> Path:
    """JAVA_HOME for Spark: LAKEHOUSE_JAVA_HOME, the state folder's own Java, or the system's."""
    chosen = os.environ.get("LAKEHOUSE_JAVA_HOME")
    if chosen:
        # A choice made by hand is never passed over in silence.
        return _checked(Path(chosen), "LAKEHOUSE_JAVA_HOME")
    if (state / "java" / "bin" / "java").exists():
        return _checked(state / "java", "the state folder's Java")
    candidates = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    on_path = shutil.which("java")
    if on_path:
        candidates.append(Path(on_path).resolve().parent.parent)
    for home in candidates:
        if OLDEST <= (_version(home) or 0) <= NEWEST:
            return home
    raise NoJavaError(
        f"Spark needs Java {OLDEST} to {NEWEST} and none was found: install one (for example the package "
        f"openjdk-{OLDEST}-jre-headless), or set LAKEHOUSE_JAVA_HOME to the folder of one."
    )


def _checked(home: Path, what: str) -> Path:
    version = _version(home)
    if version is None:
        raise NoJavaError(f"{what} ({home}) has no working bin/java: point it at a Java {OLDEST} to {NEWEST}.")
    if not OLDEST <= version <= NEWEST:
        raise NoJavaError(f"{what} ({home}) is Java {version}, Spark needs {OLDEST} to {NEWEST}.")
    return home


def _version(home: Path) -> int | None:
    """The major version, or None if that is no working Java."""
    release = home / "release"
    text = ""
    if release.is_file() and os.access(home / "bin" / "java", os.X_OK):
        text = release.read_text(encoding="utf-8", errors="replace")
    found = re.search(r'JAVA_VERSION="(?:1\.)?(\d+)', text)
    if not found:
        try:
            answer = subprocess.run(  # noqa: S603 - a fixed argument list
                [str(home / "bin" / "java"), "-version"], capture_output=True, text=True, timeout=30
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(found.group(1)) if found else None
