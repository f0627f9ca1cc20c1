"""Delta's jars for Spark, resolved once into the state folder."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

from laptop.truststore import PASSWORD
from machine.command_line import UserError
from machine.java import find_java_home
from machine.ports import HOST
from machine.state_folder import REPO, StateFolder
from tools.environments import uv_environment

PACKAGE = "io.delta:delta-spark_4.1_2.13:4.4.0"
# Spark brings Hadoop itself; without these the download is 38 MB instead of 90.
EXCLUDED = "org.apache.hadoop:hadoop-client-api,org.apache.hadoop:hadoop-client-runtime"


def ensure_jars(state: StateFolder) -> bool:
    """Resolve the jars, all or none of them; False if they were already. Raises UserError."""
    if any(state.jars.glob("io.delta_delta-spark*-4.4.0.jar")):
        return False
    print(f"  Spark jars: resolving {PACKAGE} ...", flush=True)
    begun = time.monotonic()
    state.root.mkdir(parents=True, exist_ok=True)
    for left in state.root.glob(".jars-*"):  # by a set-up that was killed
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=".jars-", dir=state.root) as scratch:
        folder = Path(scratch)
        _resolve(state, folder)
        found = sorted((folder / "ivy" / "jars").glob("*.jar"))
        complete = folder / "complete"
        complete.mkdir()
        for jar in found:
            shutil.move(jar, complete / jar.name)
        if state.jars.exists():
            shutil.rmtree(state.jars)
        complete.rename(state.jars)
    print(f"  Spark jars: {len(found)} jars after {time.monotonic() - begun:.0f} s", flush=True)
    return True


def _resolve(state: StateFolder, folder: Path) -> None:
    script = folder / "nothing.py"
    script.write_text("", encoding="utf-8")
    command = [str(state.venv("workspace") / "bin" / "spark-submit"), "--master", "local[1]"]
    command += ["--packages", PACKAGE, "--exclude-packages", EXCLUDED]
    command += ["--conf", f"spark.jars.ivy={folder / 'ivy'}", "--conf", "spark.ui.enabled=false"]
    # Spark's launcher asks for `python3` on the search path, and for its own folder through SPARK_HOME only.
    search = f"{state.venv('workspace') / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("SPARK_", "PYSPARK_"))}
    environment |= {"PATH": search, "SPARK_LOCAL_IP": HOST, "JAVA_HOME": str(find_java_home(state.root))}
    environment["JDK_JAVA_OPTIONS"] = " ".join(
        [os.environ.get("JDK_JAVA_OPTIONS", ""), *_network_options(state, folder)]
    )
    done = subprocess.run(
        [*command, str(script)], cwd=folder, env=environment, capture_output=True, text=True, timeout=1800
    )
    if done.returncode or not any((folder / "ivy" / "jars").glob("io.delta_delta-spark*.jar")):
        words = ("unresolved", "not found", "Exception", "ERROR")
        output = (done.stdout + done.stderr).splitlines()
        errors = [line.strip() for line in output if any(word in line for word in words)]
        raise UserError(
            f"Spark could not fetch {PACKAGE}. Is a Maven repository reachable from here? If you use a mirror, name "
            "it in an Ivy settings file, and that file as spark.jars.ivySettings in SPARK_CONF_DIR/spark-defaults.conf "
            "(Spark does not read ~/.m2/settings.xml). Spark's errors:\n" + "\n".join(errors[:8])
        )


def _network_options(state: StateFolder, folder: Path) -> list[str]:
    """Return Java's options for the proxy, and for the certificates, that everything else on this machine uses."""
    options = []
    proxy = urllib.parse.urlsplit(urllib.request.getproxies().get("https", ""))
    if proxy.hostname:
        options += [f"-Dhttps.proxyHost={proxy.hostname}", f"-Dhttps.proxyPort={proxy.port or 443}"]
    bundle = uv_environment(state).get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    if not (state.java / "bin" / "java").exists() or not bundle or not Path(bundle).is_file():
        return options  # the machine's own Java has its certificates
    store = folder / "truststore.p12"
    command = [str(state.python("workspace")), "-m", "laptop.truststore", bundle, str(store)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    if done.returncode:
        print(f"  Spark jars: Java cannot use the certificates in {bundle}; trying without them", flush=True)
        return options
    # Relative to the folder in which Java runs: a path with a blank would be cut in two.
    return [*options, f"-Djavax.net.ssl.trustStore={store.name}", f"-Djavax.net.ssl.trustStorePassword={PASSWORD}"]
