"""Secrets on Databricks: by the platform's own `dbutils`, here the SDK's, from a secret scope over HTTP."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

REPO = Path(__file__).resolve().parents[2]
SCOPES = {("lakehouse", "email-hmac-key"): "the-value", ("lakehouse", "empty"): ""}
# In another process: the SDK settles its configuration when it is imported.
ASK = """
import sys
from spark_jobs.runtime.secret_store import secret
try:
    print(secret(sys.argv[1]).decode())
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


class Secrets(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        wanted = {name: values[0] for name, values in parse_qs(url.query).items()}
        value = SCOPES.get((wanted.get("scope", ""), wanted.get("key", "")))
        if url.path != "/api/2.0/secrets/get" or value is None:
            status, answer = 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such secret"}
        else:
            status, answer = 200, {"key": wanted["key"], "value": base64.b64encode(value.encode()).decode()}
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def workspace() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Secrets)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("lakehouse/email-hmac-key", "the-value"),
        ("lakehouse/gone", "SecretMissing: the secret scope lakehouse gives no gone"),
        ("lakehouse/empty", "SecretMissing: the secret lakehouse/empty is empty"),
        ("email-hmac-key", "SecretMissing: 'email-hmac-key' does not name a secret"),
    ],
)
def test_without_a_secrets_folder_the_scope_is_asked(workspace: str, tmp_path: Path, name: str, printed: str) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(REPO)}
    environment |= {"DATABRICKS_HOST": workspace, "DATABRICKS_TOKEN": "t", "DATABRICKS_AUTH_TYPE": "pat"}
    done = subprocess.run(
        [sys.executable, "-c", ASK, name], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip().startswith(printed), done.stdout + done.stderr
    assert "the-value" not in done.stdout.replace(printed, "") + done.stderr
