"""Host and credentials come from the connection alone, whatever kind it is: the provider makes the authentication.

The provider uses HTTPS with names that do not exist here, so the connection's proxy, on this machine, answers for
them: the workspace, and Microsoft's login.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from include.operators import JobRunOperator
from include.settings import load
from include.workspace import Workspace
from tests.dags.tiny_workspace import TinyWorkspace

HOST, LOGIN = "workspace.example", "login.microsoftonline.com"
TENANT = "11111111-2222-3333-4444-555555555555"
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "token": ({"password": "a-token"}, {}, "a-token"),
    "OAuth for machines": (
        {"login": "an-app", "password": "its-secret"},
        {"service_principal_oauth": True},
        "from-the-workspace",
    ),
    "Azure": ({"login": "an-app", "password": "its-secret"}, {"azure_tenant_id": TENANT}, "from-microsoft"),
}


class Proxy(ThreadingHTTPServer):
    """Ends every tunnel itself and answers as the host that was asked for; keeps what was asked."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.authority = folder / "authority.pem"
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self._certificate(folder))
        super().__init__(("127.0.0.1", 0), Tunnel)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def _certificate(self, folder: Path) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")]), datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST), x509.DNSName(LOGIN)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        self.authority.write_bytes(certificate.public_bytes(encoding))
        both = folder / "server.pem"
        both.write_bytes(
            certificate.public_bytes(encoding) + key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
        )
        return both


class Tunnel(BaseHTTPRequestHandler):
    server: Proxy

    def do_CONNECT(self) -> None:
        self.send_response(200)
        self.end_headers()
        behind = type("Behind", (Origin,), {"host": self.path.partition(":")[0]})
        behind(self.server.tls.wrap_socket(self.connection, server_side=True), self.client_address, self.server)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Origin(BaseHTTPRequestHandler):
    host = ""
    server: Proxy

    def _answer(self, path: str, sent: str) -> Any:
        authorization = self.headers.get("Authorization", "")
        if self.host == HOST and path.startswith("/api/"):
            return {"authorization": authorization}
        right = authorization == f"Basic {base64.b64encode(b'an-app:its-secret').decode()}"
        if (self.host, path) == (HOST, "/oidc/v1/token") and right and "client_credentials" in sent:
            return {"access_token": "from-the-workspace", "token_type": "Bearer", "expires_in": 3600}
        site = f"https://{LOGIN}/{TENANT}"
        if self.host == LOGIN and path.endswith("/openid-configuration"):
            pages = {"authorization_endpoint": "authorize", "token_endpoint": "token"}
            return {"issuer": f"{site}/v2.0"} | {k: f"{site}/oauth2/v2.0/{v}" for k, v in pages.items()}
        if (self.host, path) == (LOGIN, f"/{TENANT}/oauth2/v2.0/token") and "its-secret" in sent:
            return {"access_token": "from-microsoft", "token_type": "Bearer", "expires_in": 3600}
        return None

    def _serve(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, self.host, path))
        answer = self._answer(path, sent)
        content = json.dumps(answer).encode()
        self.send_response(404 if answer is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _serve  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    server = Proxy(tmp_path)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.authority))
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_connection_authenticates(proxy: Proxy, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fields, extra, token = KINDS[kind]
    address = f"http://127.0.0.1:{proxy.server_address[1]}"
    connection = {"conn_type": "databricks", "host": f"https://{HOST}/", **fields}
    connection["extra"] = extra | {"proxies": {"https": address}}
    monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_DEFAULT", json.dumps(connection))
    workspace = Workspace(load({"LAKEHOUSE_API_RETRIES": "1"}))
    answer = workspace.read_json("/Volumes/main/ops/files/verdict.json")
    assert answer == {"authorization": f"Bearer {token}"}
    assert proxy.asked[-1] == ("GET", HOST, "/api/2.0/fs/files/Volumes/main/ops/files/verdict.json")
    assert workspace.page_url("/Volumes/main/a").startswith(f"https://{HOST}/explore/")


def test_jobs_of_a_development_copy_are_found_by_their_prefix(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    """Beside jobs of the plain names: `databricks bundle deploy -t dev` puts "[dev name] " before each."""
    workspace.jobs |= {f"[dev jane] {name}": 100 + job_id for name, job_id in list(workspace.jobs.items())}
    settings = load({"LAKEHOUSE_JOB_PREFIX": "[dev jane] ", "LAKEHOUSE_WAIT_IN_TASK": "0"})
    operator = JobRunOperator(task_id="build", job="bronze_build", settings=settings)
    with pytest.raises(TaskDeferred):
        operator.execute(context)
    assert [run["job"] for run in workspace.runs.values()] == ["[dev jane] bronze_build"]
