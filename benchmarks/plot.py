"""Plot the benchmark: the initial load beside the alternatives, and a one-day run as history grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# The colours of Okabe and Ito, which people with any colour vision can tell apart.
TOOLS = {
    "product": ("this product", "initial_seconds", "#0072B2"),
    "one_process": ("one Spark process", "total_seconds", "#E69F00"),
    "duckdb": ("DuckDB", "total_seconds", "#009E73"),
}
# Ids in the SVG are hashes with this salt, which would be random otherwise; text stays text.
SALT = "ecommerce_lakehouse"


def plot(results: dict[str, Any], path: Path) -> None:
    """Draw two panels as SVG: seconds of the initial load by scale and tool, and seconds of a one-day run against the
    order items of history. Equal results give equal bytes.

    `results["scales"]` has for each scale ("1", "10", ...) its `order_items`, and for each tool that was measured there
    its seconds: `product` has `initial_seconds` and `day_seconds`, `one_process` and `duckdb` have `total_seconds`.
    What is missing, or None, is left out.
    """
    scales = [measured for _, measured in sorted(results["scales"].items(), key=lambda item: float(item[0]))]
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams["svg.hashsalt"] = SALT
        mpl.rcParams["svg.fonttype"] = "none"
        mpl.rcParams["font.size"] = 9
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        initial, day = figure.subplots(1, 2)
        _initial_load(initial, scales)
        _one_day(day, scales)
        if initial.containers:
            figure.legend(*initial.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(path, format="svg", metadata=nothing)


def _initial_load(axes: Axes, scales: list[dict[str, Any]]) -> None:
    shown = [
        measured for measured in scales if any(_seconds(measured, tool, key) for tool, (_, key, _) in TOOLS.items())
    ]
    width = 0.8 / len(TOOLS)
    for number, (tool, (label, key, colour)) in enumerate(TOOLS.items()):
        bars = [
            (place + (number - (len(TOOLS) - 1) / 2) * width, seconds)
            for place, measured in enumerate(shown)
            if (seconds := _seconds(measured, tool, key))
        ]
        if bars:
            places, heights = [place for place, _ in bars], [seconds for _, seconds in bars]
            drawn = axes.bar(places, heights, width, label=label, color=colour)
            axes.bar_label(drawn, fmt="{:,.0f}", padding=1, fontsize=7)
    axes.set_title("Initial load, raw files to gold")
    axes.set_xlabel("order items")
    axes.set_ylabel("seconds (log scale)")
    axes.set_yscale("log")
    axes.set_ylim(1, 2 * max(axes.get_ylim()))  # room for the numbers
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlim(-0.5, max(len(shown), 1) - 0.5)
    axes.set_xticks(range(len(shown)), [_thousands(measured) for measured in shown])


def _one_day(axes: Axes, scales: list[dict[str, Any]]) -> None:
    shown = [measured for measured in scales if _seconds(measured, "product", "day_seconds")]
    items = [measured["order_items"] for measured in shown]
    days = [measured["product"]["day_seconds"] for measured in shown]
    axes.set_title("One more day, by this product")
    axes.set_xlabel("order items of history (log scale)")
    axes.set_ylabel("seconds")
    if not shown:
        return
    axes.plot(items, days, marker="o", color=TOOLS["product"][2])
    for x, y in zip(items, days, strict=True):
        axes.annotate(f"{y:,.0f}", (x, y), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=7)
    axes.set_ylim(0, max(days) * 1.25)
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.minorticks_off()
    axes.set_xticks(items, [_thousands(measured) for measured in shown])


def _thousands(measured: dict[str, Any]) -> str:
    return f"{measured['order_items'] / 1000:,.0f} thousand"


def _seconds(measured: dict[str, Any], tool: str, key: str) -> float | None:
    return (measured.get(tool) or {}).get(key)
