"""The page about the local workspace lists exactly the endpoints that it serves."""

from __future__ import annotations

import re
from pathlib import Path

from fastapi.routing import APIRoute

from local_workspace.api import build_app
from local_workspace.redaction import Redactor
from local_workspace.runner import Runner
from local_workspace.store import Store
from machine.state_folder import StateFolder
from tests.workspace.conftest import REPO


def test_every_endpoint_is_named(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    store = Store(state.database)
    redactor = Redactor(state)
    app = build_app(state, store, Runner(state, store, redactor), redactor)
    store.close()
    served = {
        re.sub(r"^/api/(\{version\}|2\.0)/|/?\{path:path\}$", "", route.path)
        for route in app.routes
        if isinstance(route, APIRoute) and route.path.startswith("/api/")
    }
    page = (REPO / "docs" / "local-workspace.md").read_text(encoding="utf-8")
    section = page.split("\n## What it serves\n")[1].split("\n## ")[0]
    table = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    assert set(re.findall(r"`([a-z][\w/.{}-]+)`", table)) == served
