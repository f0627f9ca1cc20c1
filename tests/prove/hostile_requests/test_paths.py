"""Names and paths that want out of their folder, written in every way that HTTP knows, lead nowhere."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
import requests

from tests.prove.hostile_requests.conftest import send_raw
from tests.prove.hostile_requests.openapi import VOLUME
from tests.prove.hostile_requests.test_strangers import cookie_of
from tests.workspace.conftest import Workspace, task

UP = ("..", "%2e%2e", "%2E.", "..%2f", "%252e%252e", "..%5c", "%c0%ae%c0%ae", "..%00", "%ef%bc%8e%ef%bc%8e", "....//")
ROUTES = (
    ("GET", "/api/2.0/fs/files{}"),
    ("HEAD", "/api/2.0/fs/files{}"),
    ("PUT", "/api/2.0/fs/files{}?overwrite=true"),
    ("DELETE", "/api/2.0/fs/files{}"),
    ("GET", "/api/2.0/fs/directories{}"),
    ("PUT", "/api/2.0/fs/directories{}"),
    ("DELETE", "/api/2.0/fs/directories{}"),
    ("GET", "/explore/data/volumes{}"),
    ("GET", "/assets{}"),
    ("GET", "/jobs{}"),
    ("GET", "/jobs/1/runs{}"),
    ("POST", "/api/2.0/workspace-files/import-file{}?overwrite=true"),
    ("GET", "/api/2.0/workspace/export?direct_download=true&path={}"),
    ("GET", "/api/2.0/workspace/list?path={}"),
    ("POST", "/api/2.0/workspace/delete?recursive=true&path={}"),
    ("POST", "/api/2.0/workspace/mkdirs?path={}"),
    ("GET", "/api/2.2/jobs/get?job_id={}"),
    ("GET", "/api/2.2/jobs/runs/get?run_id={}"),
    ("GET", "/api/2.2/jobs/runs/get-output?run_id={}"),
)


def tree(folder: Path) -> dict[str, float]:
    """What there is outside of the volumes and the workspace's files, and when it was changed."""
    inside = (folder / "volumes", folder / "workspace" / "files", folder / "workspace" / "workspace.sqlite")
    return {
        str(path): path.stat().st_mtime
        for path in [*folder.parent.rglob("*")]
        if path.is_file() and not str(path).startswith(tuple(map(str, inside))) and path.name != "workspace.log"
    }


def test_no_spelling_leads_out(workspace: Workspace) -> None:
    volume = workspace.state / "volumes/spark_catalog/ops/files"
    volume.mkdir(parents=True, exist_ok=True)
    for name, goal in (("out", workspace.state / "secrets"), ("loop", volume / "loop")):
        if not (volume / name).is_symlink():
            (volume / name).symlink_to(goal)
    before = tree(workspace.state)
    headers = (
        f"Host: localhost\r\nConnection: close\r\nContent-Length: 3\r\nAuthorization: Bearer {workspace.token}\r\n"
    )
    headers += f"Cookie: lakehouse_workspace={cookie_of(workspace.token)}\r\n"
    secret = workspace.token.encode()
    starts = ("", "/Volumes", VOLUME, "/Workspace", "/Shared")
    wanted = [
        f"{start}/{'/'.join([up] * steps)}/secrets/workspace_token"
        for start, up, steps in itertools.product(starts, UP, (1, 4))
    ]
    wanted += [f"{VOLUME}/out/workspace_token", f"{VOLUME}/loop/x", f"{VOLUME}/out", "//etc/passwd", "/%2fetc%2fpasswd"]
    statuses = []
    for (method, route), path in itertools.product(ROUTES, wanted):
        status, answer = send_raw(workspace, f"{method} {route.format(path)} HTTP/1.1\r\n{headers}\r\nabc".encode())
        statuses.append(status)
        assert status < 500, (method, route, path)
        assert secret not in answer, (method, route, path)
        assert b"root:" not in answer, (method, route, path)
    assert workspace.token.encode() == secret
    assert tree(workspace.state) == before
    print(f"\ndoors: {len(statuses)} paths that lead out, {sum(s >= 400 for s in statuses)} refused, the others inside")


def test_a_wheel_writes_nothing_outside_of_its_folder(workspace: Workspace, tmp_path: Path) -> None:
    import zipfile

    wheel = tmp_path / "bad-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("../../out.py", "/tmp/hostile-out.py", "..\\out.py", "bad.py"):
            archive.writestr(name, "x = 1")
    remote = workspace.upload(wheel, "/Workspace/Shared/bad-1.0-py3-none-any.whl")
    before = tree(workspace.state)
    workspace.create(task("ok"), wheel=remote)
    new = set(tree(workspace.state)) - set(before)
    assert new
    assert all(Path(path).is_relative_to(workspace.state / "workspace" / "wheels") for path in new)
    assert not Path("/tmp/hostile-out.py").exists()


def damaged(wheel: bytes) -> dict[str, bytes]:
    """Archives that zipfile refuses in different ways."""
    encrypted = bytearray(wheel)
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[wheel.index(signature) + place] |= 1
    method = bytearray(wheel)
    for signature, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        method[wheel.index(signature) + place] = 77
    return {
        "nothing": b"",
        "no zip": b"hello",
        "cut": wheel[: len(wheel) // 2],
        "a bit off": wheel[:60] + bytes([wheel[60] ^ 255]) + wheel[61:],
        "encrypted": bytes(encrypted),
        "unknown compression": bytes(method),
    }


@pytest.mark.parametrize("kind", ["nothing", "no zip", "cut", "a bit off", "encrypted", "unknown compression"])
def test_a_damaged_wheel_is_refused_and_leaves_nothing(
    workspace: Workspace, owner: requests.Session, kind: str, tmp_path: Path
) -> None:
    whole = (workspace.state / "workspace/files/Shared/tiny-1.0-py3-none-any.whl").read_bytes()
    wheel = tmp_path / "damaged-1.0-py3-none-any.whl"
    wheel.write_bytes(damaged(whole)[kind])
    remote = workspace.upload(wheel, "/Workspace/Shared/damaged-1.0-py3-none-any.whl")
    before = sorted((workspace.state / "workspace/wheels").glob("*"))
    answer = owner.post(
        f"{workspace.host}/api/2.2/jobs/create", json=workspace.settings(task("ok"), wheel=remote), timeout=5
    )
    assert answer.status_code == 400
    assert "damaged-1.0-py3-none-any.whl is not a wheel" in answer.json()["message"]
    assert sorted((workspace.state / "workspace/wheels").glob("*")) == before


def test_odd_files_on_a_volume_break_no_listing(workspace: Workspace, owner: requests.Session) -> None:
    folder = workspace.state / "volumes/spark_catalog/ops/files/odd"
    folder.mkdir(parents=True, exist_ok=True)
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.csv")).write_text("x")  # a name in latin-1
    (folder / "<img src=x onerror=alert(1)>").write_text("x")
    (folder / "a\nb").mkdir(exist_ok=True)
    for name, goal in (("loop", "loop"), ("nowhere", "gone"), ("out", "/etc")):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(goal)
    if not (folder / "pipe").exists():
        os.mkfifo(folder / "pipe")
    listed = owner.get(f"{workspace.host}/api/2.0/fs/directories{VOLUME}/odd", timeout=5)
    assert listed.status_code == 200
    names = {entry["name"] for entry in listed.json()["contents"]}
    assert names == {"caf�.csv", "<img src=x onerror=alert(1)>", "a\nb", "loop", "nowhere", "out", "pipe"}
    page = owner.get(f"{workspace.host}/explore/data/volumes{VOLUME.removeprefix('/Volumes')}/odd", timeout=5)
    assert page.status_code == 200
    assert "<img" not in page.text
    assert "&lt;img src=x" in page.text
    for name in ("pipe", "out", "out/passwd", "loop", "nowhere"):
        for route in (f"/api/2.0/fs/files{VOLUME}", f"/explore/data/volumes{VOLUME.removeprefix('/Volumes')}"):
            answer = owner.get(f"{workspace.host}{route}/odd/{name}", timeout=5)
            assert answer.status_code in (400, 403, 404), (route, name)
            assert "root:" not in answer.text
