"""The site builds, every link of it leads somewhere, and no page of it loads anything from another host."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import DOCS, MARKDOWN, PAGES, REPO, anchors, prose
from tools.generate import PARTS, PUBLISHED_TABLES, generated, stale_files

LOADED_BY_LINK = {"stylesheet", "icon", "manifest", "preload", "modulepreload", "prefetch", "preconnect"}
OWN_SOURCES = {"'self'", "'unsafe-inline'", "data:", "blob:"}
# Folders that the project makes and git does not know.
MADE = (".state/", "logs/", "site/")
EXAMPLE = ("spark_jobs/layers/gold/markets.py", "gx/rules/gold.markets.yml")
"""Files of the worked example, which a test makes."""


@dataclass
class Page(HTMLParser):
    """What a browser finds in one built page."""

    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    policy: str = ""
    loaded_before_policy: list[str] = field(default_factory=list)
    has_diagram: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        self.has_diagram |= "mermaid" in given.get("class", "").split()
        if tag == "meta" and given.get("http-equiv", "").lower() == "content-security-policy":
            self.policy = given["content"]
        loaded = [given["src"]] if "src" in given else []
        if tag == "link" and set(given.get("rel", "").lower().split()) & LOADED_BY_LINK:
            loaded.append(given["href"])
        loaded += [source.split()[0] for source in given.get("srcset", "").split(",") if source.strip()]
        loaded += re.findall(r"url\(['\"]?([^'\")]+)", given.get("style", ""))
        loaded += [given[name] for name in ("data", "poster") if tag in ("object", "video") and name in given]
        self.loaded += loaded
        if not self.policy:
            self.loaded_before_policy += loaded
        if tag == "script" and "src" in given:
            self.scripts.append(given["src"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])


def read(html: Path) -> Page:
    page = Page()
    page.feed(html.read_text(encoding="utf-8"))
    return page


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built from a copy of the sources. A warning of the build is an error."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(REPO / "zensical.toml", folder)
    shutil.copytree(DOCS, folder / "docs")
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    found = {path: read(path) for path in sorted(site.rglob("*.html"))}
    assert len(found) > len(PAGES), "every page, and the one for addresses that do not exist"
    return found


def target(site: Path, page: Path, link: str) -> Path | None:
    """The file of the site that a link leads to; None for another host."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    path = unquote(parts.path)
    # The page for addresses that do not exist is served from anywhere, so its links begin at the root.
    file = site / path.lstrip("/") if path.startswith("/") else (page.parent / path if path else page)
    return (file / "index.html" if file.is_dir() else file).resolve()


def test_every_link_of_the_site_leads_to_a_page_and_an_anchor(site: Path, pages: dict[Path, Page]) -> None:
    dead = []
    for path, page in pages.items():
        for link in (*page.links, *page.loaded):
            file = target(site, path, link)
            anchor = urlsplit(link).fragment
            if file is not None and (
                not file.is_file() or (anchor and file in pages and anchor not in pages[file].ids)
            ):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert not dead


def test_no_page_loads_anything_from_another_host(site: Path, pages: dict[Path, Page]) -> None:
    foreign = [
        f"{path.relative_to(site)}: {link}"
        for path, page in pages.items()
        for link in page.loaded
        if urlsplit(link).netloc
    ]
    styles = {
        file
        for path, page in pages.items()
        for link in page.loaded
        if link.split("?")[0].endswith(".css") and (file := target(site, path, link))
    }
    assert styles
    for file in styles:
        text = file.read_text(encoding="utf-8")
        imported = re.findall(r"(?:url\(|@import\s+)\s*['\"]?(\s*(?:https?:)?//[^'\")\s]+)", text)
        foreign += [f"{file.relative_to(site)}: {link}" for link in imported]
    assert not foreign


def test_the_browser_refuses_what_a_script_asks_of_another_host(pages: dict[Path, Page]) -> None:
    """The theme's script contains addresses of other hosts. Whatever it does with them, nothing is loaded."""
    for path, page in pages.items():
        assert not page.loaded_before_policy, f"{path} loads before its policy holds"
        directives = [directive.split() for directive in page.policy.split(";")]
        assert "default-src" in [name for name, *_ in directives], path
        assert {source for _, *sources in directives for source in sources} <= OWN_SOURCES, path


def test_diagrams_are_drawn_by_the_mermaid_of_the_site(site: Path, pages: dict[Path, Page]) -> None:
    with_diagram = {path: page for path, page in pages.items() if page.has_diagram}
    assert len(with_diagram) >= 3
    for path, page in with_diagram.items():
        own = [script for script in page.scripts if script.endswith("javascripts/mermaid.min.js")]
        assert own, path
        assert (file := target(site, path, own[0])) is not None
        assert file.is_file()


def test_every_page_is_in_the_navigation() -> None:
    settings = tomllib.loads((REPO / "zensical.toml").read_text(encoding="utf-8"))

    def files(entries: Any) -> list[str]:
        if isinstance(entries, str):
            return [entries]
        values = entries.values() if isinstance(entries, dict) else entries
        return [file for entry in values for file in files(entry)]

    assert sorted(files(settings["project"]["nav"])) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES)


def test_generated_parts_are_what_the_code_gives() -> None:
    stale = [path.relative_to(REPO).as_posix() for path in stale_files()]
    assert not stale, "run make generate"
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert sorted(re.findall(r"<!-- generated: (\S+) -->", text)) == sorted(PARTS), "each part is in one page"
    damaged = text.replace("LAKEHOUSE_POOL", "LAKEHOUSE_LOOP")
    assert damaged != text
    assert generated(damaged).count("LAKEHOUSE_LOOP") < damaged.count("LAKEHOUSE_LOOP")


def test_a_missing_or_stale_list_of_published_tables_is_found(tmp_path: Path) -> None:
    """Airflow lists exactly the tables of the registry as outlets."""
    copy = tmp_path / PUBLISHED_TABLES.name
    assert copy in stale_files(published_tables=copy)
    copy.write_text(PUBLISHED_TABLES.read_text(encoding="utf-8"), encoding="utf-8")
    assert copy not in stale_files(published_tables=copy)
    copy.write_text(copy.read_text(encoding="utf-8").replace("quarantine", "rejects"), encoding="utf-8")
    assert copy in stale_files(published_tables=copy)


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: page.relative_to(REPO).as_posix())
def test_links_of_a_page_lead_to_files_of_the_repository(page: Path) -> None:
    """As a reader on GitHub follows them."""
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        file = (page.parent / parts.path).resolve() if parts.path else page
        if not file.exists() or (parts.fragment and parts.fragment not in anchors(file)):
            dead.append(link)
    assert not dead


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: page.relative_to(REPO).as_posix())
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`((?:[\w.-]+/)+(?:[\w.-]+\.(?:py|json|yml|yaml|toml|md|html|js|txt))?)`", prose(page))
    missing = [
        name for name in named if not name.startswith(MADE) and name not in EXAMPLE and not (REPO / name).exists()
    ]
    assert not missing


def test_the_architecture_page_lists_every_folder() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    folders = {path.partition("/")[0] for path in listed.splitlines() if "/" in path and not path.startswith(".")}
    components = (DOCS / "architecture.md").read_text(encoding="utf-8").split("\n### Layers of imports\n")[0]
    rows = [line.split("|")[1] for line in components.splitlines() if line.startswith("| `")]
    assert folders <= {name for row in rows for name in re.findall(r"`([\w.-]+)/`", row)}


def test_the_readme_is_short() -> None:
    assert len((REPO / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
