"""`make env`: secrets that nobody else can read, that are never printed, and that stay as they are."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from laptop import compose_env
from machine.command_line import UserError


def test_secrets_are_generated_for_the_owner_alone(tmp_path: Path) -> None:
    file, other = tmp_path / ".env", tmp_path / "other"
    compose_env.write(file)
    compose_env.write(other)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    values, others = (compose_env.values(path.read_text(encoding="utf-8")) for path in (file, other))
    assert set(values) == {"COMPOSE_FILE", "NO_PROXY", "no_proxy", *compose_env.SECRETS, compose_env.CONNECTION}
    for name in compose_env.SECRETS:
        assert len(values[name]) >= 16
        assert values[name] != others[name]
        # docker's --env-file keeps quotes, and compose reads $ and # its own way: none of them is needed.
        assert re.fullmatch(r"[\w=-]+", values[name])
    assert values["COMPOSE_FILE"] == "docker-compose.yaml"


def test_the_connection_holds_the_workspace_s_token(tmp_path: Path) -> None:
    compose_env.write(tmp_path / ".env")
    values = compose_env.values((tmp_path / ".env").read_text(encoding="utf-8"))
    found = urlsplit(values[compose_env.CONNECTION])
    assert (found.scheme, found.hostname, found.port, found.path) == (
        "databricks",
        "workspace.localhost",
        8765,
        "/http",
    )
    assert found.password == values["LAKEHOUSE_WORKSPACE_TOKEN"]


def test_what_is_there_stays_and_what_is_missing_comes(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# mine\nLAKEHOUSE_OWNER=me\nLAKEHOUSE_WORKSPACE_TOKEN='old'\nLAKEHOUSE_POSTGRES_PASSWORD=")
    file.chmod(0o644)
    added = compose_env.write(file)
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# mine\nLAKEHOUSE_OWNER=me\nLAKEHOUSE_WORKSPACE_TOKEN='old'\n")
    assert "LAKEHOUSE_WORKSPACE_TOKEN" not in added
    values = compose_env.values(text)
    assert values["LAKEHOUSE_WORKSPACE_TOKEN"] == "old"
    assert values["LAKEHOUSE_POSTGRES_PASSWORD"], "an empty one is as good as none"
    assert ":old@" in values[compose_env.CONNECTION]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert compose_env.write(file) == []
    assert file.read_text(encoding="utf-8") == text


def test_names_are_printed_and_values_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compose_env.main(tmp_path) == 0
    assert compose_env.main(tmp_path) == 0
    printed = capsys.readouterr()
    values = compose_env.values((tmp_path / ".env").read_text(encoding="utf-8"))
    for name in compose_env.SECRETS:
        assert name in printed.out
        assert values[name] not in printed.out + printed.err
    assert "nothing was changed" in printed.out


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="not a plain file"):
        compose_env.write(tmp_path / ".env")
