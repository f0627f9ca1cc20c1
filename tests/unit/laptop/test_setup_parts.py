"""The pure parts of set-up, and its refusals."""

import subprocess
import sys
from pathlib import Path

import pytest

from laptop import environments, java, keys, sources, wheel
from laptop.problems import Problem
from laptop.state import REPO, State, beside

SETUP_MODULES = (
    "setup",
    "state",
    "problems",
    "environments",
    "java",
    "jars",
    "keys",
    "wheel",
    "sources",
    "clean",
    "lock",
)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state", 1001, 1002, 1003)


@pytest.mark.parametrize("module", SETUP_MODULES)
def test_setup_needs_the_standard_library_only(module: str) -> None:
    # -S: no site-packages, as under a bare Python.
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import laptop.{module}"], cwd=REPO, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("version", [(3, 10), (3, 14), (2, 7)])
def test_other_pythons_are_refused(version: tuple[int, int]) -> None:
    with pytest.raises(Problem, match=f"this is Python {version[0]}.{version[1]}"):
        environments.check_python(version)


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_supported_pythons_pass(version: tuple[int, int]) -> None:
    environments.check_python(version)


def test_a_full_disk_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="GB free, and set-up needs"):
        environments.check_disk(tmp_path / "not" / "there", needed=2**62)


def test_a_stamp_changes_with_the_requirements_and_the_python() -> None:
    stamps = {environments.stamp_of(text, version) for text in (b"a", b"b") for version in ((3, 11), (3, 12))}
    assert len(stamps) == 4


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
def test_java_versions_are_read(text: str, version: int | None) -> None:
    assert java.parse_version(text) == version


@pytest.mark.parametrize(("version", "usable"), [(8, False), (17, True), (21, True), (25, False), (None, False)])
def test_spark_runs_on_some_javas_only(version: int | None, usable: bool) -> None:
    assert java.is_usable(version) is usable


def test_the_wrapper_drops_the_one_option_and_keeps_the_rest(tmp_path: Path) -> None:
    program = tmp_path / "a folder" / "java"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nfor a in "$@"; do echo "<$a>"; done\n')
    program.chmod(0o755)
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(java.WRAPPER.format(java=f"'{program}'"))
    wrapper.chmod(0o755)
    asked = [str(wrapper), "-cp", "a b", "--add-modules=jdk.incubator.vector", "", "x*"]
    assert subprocess.run(asked, capture_output=True, text=True).stdout.split("\n")[:-1] == [
        "<-cp>",
        "<a b>",
        "<>",
        "<x*>",
    ]


def test_secrets_are_private_and_never_change(state: State) -> None:
    keys.ensure_secrets(state)
    first = {path: path.read_text() for path in state.secrets.rglob("*") if path.is_file()}
    assert {"workspace_token", "spark_token", "airflow_password", "email-hmac-key"} <= {path.name for path in first}
    assert all(path.stat().st_mode & 0o077 == 0 for path in [*first, state.secrets, state.secrets / "lakehouse"])
    assert len(set(first.values())) == len(first)
    keys.ensure_secrets(state)
    assert {path: path.read_text() for path in first} == first


def test_ports_come_from_the_environment_and_must_differ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAKEHOUSE_STATE", str(tmp_path))
    for name in ("WORKSPACE", "SPARK", "AIRFLOW"):
        monkeypatch.delenv(f"LAKEHOUSE_{name}_PORT", raising=False)
    monkeypatch.setenv("LAKEHOUSE_AIRFLOW_PORT", "9000")
    found = State.from_environment()
    assert (found.root, found.workspace_port, found.airflow_port) == (tmp_path.resolve(), 8765, 9000)
    monkeypatch.setenv("LAKEHOUSE_SPARK_PORT", "9000")
    with pytest.raises(Problem, match="three different ports"):
        State.from_environment()
    monkeypatch.setenv("LAKEHOUSE_SPARK_PORT", "ninety")
    with pytest.raises(Problem, match="LAKEHOUSE_SPARK_PORT=ninety is not a port"):
        State.from_environment()


def test_a_second_state_borrows_the_environments_and_nothing_else(state: State, tmp_path: Path) -> None:
    for part in ("venv", "jars", "volumes", "secrets"):
        (state.root / part).mkdir(parents=True)
    other = beside(state, tmp_path / "other", (1, 2, 3))
    assert sorted(path.name for path in other.root.iterdir()) == ["jars", "venv"]
    assert (other.root / "jars").resolve() == (state.root / "jars").resolve()


@pytest.mark.parametrize("name", ["missing.csv", "orders.parquet", "."])
def test_a_source_that_cannot_be_replayed_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "orders.parquet").touch()
    with pytest.raises(Problem, match="DATA="):
        sources.check_source(tmp_path / name)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.xz", "a.CSV.GZ", "a.zip"])
def test_plain_and_packed_sources_pass(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert sources.check_source(tmp_path / name) == tmp_path / name


def test_the_wheel_is_built_from_its_sources_and_nothing_else(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "spark_jobs/a.py", "gx/suites/s.json", "spark_jobs/__pycache__/a.pyc", "tests/t.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    files = wheel.source_files(tmp_path)
    names = ["gx/suites/s.json", "pyproject.toml", "spark_jobs/a.py"]
    assert [path.relative_to(tmp_path).as_posix() for path in files] == names
    before = wheel.digest_of(tmp_path, files)
    (tmp_path / "gx/suites/s.json").write_text("gx/suites/S.json")
    assert wheel.digest_of(tmp_path, files) != before
    (tmp_path / "spark_jobs/a.py").rename(tmp_path / "spark_jobs/b.py")
    (tmp_path / "gx/suites/s.json").write_text("gx/suites/s.json")
    assert wheel.digest_of(tmp_path, wheel.source_files(tmp_path)) != before
