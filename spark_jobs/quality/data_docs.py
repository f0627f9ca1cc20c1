"""Data Docs of an audit: Great Expectations' own rendering, as one page that needs nothing else (design, section 2).

The pages that Great Expectations writes load styles and scripts from CDNs. Here its rendered sections are kept,
everything that loads or runs something is dropped, and a style sheet of our own is written into the page: it is
readable without a network, and under a content security policy without external origins or scripts.
"""

from __future__ import annotations

from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

from spark_jobs.quality.checkpoint import AuditResult, Judgement

if TYPE_CHECKING:
    from spark_jobs.quality.verdict import Finding

_KEPT = frozenset(
    [
        "div",
        "span",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "p",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "ul",
        "ol",
        "li",
        "strong",
        "em",
        "b",
        "i",
        "code",
        "pre",
        "br",
        "hr",
    ]
)
_VOID = frozenset({"br", "hr"})
# Dropped with all that is in them.
_DROPPED = frozenset({"script", "style", "svg", "canvas", "button", "form", "select", "iframe", "object", "nav"})

_STYLE = """
:root{color-scheme:light dark;--line:#d9dee5;--soft:#f5f7f9;--text:#1d2733;--page:#fff;--good:#1a7f37;--bad:#c62828;
--warn:#9a6700}
@media (prefers-color-scheme:dark){:root{--line:#3a434e;--soft:#20262d;--text:#dde3ea;--page:#14181d;--good:#4cc26a;
--bad:#ff7b72;--warn:#e3b341}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--text);background:var(--page);margin:0 auto;max-width:72rem;
padding:1.5rem}
h1{font-size:1.5rem;margin:0 0 .5rem}h2{font-size:1.15rem;margin:1.5rem 0 .5rem}
h5,h6{font-size:1rem;margin:.75rem 0 .25rem}
table{border-collapse:collapse;width:100%;margin:.25rem 0 .75rem;font-size:.92rem}
th,td{border:1px solid var(--line);padding:.3rem .6rem;text-align:left;vertical-align:top;overflow-wrap:break-word}
th{background:var(--soft)}
summary{cursor:pointer;padding:.5rem .75rem;background:var(--soft);border:1px solid var(--line);border-radius:6px}
.day{white-space:nowrap}
details{margin:.5rem 0}details>div{padding:.25rem .75rem}
.badge{display:inline-block;white-space:nowrap;border-radius:1rem;padding:.05rem .6rem;font-size:.85rem;font-weight:600;
color:#fff;background:#57606a;margin-right:.3rem}
.passed{background:#1a7f37}.failed{background:#c62828}.warned{background:#9a6700}
.text-success::before{content:"\\2713";color:var(--good);font-weight:700}
.text-danger::before{content:"\\2717";color:var(--bad);font-weight:700}
.text-warning::before,.fa-exclamation-triangle::before{content:"!";color:var(--warn);font-weight:700}
.badge-secondary,.code-snippet{font-family:ui-monospace,monospace;
color:inherit;background:var(--soft);border-radius:4px;padding:0 .3rem}
code{font-family:ui-monospace,monospace}
"""


class _Sections(HTMLParser):
    """The sections of a page of Great Expectations, without what loads or runs anything."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.sections: list[str] = []
        self._out: list[str] = []
        self._depth = 0
        self._dropping: str | None = None
        self._dropped_depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = (dict(attrs).get("class") or "").split()
        if self._dropping:
            self._dropped_depth += tag == self._dropping
            return
        if not self._depth:
            if tag != "div" or "ge-section" not in names:
                return
            self._out = []
        if tag in _DROPPED:
            self._dropping, self._dropped_depth = tag, 1
            return
        if tag == "div":
            self._depth += 1
        if tag in _KEPT:
            shown = f' class="{escape(" ".join(names))}"' if names else ""
            self._out.append(f"<{tag}{shown}>")

    def handle_endtag(self, tag: str) -> None:
        if self._dropping:
            self._dropped_depth -= tag == self._dropping
            if not self._dropped_depth:
                self._dropping = None
            return
        if not self._depth:
            return
        if tag in _KEPT and tag not in _VOID:
            self._out.append(f"</{tag}>")
        if tag == "div":
            self._depth -= 1
            if not self._depth:
                self.sections.append("".join(self._out))

    def handle_data(self, data: str) -> None:
        if self._depth and not self._dropping:
            # Addresses in rendered texts are shown, but cut so that nothing in the page looks like a link to load.
            self._out.append(escape(data.replace("://", ":\u200b//")))


def render_data_docs(audit: AuditResult, folder: Path, title: str, facts: dict[str, str] | None = None) -> Path:
    """Writes `index.html` under `folder`, which it makes, and returns its path.

    `title` heads the page, `facts` (build, interval, fingerprint, ...) stand below it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    unfinished = folder / ".index.html.unfinished"
    unfinished.write_text(_page(audit, title, facts or {}), encoding="utf-8")
    unfinished.replace(page)
    return page


def _page(audit: AuditResult, title: str, facts: dict[str, str]) -> str:
    counts = audit.statistics
    verdict = "passed" if audit.success else "failed"
    shown = {**facts, **{name: str(value) for name, value in audit.parameters.items()}}
    return "".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(title)} {_badge(verdict, verdict)}</h1>",
            f"<p>{counts.successful} of {counts.evaluated} expectations met,",
            f" {counts.failed} failed, {counts.warnings} warnings.</p>",
            "<table>" if shown else "",
            *(f"<tr><th>{escape(k)}</th><td>{escape(str(v))}</td></tr>" for k, v in shown.items()),
            "</table>" if shown else "",
            _findings("Failed", "failed", audit.failures),
            _findings("Warnings", "warned", audit.warnings),
            "<h2>All expectations</h2>",
            *(_judgement(judgement) for judgement in audit.judgements),
            "</body></html>",
        ]
    )


def _badge(text: str, kind: str) -> str:
    return f'<span class="badge {kind}">{escape(text)}</span>'


def _findings(heading: str, kind: str, found: tuple[Finding, ...]) -> str:
    if not found:
        return ""
    rows = "".join(
        f'<tr><td>{_badge(f.severity, kind)}</td><td class="day">{escape(f.landing_date or "")}</td>'
        f"<td>{escape(f.asset)}</td><td>{escape(f.message.removeprefix(f.asset + ': '))}</td></tr>"
        for f in found
    )
    head = "<tr><th>severity</th><th>landing date</th><th>asset</th><th>what</th></tr>"
    return f"<h2>{heading}</h2><table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _judgement(judgement: Judgement) -> str:
    results = judgement.result.results
    met = sum(1 for one in results if one.success)
    kind = "passed" if met == len(results) else "failed"
    opened = "" if met == len(results) else " open"
    return (
        f"<details{opened}><summary>{_badge(f'{met} of {len(results)}', kind)}"
        f"<strong>{escape(judgement.asset)}</strong> by suite {escape(judgement.suite)}</summary>"
        f"<div>{_rendered(judgement)}</div></details>"
    )


def _rendered(judgement: Judgement) -> str:
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    document = ValidationResultsPageRenderer(run_info_at_end=False).render(judgement.result)
    page = DefaultJinjaPageView().render(document)
    parser = _Sections()
    parser.feed(page)
    parser.close()
    # The first section repeats, for one suite, what stands at the head of this page.
    return "".join(parser.sections[1:])
