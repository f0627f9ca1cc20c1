"""The repository's pages for people, and what a reader of Markdown finds in them."""

from __future__ import annotations

import re
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
DOCS = REPO / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
"""The pages of the site."""
MARKDOWN = [*sorted(REPO.glob("*.md")), *PAGES, *sorted((REPO / ".github").rglob("*.md"))]
"""Everything that people read, the site's pages included."""


def prose(page: Path) -> str:
    """The page without code blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of the page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
