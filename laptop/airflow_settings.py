"""Airflow's configuration on one machine, as environment variables and files that only their owner can read."""

from __future__ import annotations

import json
from pathlib import Path

from laptop.laptop_state import LaptopState
from machine.ports import HOST
from machine.state_folder import REPO, private_folder, write_private

USER = "admin"
# One run at a time works on a layer, and two cores can feed that many layers at a time (include/layer_group.py).
# Deferred tasks count, because their jobs are running.
POOLS = {"databricks": 3, "databricks_bronze": 1, "databricks_silver": 1, "databricks_gold": 1}
DATABASE = "airflow.db"
# How long a commit waits for another writer before it fails with "database is locked".
SQLITE_TIMEOUT_SECONDS = 60
# The API server records what people do in the thread that ends all requests (Airflow's `action_logging`). While that
# waits, no request ends, so neither does the one whose commit it waits for: it stands still until one gives up.
API_SERVER_SQLITE_TIMEOUT_SECONDS = 5


def write_files(state: LaptopState) -> None:
    """Write the login, the connection to the local workspace, and Airflow's own hook for settings."""
    private_folder(state.airflow_home)
    passwords = json.dumps({USER: state.secret("airflow_password")})
    write_private(state.airflow_home / "passwords.json", passwords)
    connection = {
        "conn_type": "databricks",
        "host": HOST,
        "port": state.workspace_port,
        "schema": "http",
        "password": state.secret("workspace_token"),
    }
    write_private(state.airflow_home / "connections.json", json.dumps({"databricks_default": connection}))
    hook = Path(__file__).with_name("airflow_local_settings.py")
    config = private_folder(state.airflow_home / "config")
    write_private(config / hook.name, hook.read_text(encoding="utf-8"))


def database_url(file: Path, timeout_seconds: int = SQLITE_TIMEOUT_SECONDS) -> str:
    """Return what Airflow calls the connection to this database."""
    return f"sqlite:///{file}?timeout={timeout_seconds}"


def api_server_environment(state: LaptopState) -> dict[str, str]:
    """Return the variables in which the API server differs from the other services."""
    url = database_url(state.airflow_home / DATABASE, API_SERVER_SQLITE_TIMEOUT_SECONDS)
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url}


def airflow_environment(state: LaptopState, repo: Path = REPO) -> dict[str, str]:
    """Return everything that differs from Airflow's defaults, as variables."""
    home = state.airflow_home
    secrets_backend = {"connections_file_path": str(home / "connections.json")}
    settings: dict[str, dict[str, object]] = {
        "core": {
            "dags_folder": repo / "dags",
            "plugins_folder": repo / "plugins",
            "executor": "LocalExecutor",
            "parallelism": 8,
            "load_examples": False,
            "dags_are_paused_at_creation": True,
            "default_timezone": "utc",
            "auth_manager": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
            "simple_auth_manager_users": f"{USER}:admin",
            "simple_auth_manager_passwords_file": home / "passwords.json",
            "fernet_key": state.secret("airflow_fernet_key"),
            "execution_api_server_url": f"{state.airflow_url}/execution/",
        },
        "api": {
            "host": HOST,
            "port": state.airflow_port,
            "base_url": state.airflow_url,
            "workers": 1,
            "secret_key": state.secret("airflow_api_secret"),
        },
        "api_auth": {"jwt_secret": state.secret("airflow_jwt_secret")},
        "database": {
            "sql_alchemy_conn": database_url(home / DATABASE),
        },
        "secrets": {
            "backend": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
            "backend_kwargs": json.dumps(secrets_backend),
        },
        # Heartbeats notice a clear, a mark by hand and the end of a process that deferred; the default is 5 s.
        # A task outlives an API server that restarts: 30 heartbeats may fail, not 3.
        "workers": {"min_heartbeat_interval": 1, "max_failed_heartbeats": 30},
        "logging": {"base_log_folder": home / "logs"},
        "scheduler": {
            "enable_health_check": False,
            # The next task does not wait a second for the scheduler to look.
            "scheduler_idle_sleep_time": 0.15,
            # The tasks of a scheduler that was killed are repeated after seconds; the defaults are 30 s and 5 min.
            "scheduler_health_check_threshold": 15,
            "orphaned_tasks_check_interval": 10,
            "task_instance_heartbeat_timeout": 60,
        },
        "dag_processor": {"refresh_interval": 30, "min_file_process_interval": 30},
        "usage_data_collection": {"enabled": False},
    }
    variables = {
        f"AIRFLOW__{section}__{key}".upper(): str(value)
        for section, values in settings.items()
        for key, value in values.items()
    }
    return variables | {
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": str(repo),
        "PATH": f"{state.venv('airflow') / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "TZ": "UTC",
        # No usage data leave the machine, neither Airflow's nor those of its packages.
        "SCARF_ANALYTICS": "false",
        "DO_NOT_TRACK": "1",
    }
