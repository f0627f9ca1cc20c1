"""The summary of a run, for people: tables, gates, some groups, and where to look further."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.columns import Columns
from rich.console import Console
from rich.table import Table
from rich.text import Text

from laptop.airflow_client import AirflowClient
from laptop.follow import RunResult
from laptop.laptop_state import LaptopState
from machine.command_line import UserError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LAYERS = ("bronze", "silver", "gold")
SEGMENTS = "SELECT rfm_segment, count(*) FROM gold.customers360 GROUP BY ALL ORDER BY 2 DESC, 1"
TIERS = "SELECT performance_tier, count(*) FROM gold.products360 GROUP BY ALL ORDER BY 2 DESC, 1"
PRIORITIES = "SELECT strategic_priority, count(*) FROM gold.products360 GROUP BY ALL ORDER BY 2 DESC, 1"


@dataclass(frozen=True)
class LayerReport:
    """A layer's verdict, its publication, and where to look at them."""

    layer: str
    verdict: dict[str, Any]
    publication: dict[str, Any]
    run_pages: dict[str, str]
    data_docs: str


def layer_reports(state: LaptopState, client: AirflowClient, result: RunResult) -> list[LayerReport]:
    """Return what the run's gates wrote to XCom, and its publish jobs to the ops volume. Raises UserError if none."""
    reports = []
    for layer in LAYERS:

        def xcom(task: str, key: str, layer: str = layer) -> Any:
            return client.xcom(result.dag_id, result.run_id, f"{layer}.{task}", key)

        verdict = _object(xcom("gate", "verdict"))
        publish_run = xcom("publish", "run_id")
        path = state.ops / "publications" / f"{publish_run}.json"
        if not path.exists():
            raise UserError(
                f"the publish job of {layer} (run {publish_run}) has written no publication: {path} is missing."
            )
        pages = {task: str(xcom(task, "run_page_url")) for task in ("build", "publish")}
        data_docs = state.ops / "data_docs" / layer / str(verdict.get("build_id")) / "index.html"
        publication = json.loads(path.read_text(encoding="utf-8"))
        reports.append(LayerReport(layer, verdict, publication, pages, data_docs.as_uri()))
    return reports


def show(
    state: LaptopState, client: AirflowClient, result: RunResult, spark: SparkSession, seconds: float, stays: bool
) -> None:
    """Print the summary. `stays`: the services keep running, so links to them work."""
    # Without a terminal there is no width to keep to, and a link must not be cut in two.
    console = Console() if sys.stdout.isatty() else Console(width=160)
    reports = layer_reports(state, client, result)
    rows = reports[0].verdict.get("rows") or {}
    landed, valid, quarantined = (int(rows.get(name, 0)) for name in ("landed", "valid", "quarantined"))
    console.rule("[bold]The lakehouse")
    console.print(
        f"[bold]{landed:,}[/] lines landed  =  [green]{valid:,}[/] valid  +  [yellow]{quarantined:,}[/] quarantined\n"
    )
    console.print(tables(reports))
    console.print(gates(reports))
    for report in reports:
        for line in report.verdict.get("warnings") or []:
            console.print(f"[yellow]{report.layer} warns[/]", Text(str(line)))
    groups = [
        ("customers by segment", SEGMENTS),
        ("products by tier", TIERS),
        ("products by priority", PRIORITIES),
    ]
    console.print(Columns([counts(title, [tuple(row) for row in spark.sql(sql).collect()]) for title, sql in groups]))
    console.print(links(client, result, reports, stays))
    console.print(f"\n[bold green]Everything succeeded[/] after {seconds:.0f} s.")


def tables(reports: list[LayerReport]) -> Table:
    """List each published table with its rows and its Delta version."""
    table = _table("published tables")
    table.add_column("table")
    table.add_column("rows", justify="right")
    table.add_column("Delta version", justify="right")
    for report in reports:
        for name, published in report.publication["tables"].items():
            table.add_row(name, f"{published['rows']:,}", str(published["version"]))
    return table


def gates(reports: list[LayerReport]) -> Table:
    """List each gate with the number of rules that hold."""
    table = _table("gates")
    for column in ("gate", "rules that hold", "warnings", "publication"):
        table.add_column(column, justify="left" if column == "gate" else "right")
    for report in reports:
        statistics = report.verdict["statistics"]
        hold = f"{statistics['successful']} of {statistics['evaluated']}"
        table.add_row(report.layer, hold, str(statistics["warnings"]), str(report.publication["seq"]))
    return table


def counts(title: str, rows: list[tuple[Any, ...]]) -> Table:
    """List groups, each with its size and a bar."""
    table = Table(title=title, title_justify="left", box=None, show_header=False, padding=(0, 3, 0, 1))
    table.add_column("")
    table.add_column("", justify="right")
    table.add_column("")
    most = max((int(row[1]) for row in rows), default=1)
    for name, count in rows:
        table.add_row(str(name), f"{count:,}", "[cyan]" + "▇" * max(1, round(12 * count / most)))
    return table


def links(client: AirflowClient, result: RunResult, reports: list[LayerReport], stays: bool) -> Table:
    """List where to look further."""
    table = Table(box=None, show_header=False, padding=(0, 1), title="look further", title_justify="left")
    table.add_column("", no_wrap=True)
    table.add_column("", overflow="fold")
    for report in reports:
        table.add_row(f"Data Docs, {report.layer}", report.data_docs)
    if stays:
        for report in reports:
            table.add_row(f"run page, {report.layer} build", report.run_pages["build"])
        table.add_row("Airflow run", client.run_page(result.dag_id, result.run_id))
    else:
        table.add_row("Airflow and run pages", "make up, or next time make demo KEEP=1")
    table.add_row("the data", 'make query SQL="select * from gold.customers360 limit 5"')
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD)


def _object(value: Any) -> dict[str, Any]:
    """Parse a verdict in XCom, which the API gives as JSON text unless it is to interpret it."""
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise UserError("a gate has written no verdict to XCom; its log gives the reason.")
    return found
