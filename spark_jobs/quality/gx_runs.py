"""Great Expectations, run on frames: suites as their files say, results without private values."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from spark_jobs.quality.findings import PRIVATE, is_private
from spark_jobs.quality.suites import SuiteFile, SuiteRefused

UNEXPECTED_ROWS = 1000
SHOWN_ROWS = 20


def ephemeral_context() -> Any:
    """An ephemeral context: it writes nothing, and nothing phones home. GX costs seconds to import: only here."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    context.variables.analytics_enabled = False
    return context


def batch_definition(context: Any, asset: str, wide: bool) -> Any:
    """For a Spark frame (`wide`) or a pandas frame."""
    sources = context.data_sources
    source = sources.add_spark(asset, persist=False) if wide else sources.add_pandas(asset)
    return source.add_dataframe_asset(asset).add_batch_definition_whole_dataframe("whole")


def check_types(suite: SuiteFile) -> None:
    """An expectation class that was not imported would vanish silently from the loaded suite."""
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    unknown = sorted(set(suite.types()) - set(list_registered_expectation_implementations()))
    if unknown:
        raise SuiteRefused(f"gx/suites/{suite.name}.json: Great Expectations knows no {', '.join(unknown)}")


def load(suite: SuiteFile, only: Sequence[dict[str, Any]] | None = None) -> Any:
    """Raises SuiteRefused if Great Expectations loads anything else than the file says."""
    import great_expectations as gx

    wanted = list(suite.expectations if only is None else only)
    try:
        loaded = gx.ExpectationSuite(
            name=suite.name,
            expectations=[
                {
                    "type": e["type"],
                    "kwargs": e["kwargs"],
                    "meta": e.get("meta") or {},
                    "severity": e["severity"],
                }
                for e in wanted
            ],
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, it must become a refusal and not a pass
        raise SuiteRefused(f"gx/suites/{suite.name}.json does not load: {in_short(error)}") from None
    types = sorted(e.expectation_type for e in loaded.expectations)
    if types != sorted(e["type"] for e in wanted):
        raise SuiteRefused(
            f"gx/suites/{suite.name}.json has {len(wanted)} expectations, of which {len(types)} were loaded"
        )
    return loaded


def run(context: Any, suite: Any, batch: tuple[Any, Any, bool], parameters: dict[str, Any], result_format: Any) -> Any:
    """The result of one suite on one frame; `batch` is its definition, the frame, and whether it is a Spark frame."""
    import great_expectations as gx

    definition, measured, _ = batch
    name = f"{definition.data_asset.name}-{suite.name}-{len(list(context.validation_definitions.all()))}"
    suite.name = name
    validation = context.validation_definitions.add(
        gx.ValidationDefinition(name=name, data=definition, suite=context.suites.add(suite))
    )
    return validation.run(
        batch_parameters={"dataframe": measured},
        expectation_parameters=parameters,
        result_format=result_format,
    )


def add_samples(
    context: Any,
    suite: SuiteFile,
    batch: tuple[Any, Any, bool],
    parameters: dict[str, Any],
    outcome: Any,
    index: Sequence[str],
) -> None:
    """Looks again, for the unexpected rows, at those expectations only that were not met.

    BOOLEAN_ONLY lets all expectations share one Spark job; fetching rows takes one a piece.
    """
    for one in outcome.results:
        if one.success or raised(one):
            continue
        config = one.expectation_config
        kwargs = {k: v for k, v in config.kwargs.items() if k != "batch_id"}
        private = is_private(config.type, kwargs)
        again = {"type": config.type, "kwargs": kwargs, "severity": "critical", "meta": {}}
        result_format = {
            "result_format": "SUMMARY",
            "unexpected_index_column_names": [name for name in index if name in batch[1].columns],
            "partial_unexpected_count": UNEXPECTED_ROWS,
            "exclude_unexpected_values": private,
        }
        second = run(context, load(suite, [again]), batch, parameters, result_format).results[0]
        if second.success or raised(second):
            continue
        one.result = dict(second.result)
        if found := one.result.get("partial_unexpected_index_list"):
            one.result["unexpected_index_list"] = one.result["partial_unexpected_index_list"] = _rows(found)


def _rows(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One dictionary a row; without unexpected values Great Expectations gives one of lists, a list a column."""
    rows: list[dict[str, Any]] = []
    for one in found:
        if all(isinstance(value, list) for value in one.values()):
            rows += [dict(zip(one, values, strict=True)) for values in zip(*one.values(), strict=True)]
        else:
            rows.append(one)
    return rows


def raised(one: Any) -> str | None:
    """In short, what an expectation raised; None if it was evaluated."""
    info = one.exception_info or {}
    inner = [info] if "raised_exception" in info else [v for v in info.values() if isinstance(v, dict)]
    for each in inner:
        if each.get("raised_exception"):
            return _first_line(each.get("exception_message") or "an exception without a message")
    if one.success is None:
        return "it has no result"
    return None


def remove_private_values(outcome: Any) -> None:
    """Data Docs show results: private values, long lists of rows and tracebacks go."""
    for one in outcome.results:
        if message := raised(one):
            one.exception_info = {
                "raised_exception": True,
                "exception_message": message,
                "exception_traceback": "",
            }
        result = dict(one.result)
        if is_private(one.expectation_config.type, dict(one.expectation_config.kwargs)):
            result = {k: v for k, v in result.items() if v is None or isinstance(v, int | float)}
        for name in [n for n in result if n.startswith(("unexpected_", "partial_unexpected_"))]:
            if isinstance(result[name], list):
                result[name] = [
                    {k: v for k, v in row.items() if k not in PRIVATE} if isinstance(row, dict) else row
                    for row in result[name][:SHOWN_ROWS]
                ]
        result.pop("unexpected_index_query", None)
        one.result = result


def in_short(error: Exception) -> str:
    """An error in a line that holds no data."""
    return f"{type(error).__name__}: {_first_line(str(error))}"


def _first_line(text: str) -> str:
    """Enough to know what it is about. Spark quotes data in single quotes, and columns in backticks."""
    line = (text.strip().splitlines() or [""])[0]
    return re.sub(r"'[^']*'", "'...'", line)[:200]
