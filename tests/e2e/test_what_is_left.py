"""What runs leave behind, and what is left when the services are stopped."""

from __future__ import annotations

from laptop import service_processes as processes
from laptop import services
from laptop.follow import RunResult
from machine.ports import port_is_free
from tests.e2e.lake import Lake


def test_nothing_private_and_no_secret_is_in_any_log(lake: Lake, first_run: RunResult) -> None:
    secrets = {path.read_text().strip() for path in lake.state.secrets.rglob("*") if path.is_file()}
    logs = [*lake.state.logs.glob("*.log"), *(lake.state.airflow_home / "logs").rglob("*.log")]
    logs += [path for path in (lake.state.root / "workspace" / "runs").rglob("*") if path.is_file()]
    assert len(logs) > 10
    for path in logs:
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not [secret for secret in secrets if secret in text], path
        assert "XXXXXXXXX" not in text, path  # what DataCo has for e-mail addresses and passwords


def test_down_leaves_no_process(lake: Lake, first_run: RunResult) -> None:
    lake.session.close()
    services.down(lake.state)
    assert processes.descendants(lake.state) == []
    assert not services.is_up(lake.state)
    for port in (lake.state.workspace_port, lake.state.spark_port, lake.state.airflow_port):
        assert port_is_free(port)
