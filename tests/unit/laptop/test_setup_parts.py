"""The pure parts of set-up, and its refusals."""

import subprocess
import sys
from pathlib import Path

import pytest

from laptop import java_setup, services, sources
from laptop.laptop_state import LaptopState
from machine import java
from machine.command_line import UserError
from machine.state_folder import REPO, StateFolder
from tools import build_wheel, environments

STANDARD_LIBRARY_ONLY = (
    "laptop.setup",
    "laptop.clean",
    "laptop.compose_env",
    "tools.build_wheel",
    "tools.lock_requirements",
    "machine.http_client",
)
"""What runs under the bare Python of the machine, with all that it imports."""


@pytest.fixture
def state(tmp_path: Path) -> LaptopState:
    return LaptopState(tmp_path / "state", 1001, 1002, 1003)


@pytest.mark.parametrize("module", STANDARD_LIBRARY_ONLY)
def test_setup_needs_the_standard_library_only(module: str) -> None:
    # -S: no site-packages, as under a bare Python.
    done = subprocess.run([sys.executable, "-S", "-c", f"import {module}"], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("version", [(3, 10), (3, 14), (2, 7)])
def test_other_pythons_are_refused(version: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=f"this is Python {version[0]}.{version[1]}"):
        environments.check_python(version)


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_supported_pythons_pass(version: tuple[int, int]) -> None:
    environments.check_python(version)


def test_a_full_disk_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="GB free, and set-up needs"):
        environments.check_disk(tmp_path / "not" / "there", needed=2**62)


def test_a_stamp_changes_with_the_requirements_and_the_python() -> None:
    stamps = {environments.stamp_of(text, version) for text in (b"a", b"b") for version in ((3, 11), (3, 12))}
    assert len(stamps) == 4


def test_what_a_killed_setup_left_is_made_again(state: LaptopState, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m venv` installs pip last."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(state.venv("tools"))], check=True)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UserError, match="Is the package index reachable"):
        environments.ensure_environment(state, "tools")
    assert subprocess.run([str(state.python("tools")), "-m", "pip", "--version"], capture_output=True).returncode == 0


def test_pip_settings_are_read_with_the_strongest_source_last() -> None:
    listing = (
        ":env:.cert='/from/env.pem'\nglobal.cert='/from/file.pem'\nglobal.index-url='https://index.example/simple'\n"
        "install.find-links='a b'\nfreeze.timeout='1'\n:env:.no-index='1'\n"
    )
    assert environments.pip_settings(listing) == {
        "cert": "/from/env.pem",
        "index-url": "https://index.example/simple",
        "find-links": "a b",
        "no-index": "1",
    }


def test_uv_is_given_what_pip_is_configured_for() -> None:
    pip = {
        "index-url": "I",
        "extra-index-url": "E1\nE2",
        "cert": "C",
        "find-links": "a b",
        "proxy": "P",
        "no-index": "1",
    }
    assert environments.uv_variables(pip, {}) == {
        "UV_DEFAULT_INDEX": "I",
        "UV_INDEX": "E1 E2",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "C",
        "UV_FIND_LINKS": "a,b",
        "HTTPS_PROXY": "P",
        "UV_NO_INDEX": "1",
    }
    assert environments.uv_variables({"index-url": "I"}, {"UV_DEFAULT_INDEX": "the user's"}) == {}


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025', 17),
        ('java version "1.8.0_292"', 8),
        ('openjdk version "21" x', 21),
        ("no", None),
    ],
)
def test_java_says_its_version(tmp_path: Path, text: str, version: int | None) -> None:
    assert java.major_version(fake_java(tmp_path, f"echo '{text}' >&2")) == version


def test_a_java_that_does_not_run_has_no_version(tmp_path: Path) -> None:
    assert java.major_version(tmp_path) is None
    assert java.major_version(fake_java(tmp_path, "echo 'version \"17\"'; exit 1")) is None


def test_the_version_of_a_java_with_a_release_file_needs_no_start(tmp_path: Path) -> None:
    home = fake_java(tmp_path, "exit 1")
    (home / "release").write_text('IMPLEMENTOR="x"\nJAVA_VERSION="21.0.2"\n')
    assert java.major_version(home) == 21


def test_a_chosen_java_that_spark_cannot_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEHOUSE_JAVA_HOME", str(fake_java(tmp_path, "echo 'version \"11.0.1\"'")))
    with pytest.raises(UserError, match="is Java 11, and Spark needs 17 to 23"):
        java.find_java_home(tmp_path)
    with pytest.raises(UserError, match="LAKEHOUSE_JAVA_HOME"):
        java_setup.ensure_java(StateFolder(tmp_path))


def fake_java(folder: Path, script: str) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize(("text", "wanted"), [(None, True), ("", True), ("true", True), ("false", False)])
def test_the_warm_up_can_be_switched_off(text: str | None, wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(services.WARM_UP_SETTING, raising=False)
    if text is not None:
        monkeypatch.setenv(services.WARM_UP_SETTING, text)
    assert services.warm_up_is_wanted() is wanted


def test_another_value_for_the_warm_up_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(services.WARM_UP_SETTING, "no")
    with pytest.raises(UserError, match="LAKEHOUSE_WARM_UP=no: it must be true or false"):
        services.warm_up_is_wanted()


@pytest.mark.parametrize(("version", "usable"), [(8, False), (17, True), (21, True), (25, False), (None, False)])
def test_spark_runs_on_some_javas_only(version: int | None, usable: bool) -> None:
    assert java.is_usable(version) is usable


def test_the_wrapper_drops_the_one_option_and_keeps_the_rest(tmp_path: Path) -> None:
    program = tmp_path / "a folder" / "java"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nfor a in "$@"; do echo "<$a>"; done\n')
    program.chmod(0o755)
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(java_setup.WRAPPER.format(java=f"'{program}'"))
    wrapper.chmod(0o755)
    asked = [str(wrapper), "-cp", "a b", "--add-modules=jdk.incubator.vector", "", "x*"]
    assert subprocess.run(asked, capture_output=True, text=True).stdout.split("\n")[:-1] == [
        "<-cp>",
        "<a b>",
        "<>",
        "<x*>",
    ]


def test_secrets_are_private_and_never_change(state: LaptopState) -> None:
    state.ensure_secrets()
    first = {path: path.read_text() for path in state.secrets.rglob("*") if path.is_file()}
    assert {"workspace_token", "spark_token", "airflow_password", "email-hmac-key"} <= {path.name for path in first}
    assert all(path.stat().st_mode & 0o077 == 0 for path in [*first, state.secrets, state.secrets / "lakehouse"])
    assert len(set(first.values())) == len(first)
    state.ensure_secrets()
    assert {path: path.read_text() for path in first} == first


def test_ports_come_from_the_environment_and_must_differ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAKEHOUSE_STATE", str(tmp_path))
    for name in ("WORKSPACE", "SPARK", "AIRFLOW"):
        monkeypatch.delenv(f"LAKEHOUSE_{name}_PORT", raising=False)
    monkeypatch.setenv("LAKEHOUSE_AIRFLOW_PORT", "9000")
    found = LaptopState.from_environment()
    assert (found.root, found.workspace_port, found.airflow_port) == (tmp_path.resolve(), 8765, 9000)
    monkeypatch.setenv("LAKEHOUSE_SPARK_PORT", "9000")
    with pytest.raises(UserError, match="three different ports"):
        LaptopState.from_environment()
    monkeypatch.setenv("LAKEHOUSE_SPARK_PORT", "ninety")
    with pytest.raises(UserError, match="LAKEHOUSE_SPARK_PORT=ninety is not a port"):
        LaptopState.from_environment()


def test_a_second_state_borrows_the_environments_and_nothing_else(state: LaptopState, tmp_path: Path) -> None:
    for part in ("venv", "jars", "volumes", "secrets"):
        (state.root / part).mkdir(parents=True)
    other = state.with_own_data(tmp_path / "other")
    assert len({other.workspace_port, other.spark_port, other.airflow_port}) == 3
    assert sorted(path.name for path in other.root.iterdir()) == ["jars", "venv"]
    assert (other.root / "jars").resolve() == (state.root / "jars").resolve()


@pytest.mark.parametrize("name", ["missing.csv", "orders.parquet", "."])
def test_a_source_that_cannot_be_replayed_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "orders.parquet").touch()
    with pytest.raises(UserError, match="DATA="):
        sources.check_source(tmp_path / name)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.xz", "a.CSV.GZ", "a.zip"])
def test_plain_and_packed_sources_pass(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert sources.check_source(tmp_path / name) == tmp_path / name


def test_the_wheel_is_built_from_its_sources_and_nothing_else(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "spark_jobs/a.py", "gx/suites/s.json", "spark_jobs/__pycache__/a.pyc", "tests/t.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    files = build_wheel.source_files(tmp_path)
    names = ["gx/suites/s.json", "pyproject.toml", "spark_jobs/a.py"]
    assert [path.relative_to(tmp_path).as_posix() for path in files] == names
    before = build_wheel.digest_of(tmp_path, files)
    (tmp_path / "gx/suites/s.json").write_text("gx/suites/S.json")
    assert build_wheel.digest_of(tmp_path, files) != before
    (tmp_path / "spark_jobs/a.py").rename(tmp_path / "spark_jobs/b.py")
    (tmp_path / "gx/suites/s.json").write_text("gx/suites/s.json")
    assert build_wheel.digest_of(tmp_path, build_wheel.source_files(tmp_path)) != before
