"""Write what is generated from the code: `make generate`, or `python -m tools.generate --check` to only compare.

- The parts of pages in docs/ between `<!-- generated: NAME -->` and `<!-- end of NAME -->`: the tables from the
  registry, the metrics, the labels from the rules in gx/, the settings from include/settings.py, and the variables from
  databricks.yml.
- include/published_tables.json, the names of the published tables: Airflow workers have no Spark, and so no registry.
- include/landing_names.py, a copy of spark_jobs/storage/landing_names.py: nor have they the code of the jobs.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from include import settings
from machine.dag_settings import DAG_SETTINGS
from spark_jobs.layers.registry import TABLES, tables_of
from spark_jobs.quality.rules import read_rules
from spark_jobs.runtime.table_names import LAYERS
from spark_jobs.tables.metric_definitions import METRICS
from spark_jobs.tables.spec import TableSpec, Write

REPO = Path(__file__).resolve().parent.parent
DOCS = REPO / "docs"
PUBLISHED_TABLES = REPO / "include" / "published_tables.json"
LANDING_NAMES = REPO / "include" / "landing_names.py"
_PART = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end of (?P=name) -->)", re.DOTALL)
_WRITES = {
    Write.REPLACE_DATES: "the landing dates of the run are replaced",
    Write.MERGE: "rows are merged by key",
    Write.OVERWRITE: "all rows are replaced",
    Write.APPEND: "rows are added",
}


def lineage() -> str:
    """Return a Mermaid diagram of which table is derived from which."""
    lines = ["```mermaid", "flowchart TB", '  landing[("landing<br/>dt=YYYY-MM-DD/*.csv")]']
    for layer in dict.fromkeys(table.layer for table in TABLES.values()):
        lines.append(f"  subgraph {layer}")
        lines += [f"    {_node(table.name)}[{table.short_name}]" for table in tables_of(layer)]
        lines.append("  end")
    for table in TABLES.values():
        lines += [f"  {_node(source)} --> {_node(table.name)}" for source in _sources(table)]
    return "\n".join([*lines, "```"])


def _sources(table: TableSpec) -> tuple[str, ...]:
    return table.staged_from or ("landing",)


def _node(name: str) -> str:
    return name.replace(".", "_")


def tables() -> str:
    """Return a section for each table: its facts, then its columns."""
    return "\n\n".join(_section(table) for table in TABLES.values())


def _section(table: TableSpec) -> str:
    facts = [
        ("Grain", table.grain),
        ("Natural key", _names(table.natural_key)),
        ("Derived from", _names(_sources(table))),
        ("Written", _WRITES[table.write] + (f" `{table.merge_key}`" if table.write is Write.MERGE else "")),
        ("Statistics", _names(table.statistics_columns)),
    ]
    columns = [
        (
            f"`{field.name}`",
            f"`{field.dataType.simpleString().upper()}`" + ("" if field.nullable else " not null"),
            _cell(field.metadata.get("comment", "")),
        )
        for field in table.schema.fields
    ]
    return "\n".join(
        [
            f"### {table.name}",
            "",
            f"{table.comment.rstrip('.')}.",
            "",
            *(f"- **{name}**: {text}" for name, text in facts),
            "",
            f'??? note "The {len(columns)} columns"',
            "",
            *(f"    {row}" for row in _rows(("column", "type", "what"), columns)),
        ]
    )


def metrics() -> str:
    """Return a row for each metric of a landing date."""
    return "\n".join(_rows(("metric", "by", "what"), ((f"`{m.name}`", m.by, m.says) for m in METRICS.values())))


def segments() -> str:
    """Return the labels of a customer with their conditions, as the gate recomputes them."""
    return _labels("gold.customers360", "the_segment_follows")


def product_labels() -> str:
    """Return the labels of a product with their conditions, column by column, as the gate recomputes them."""
    rules = {
        "performance_tier": "the_tier_follows",
        "margin_category": "the_margin_category_follows",
        "product_health": "the_health_follows",
        "strategic_priority": "the_priority_follows",
    }
    return "\n\n".join(f"`{column}`:\n\n{_labels('gold.products360', rule)}" for column, rule in rules.items())


def _labels(table: str, name: str) -> str:
    """Return a row for each label that the rule's SQL gives: its CASE, or its array by score."""
    (sql,) = (rule.fails_when for rule in read_rules(table).rules if rule.name == name)
    sql = re.sub(r"(?<=\d)BD\b", "", " ".join(sql.split()))
    # A branch that gives no literal takes the stored label, where the audit cannot know.
    branches = re.findall(r"WHEN ((?:(?!WHEN ).)*?) THEN '(.*?)'", sql)
    found = [(label, f"`{condition}`") for condition, label in branches]
    found += [(label, "all others") for label in re.findall(r"ELSE '(.*?)'", sql)]
    if by_score := re.search(r"array\((.*?)\), (\w+)\)", sql):
        labels = re.findall(r"'(.*?)'", by_score[1])
        found += [(label, f"`{by_score[2]} = {score}`") for score, label in enumerate(labels, 1)]
    return "\n".join(_rows(("label", "the first that holds"), found))


def airflow_settings() -> str:
    """Return a row for each setting of the Airflow side, from the docstring under its field."""
    defaults, rows = settings.load({}), []
    for name, text in setting_texts().items():
        variable = f"LAKEHOUSE_{name.upper()}"
        default = _shown(getattr(defaults, name))
        if variable in DAG_SETTINGS:
            default += f" (one machine: `{DAG_SETTINGS[variable]}`)"
        rows.append((f"`{variable}`", default, _cell(_without_default(text.removeprefix(f"{variable}: ")))))
    return "\n".join(_rows(("variable", "default", "what"), rows))


def _without_default(text: str) -> str:
    """Return the text without "(default X)"; what stands there beside X stays."""
    text = re.sub(r" \(default [^(),:]*\)", "", text)
    text = re.sub(r"\(default none: ", "(none: ", text)
    return re.sub(r"\(default [^(),:]*, ", "(", text).rstrip(".")


def setting_texts() -> dict[str, str]:
    """Return the docstring of each field of Settings, on one line."""
    source = Path(settings.__file__).read_text(encoding="utf-8")
    (body,) = (
        node.body for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "Settings"
    )
    return {
        field.target.id: " ".join(str(text.value.value).split())
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def bundle_variables() -> str:
    """Return a row for each variable of the bundle: its default, and what a target sets or leaves open."""
    bundle = yaml.safe_load((REPO / "databricks.yml").read_text(encoding="utf-8"))
    targets = {name: target.get("variables", {}) for name, target in bundle["targets"].items()}
    rows = []
    for name, variable in bundle["variables"].items():
        values: dict[str, list[str]] = {}
        for target, given in targets.items():
            if name in given:
                values.setdefault(str(given[name]), []).append(target)
        parts = [_bundle_default(variable)] if "default" in variable else []
        parts += [f"`{value}` in {_names(where)}" for value, where in values.items() if value]
        if lookup := variable.get("lookup"):
            parts += [f"the {kind} named `{name_there}`" for kind, name_there in lookup.items()]
        elif "default" not in variable:
            parts += [f"required in `{target}`" for target, given in targets.items() if name not in given]
        rows.append((f"`{name}`", "; ".join(parts), _cell(_lower(str(variable["description"])))))
    return "\n".join(_rows(("variable", "default", "what"), rows))


def _bundle_default(variable: dict[str, Any]) -> str:
    default = variable["default"]
    if isinstance(default, dict):
        return "in the file"
    return _shown(re.sub(r"^\$\{var\.(\w+)\}$", r"\1", str(default)))


def _lower(sentence: str) -> str:
    """Begin a sentence with a small letter, unless its first word is written in capitals."""
    return sentence if sentence[1:2].isupper() else sentence[:1].lower() + sentence[1:]


def _shown(value: Any) -> str:
    if value in (None, ""):
        return "none"
    if isinstance(value, timedelta):
        value = int(value.total_seconds())
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _rows(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]


PARTS: dict[str, Callable[[], str]] = {
    "lineage": lineage,
    "tables": tables,
    "metrics": metrics,
    "segments": segments,
    "product-labels": product_labels,
    "airflow-settings": airflow_settings,
    "bundle-variables": bundle_variables,
}


def generated(page: str) -> str:
    """Return the page with its generated parts as the code gives them now. Raises KeyError for an unknown part."""
    return _PART.sub(lambda part: f"{part[1]}\n{PARTS[part['name']]()}\n\n{part[3]}", page)


def _landing_names() -> str:
    source = "spark_jobs/storage/landing_names.py"
    return f"# Generated: `make generate` copies {source}.\n" + (REPO / source).read_text(encoding="utf-8")


def stale_files(docs: Path = DOCS, published_tables: Path = PUBLISHED_TABLES) -> dict[Path, str]:
    """Return every file that differs from what the code gives, with its new text."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(docs.rglob("*.md"))}
    new = {path: generated(text) for path, text in texts.items()}
    layers = {layer: [spec.short_name for spec in tables_of(layer)] for layer in LAYERS}
    texts[published_tables] = published_tables.read_text(encoding="utf-8") if published_tables.exists() else ""
    new[published_tables] = json.dumps(layers, indent=2) + "\n"
    texts[LANDING_NAMES] = LANDING_NAMES.read_text(encoding="utf-8") if LANDING_NAMES.exists() else ""
    new[LANDING_NAMES] = _landing_names()
    return {path: text for path, text in new.items() if text != texts[path]}


def main() -> int:
    parser = argparse.ArgumentParser(description="Write what is generated from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is stale")
    check = parser.parse_args().check
    for path, text in (stale := stale_files()).items():
        if check:
            print(f"{path.relative_to(REPO)} is stale: run make generate", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(REPO)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
