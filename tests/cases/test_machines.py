"""Machines as people have them: proxies, locales, umasks, file systems, `.env` files, services that die, full disks."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pyspark.sql import SparkSession

from include.settings import load
from laptop import compose_env, services, supervisor
from laptop import service_processes as processes
from laptop.laptop_state import LaptopState
from laptop.service_news import ServiceNews
from laptop.supervisor import ServiceCommand
from local_workspace.task_attempt import task_environment
from machine.command_line import UserError, run_command
from machine.file_system import check_file_system
from machine.log_files import KEPT, begin_log, limit_log
from machine.ports import free_ports
from machine.process_environment import local_environment
from machine.user import check_user
from tests.deploy.compose import COMPOSE, OVERRIDE, instructions
from tests.deploy.compose import services as compose_services
from tests.deploy.test_compose import DOCKERFILES, VALUES
from tools.build_wheel import ensure_wheel

# --- Proxies -------------------------------------------------------------------------------------------------------

DEAD_PROXY = "http://127.0.0.1:9"
PROXIES = {
    name: "socks5h://127.0.0.1:9" if "all" in name.lower() else DEAD_PROXY
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
}


@pytest.mark.parametrize(
    ("case", "given", "expected"),
    [
        ("none", {}, "127.0.0.1,localhost"),
        ("empty", {"NO_PROXY": ""}, "127.0.0.1,localhost"),
        ("capitals only", {"NO_PROXY": "corp.example"}, "corp.example,127.0.0.1,localhost"),
        ("small letters only", {"no_proxy": "corp.example, .lan"}, "corp.example,.lan,127.0.0.1,localhost"),
        ("there already", {"no_proxy": "localhost,127.0.0.1"}, "localhost,127.0.0.1"),
        ("all hosts", {"no_proxy": "*"}, "*"),
    ],
)
def test_this_machine_needs_no_proxy(case: str, given: dict[str, str], expected: str) -> None:
    found = local_environment(PROXIES | given)
    assert (found["no_proxy"], found["NO_PROXY"]) == (expected, expected), case
    assert found["HTTPS_PROXY"] == DEAD_PROXY, "packages are still fetched through it"


def test_services_get_no_proxy_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """httpx, with which Airflow's tasks reach their API server, fails for a SOCKS proxy whatever `no_proxy` says."""
    for name, value in PROXIES.items():
        monkeypatch.setenv(name, value)
    environment = processes.clean_environment()
    assert {name for name in environment if "proxy" in name.lower()} == {"no_proxy", "NO_PROXY"}


@pytest.mark.parametrize("file", [COMPOSE, OVERRIDE], ids=lambda file: file.name)
def test_containers_reach_each_other_without_the_proxy_of_docker(file: Path) -> None:
    """Docker gives every container the proxies of ~/.docker/config.json."""
    for name, service in compose_services(VALUES | {"NO_PROXY": "corp.example"}, file).items():
        if name == "postgres":
            continue  # it calls nobody
        hosts = service["environment"]["no_proxy"].split(",")
        assert service["environment"]["NO_PROXY"].split(",") == hosts
        assert {"localhost", "127.0.0.1", "workspace.localhost"} <= set(hosts), name
        if file == COMPOSE:
            assert {"api-server", "postgres", "corp.example"} <= set(hosts), name
            assert service["environment"]["ALL_PROXY"] == service["environment"]["all_proxy"] == ""


# --- Locales -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"LANG": "C"}, {"LC_ALL": "C", "LANG": "C"}, {"LC_ALL": "POSIX"}])
def test_what_starts_spark_and_tasks_has_utf8(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANG", "LC_ALL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert processes.clean_environment()["LC_ALL"] == "C.UTF-8"
    assert task_environment(Path("/secrets"))["LC_ALL"] == "C.UTF-8"
    found = subprocess.run(
        [sys.executable, "-c", "import sys; print(sys.getfilesystemencoding())"],
        env=task_environment(Path("/secrets")),
        capture_output=True,
        text=True,
    )
    assert found.stdout == "utf-8\n"


def test_a_command_prints_utf8_whatever_the_locale_says(tmp_path: Path) -> None:
    code = "from machine.command_line import run_command\nrun_command(lambda: print('März ▇ \\udcff') or 0)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(compose_env.REPO)},
        capture_output=True,
    )
    assert (done.returncode, done.stdout.decode()) == (0, "März ▇ \\udcff\n"), done.stderr


# --- Umasks and file systems ---------------------------------------------------------------------------------------


@pytest.fixture(params=[0o077, 0o027], ids=oct)
def strict_umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_what_containers_mount_is_readable_for_their_user(strict_umask: int, tmp_path: Path) -> None:
    for name in compose_env.MOUNTED:
        (tmp_path / name / "deeper").mkdir(parents=True)
        (tmp_path / name / "deeper" / "file.py").touch()
        (tmp_path / name / "link.py").symlink_to("nowhere")
    assert compose_env.main(tmp_path) == 0
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    for name in compose_env.MOUNTED:
        for path in [tmp_path / name, *(tmp_path / name).rglob("*")]:
            needed = 0o005 if path.is_dir() else 0o004
            assert path.is_symlink() or stat.S_IMODE(path.stat().st_mode) & 0o007 == needed, path


def test_everything_that_is_mounted_is_made_readable() -> None:
    mounted = {
        volume.partition(":")[0].removeprefix("./")
        for service in compose_services(VALUES).values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    }
    assert mounted == set(compose_env.MOUNTED)


@pytest.mark.parametrize("image", sorted(DOCKERFILES))
def test_what_an_image_runs_belongs_to_its_user(image: str) -> None:
    """A copied file keeps its mode, and 0600 of root is of no use to another user."""
    by_root = ("requirements", "packages.txt")  # read while the image is built, by root
    for name, rest in instructions(DOCKERFILES[image]):
        if name == "COPY":
            assert rest.startswith("--chown=") or all(word.startswith(by_root) for word in rest.split()[:-1]), rest


def test_equal_sources_make_an_equal_wheel_under_every_umask(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    for name in ("spark_jobs", "feeds", "gx"):
        (repo / name).mkdir(parents=True)
        (repo / name / "__init__.py").touch()
    for name in ("README.md", "LICENSE", "NOTICE"):
        (repo / name).touch()
    project = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    project += '[project]\nname = "x"\nversion = "1"\n[tool.setuptools]\npackages = ["spark_jobs", "feeds", "gx"]\n'
    (repo / "pyproject.toml").write_text(project)
    state, wheels = LaptopState.from_environment(), set()
    for umask in (0o022, 0o077):
        before = os.umask(umask)
        try:
            wheels.add(ensure_wheel(state, repo).read_bytes())
        finally:
            os.umask(before)
        (repo / "dist" / ".built-from").unlink()
    assert len(wheels) == 1


def test_a_usable_file_system_passes_and_keeps_nothing(tmp_path: Path) -> None:
    check_file_system(tmp_path / "new" / "state")
    assert list((tmp_path / "new" / "state").iterdir()) == []


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o700], ids=oct)
def test_a_file_system_without_modes_is_refused(mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT, and Windows' drives under WSL: whatever mode is set, each file has that of the mount."""
    real = Path.stat

    def of_the_mount(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = list(real(self, follow_symlinks=follow_symlinks))
        found[0] = stat.S_IFMT(int(found[0])) | mode
        return os.stat_result(found)

    monkeypatch.setattr(Path, "stat", of_the_mount)
    root = tmp_path / "state"
    if mode == 0o700:
        check_file_system(root)  # mounted for this user alone: as good as modes
        return
    with pytest.raises(UserError, match=r"no file modes.*LAKEHOUSE_STATE=/path/to/folder"):
        check_file_system(root)
    assert not root.exists()


@pytest.mark.parametrize("options", ["noexec"])
def test_a_mount_that_runs_no_programs_is_refused(options: str, tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"{options},size=4m", "tmpfs", str(tmp_path)])
    if mounted.returncode:
        pytest.skip("this user may not mount a file system")
    try:
        with pytest.raises(UserError, match="no right to run programs"):
            check_file_system(tmp_path / "state")
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_state_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        check_file_system(tmp_path / "file" / "state")


def java_property(spark: SparkSession, name: str) -> str:
    (row,) = spark.sql(f"SELECT java_method('java.lang.System', 'getProperty', '{name}') AS value").collect()
    return str(row["value"])


def test_spark_unpacks_its_libraries_where_programs_may_run(spark: SparkSession) -> None:
    """In the state folder, which is tried: `/tmp` is often mounted with noexec, and Spark's leftovers stay in it."""
    assert java_property(spark, "java.io.tmpdir").endswith("/workspace/spark/scratch")


def test_spark_names_files_in_utf8_whatever_the_locale_says(spark: SparkSession) -> None:
    """Run the tests with LANG=C to see it: Java takes the encoding of file names from the locale."""
    assert java_property(spark, "sun.jnu.encoding") == "UTF-8"


def test_spark_needs_no_name_of_the_machine(spark: SparkSession) -> None:
    """As in github.com/apache/spark/pull/20801: no URL of Spark can have the name of a machine with an underscore."""
    assert spark.conf.get("spark.driver.host") == "127.0.0.1"


def test_a_user_without_a_name_is_refused(tmp_path: Path) -> None:
    """As in github.com/bitnami/containers/issues/52698 and HADOOP-19401: `docker run --user 1234`."""
    check_user()
    with pytest.raises(UserError, match=r"the id 1234567 and no name, without which Spark .*'lakehouse:x:1234567:"):
        check_user(1234567)


@pytest.mark.parametrize("name", ["PYTHONSAFEPATH", "PYTHONPATH", "PYTHONHOME", "PYTHONOPTIMIZE"])
def test_another_project_s_python_settings_do_not_reach_make(name: str, tmp_path: Path) -> None:
    """PYTHONSAFEPATH would hide the project from its own commands, PYTHONPATH would bring foreign packages in."""
    command = ["make", "--no-print-directory", "-f", str(compose_env.REPO / "Makefile"), "-f", "-", "shown"]
    done = subprocess.run(
        command,
        input=f'shown:\n\t@echo "<$${{{name}-}}>"\n',
        env={**os.environ, name: str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "<>\n", done.stdout + done.stderr


# --- The file .env -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "job"),
    [
        ("[dev jane] ", "[dev jane] publish"),
        ("[dev jane]", "[dev jane] publish"),  # compose cuts blanks at the end of a value without quotes
        ('"[dev jane] "', "[dev jane] publish"),  # docker run --env-file keeps quotes
        (" [dev jane]\t", "[dev jane] publish"),
        ("", "publish"),
        ("team_", "team_publish"),
        ("[blue]", "[blue]publish"),  # a bundle's presets may name any prefix
        ("'team a '", "team a publish"),
    ],
)
def test_a_job_prefix_keeps_or_gets_its_blank(written: str, job: str) -> None:
    assert load({"LAKEHOUSE_JOB_PREFIX": written}).job_name("publish") == job


# --- Services that die ---------------------------------------------------------------------------------------------

SLEEP = [sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(600)"]
CHILD = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
DIES = [sys.executable, "-c", "print('the reason', flush=True); raise SystemExit(3)"]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[LaptopState]:
    state = LaptopState(tmp_path / "state", *free_ports(3))
    state.pids.mkdir(parents=True)
    yield state
    services.down(state)


def supervise(state: LaptopState, *commands: ServiceCommand, more: str = "") -> processes.Service:
    """A supervisor of these services, as a process, as `make up` starts it. `more` are further arguments, as code."""
    code = (
        "from pathlib import Path\nfrom laptop.supervisor import *\nfrom machine.state_folder import StateFolder\n"
        f"commands = [ServiceCommand(*command) for command in {[(c.name, c.command, {}, '.') for c in commands]}]\n"
        f"Supervisor(StateFolder(Path({str(state.root)!r})), commands, 10_000, most_deaths=2, {more}).run()"
    )
    path = {"PYTHONPATH": str(compose_env.REPO)}
    return processes.start(state, supervisor.NAME, [sys.executable, "-c", code], path, compose_env.REPO)


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.05)


def running(state: LaptopState, name: str) -> processes.Service | None:
    found = {service.name: service for service in processes.recorded_services(state) if service.is_alive}
    return found.get(name)


def test_a_killed_service_is_started_again_and_its_log_is_kept(state: LaptopState) -> None:
    family = [sys.executable, "-c", CHILD + "print('begun', flush=True); time.sleep(600)"]
    supervise(state, ServiceCommand("one", family, {}, Path()), ServiceCommand("two", SLEEP, {}, Path()))
    wait_until(lambda: "begun" in processes.log_tail(state, "one") and running(state, "two"))
    first, other, news = running(state, "one"), running(state, "two"), ServiceNews(state)
    assert first
    assert other
    (child,) = psutil.Process(first.pid).children()
    os.kill(first.pid, signal.SIGKILL)
    begun, lines = time.monotonic(), ""
    while "one runs again" not in lines:
        lines += "\n".join(news())
        assert time.monotonic() - begun < 10, lines
        time.sleep(0.05)
    assert "one was killed (signal 9), and is being started again" in lines
    again = running(state, "one")
    assert again
    assert again.pid != first.pid
    assert again.deaths == 1
    assert "begun" in processes.log_tail(state, "one", earlier=True)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "the dead one's child would work on"
    assert running(state, "two") == other, "the other one is left alone"


def test_a_service_that_lives_and_works_no_more_is_ended_and_started_again(state: LaptopState) -> None:
    """As Airflow's scheduler, whose loop had ended on a full disk, and whose process waited for its workers."""
    hung = state.root / "hung"
    unhealthy = f"unhealthy=lambda: ['one'] if Path({str(hung)!r}).exists() else [], hung_seconds=1"
    ignores = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    supervise(state, ServiceCommand("one", [sys.executable, "-c", ignores], {}, Path()), more=unhealthy)
    wait_until(lambda: running(state, "one"))
    first, news, lines = running(state, "one"), ServiceNews(state), ""
    hung.touch()
    begun = time.monotonic()
    while "one runs again" not in lines:
        lines += "\n".join(news())
        if "its process is ended" in lines:
            hung.unlink(missing_ok=True)
        assert time.monotonic() - begun < 30, lines
        time.sleep(0.05)
    assert re.search(r"one lives, but has sent no heartbeat for \d+ s; its process is ended", lines), lines
    again = running(state, "one")
    assert first
    assert again
    assert again.pid != first.pid
    time.sleep(2 * supervisor.HEALTH_PAUSE_SECONDS)
    assert running(state, "one") == again, "it is healthy"


def test_a_service_that_dies_at_each_start_is_given_up_with_its_reason(state: LaptopState) -> None:
    supervisor_, news = supervise(state, ServiceCommand("one", DIES, {}, Path())), ServiceNews(state)
    lines: list[str] = []

    def is_given_up() -> bool:
        lines.extend(news())
        return any("is given up" in line for line in lines)

    wait_until(is_given_up)
    assert any("one ended with exit code 3" in line for line in lines)
    assert "the reason" in processes.log_tail(state, "one")
    assert supervisor_.is_alive
    (record,) = [service for service in processes.recorded_services(state) if service.name == "one"]
    assert record.given_up


def test_services_that_run_with_earlier_code_are_known(state: LaptopState, tmp_path: Path) -> None:
    """Airflow's plugins import `include/` once: `make up` after a `git pull` starts what has it again."""
    module = tmp_path / "repo" / "include" / "intervals.py"
    module.parent.mkdir(parents=True)
    module.touch()
    for name in ("airflow-scheduler", "workspace"):
        processes.start(state, name, SLEEP, {}, Path())
    changed = time.time()
    for moment, expected in ((changed - 60, []), (changed + 60, ["airflow-scheduler"])):
        os.utime(module, (moment, moment))
        assert [service.name for service in services.outdated_services(state, tmp_path / "repo")] == expected


def test_a_new_supervisor_takes_the_services_over(state: LaptopState) -> None:
    old = supervise(state, ServiceCommand("one", SLEEP, {}, Path()))
    wait_until(lambda: running(state, "one"))
    service = running(state, "one")
    processes.stop_alone(state, old)
    assert not old.is_alive
    assert running(state, "one") == service, "the services outlive their supervisor"
    supervise(state, ServiceCommand("one", SLEEP, {}, Path()))
    time.sleep(2 * supervisor.LOOK_SECONDS)
    assert running(state, "one") == service
    assert service
    os.kill(service.pid, signal.SIGKILL)
    wait_until(lambda: (found := running(state, "one")) and found != service)


def test_a_dead_supervisor_is_news(state: LaptopState) -> None:
    found = supervise(state)
    news = ServiceNews(state)
    assert news() == []
    os.kill(found.pid, signal.SIGKILL)
    wait_until(lambda: not found.is_alive)
    (line,) = news()
    assert "`make up` starts it" in line
    assert news() == [], "said once"


def test_what_is_dead_is_named(state: LaptopState) -> None:
    with pytest.raises(UserError, match="not running; start them with `make up`"):
        services.require_up(state)
    for name in services.ALL_SERVICES:
        processes.start(state, name, SLEEP, {}, Path())
    services.require_up(state)
    victims = [service for service in processes.recorded_services(state) if service.name in ("supervisor", "workspace")]
    processes_before = {s.name: s.pid for s in processes.recorded_services(state)}
    for victim in victims:
        os.kill(victim.pid, signal.SIGKILL)
    wait_until(lambda: not any(victim.is_alive for victim in victims))
    with pytest.raises(UserError, match=r"^not running: supervisor, workspace \("):
        services.require_up(state)
    status = services.status(state)
    assert status.count("has died") == 2
    assert f"running, process {processes_before['airflow-scheduler']}" in status


# --- Logs and full disks -------------------------------------------------------------------------------------------


def test_logs_of_earlier_starts_are_kept_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "service.log"
    for number in range(KEPT + 3):
        with begin_log(path) as log:
            log.write(b"%d" % number)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "service.log": str(KEPT + 2),
        **{f"service.{age}.log": str(KEPT + 2 - age) for age in range(1, KEPT + 1)},
    }
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


def test_the_log_of_a_program_that_runs_on_never_grows_over_the_limit(tmp_path: Path) -> None:
    path, line = tmp_path / "service.log", b"x" * 99 + b"\n"
    with begin_log(path) as log:
        for _ in range(2000):
            log.write(line)
            log.flush()
            limit_log(path, 10_000)
    sizes = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    assert len(sizes) == KEPT + 1
    assert max(sizes.values()) <= 10_000 + len(line)
    assert path.read_bytes() in (b"", line * (path.stat().st_size // len(line))), "no gap where it was emptied"


def test_a_full_disk_is_said_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fill() -> int:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")
        return 0

    assert run_command(fill) == 1
    assert "the disk is full; make room" in capsys.readouterr().err


def test_a_supervisor_waits_until_a_full_disk_has_room(state: LaptopState, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)]).returncode:
        pytest.skip("this user may not mount a file system")
    small = LaptopState(disk / "state", *free_ports(3))
    try:
        small.pids.mkdir(parents=True)
        supervise(small, ServiceCommand("one", SLEEP, {}, Path()))
        wait_until(lambda: running(small, "one"))
        service, news = running(small, "one"), ServiceNews(small)
        (disk / "filler").write_bytes(b"\0" * 40 * 1024**2)
        assert service
        os.kill(service.pid, signal.SIGKILL)
        time.sleep(4 * supervisor.LOOK_SECONDS)
        assert running(small, "one") is None
        assert any("the disk of" in line and "is full" in line for line in news())
        (disk / "filler").unlink()
        wait_until(lambda: running(small, "one"))
    finally:
        services.down(small)
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
