"""Find a Java that Spark can run on."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from machine.command_line import UserError

OLDEST = 17
NEWEST = 23  # Java 24 removed what Spark's Hadoop logs in by (Subject.getSubject)


class NoJavaError(UserError):
    """There is no Java of a version that Spark runs on."""


def find_java_home(state: Path) -> Path:
    """Return JAVA_HOME for Spark: LAKEHOUSE_JAVA_HOME, the state folder's own Java, or the machine's.

    Raises NoJavaError.
    """
    if not os.environ.get("LAKEHOUSE_JAVA_HOME") and (state / "java" / "bin" / "java").exists():
        return _checked(state / "java", "the state folder's Java")
    if home := machine_java_home():
        return home
    raise NoJavaError(
        f"Spark needs Java {OLDEST} to {NEWEST} and none was found: install one (on Debian and Ubuntu the package "
        f"openjdk-{OLDEST}-jre-headless), or set LAKEHOUSE_JAVA_HOME to the folder of one."
    )


def machine_java_home() -> Path | None:
    """Return the folder of the machine's own Java: LAKEHOUSE_JAVA_HOME, or else JAVA_HOME or the search path if Spark
    runs on it.

    Raises NoJavaError where LAKEHOUSE_JAVA_HOME, which a person has chosen, is not usable.
    """
    if chosen := os.environ.get("LAKEHOUSE_JAVA_HOME"):
        return _checked(Path(chosen), "LAKEHOUSE_JAVA_HOME")
    candidates = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    if on_path := shutil.which("java"):
        candidates.append(Path(on_path).resolve().parent.parent)
    return next((home for home in candidates if is_usable(major_version(home))), None)


def is_usable(version: int | None) -> bool:
    """Return whether Spark runs on this major version."""
    return version is not None and OLDEST <= version <= NEWEST


def major_version(home: Path) -> int | None:
    """Return the major version of the Java in a folder; None if that is no working Java (macOS has a stub that is
    none)."""
    program, release = home / "bin" / "java", home / "release"
    if release.is_file() and os.access(program, os.X_OK):
        text = release.read_text(encoding="utf-8", errors="replace")
        if found := re.search(r'JAVA_VERSION="(?:1\.)?(\d+)', text):
            return int(found.group(1))
    try:
        answer = subprocess.run([str(program), "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(found.group(1)) if found and answer.returncode == 0 else None


def _checked(home: Path, source: str) -> Path:
    version = major_version(home)
    if version is None:
        raise NoJavaError(f"{source} ({home}) has no working bin/java: name a Java {OLDEST} to {NEWEST}.")
    if not is_usable(version):
        raise NoJavaError(f"{source} ({home}) is Java {version}, and Spark needs {OLDEST} to {NEWEST}.")
    return home
