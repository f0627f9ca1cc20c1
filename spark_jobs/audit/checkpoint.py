"""Runs a layer's checkpoint with Great Expectations, and fails closed (design, section 2)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from spark_jobs.audit.findings import PRIVATE, column_of, findings, is_private, rule_text
from spark_jobs.audit.suites import CheckpointFile, SuiteFile, SuiteRefused, read_checkpoint, read_suite
from spark_jobs.audit.verdict import Finding, Statistics

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

# Assets that stay in Spark, being as long as the data, with the columns by which their rows are told. All others
# are a few rows, which Great Expectations judges much faster as a pandas frame: one action each.
WIDE_ASSETS: dict[str, tuple[str, ...]] = {"order_items": ("landing_date", "source_file", "order_item_id")}
MEASURED_AT_ONCE = 4
UNEXPECTED_ROWS = 1000
SHOWN_ROWS = 20


@dataclass(frozen=True)
class Judgement:
    """One suite's result on one asset, as Great Expectations gives it, without private values: for Data Docs."""

    asset: str
    suite: str
    result: Any


@dataclass(frozen=True)
class AuditResult:
    """What a checkpoint found. `success` is true only if every expectation of every suite was evaluated."""

    layer: str
    statistics: Statistics
    failures: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    parameters: dict[str, Any]
    judgements: tuple[Judgement, ...] = field(repr=False, default=())

    @property
    def success(self) -> bool:
        return not self.failures and self.statistics.evaluated > 0


@dataclass
class _Tally:
    """What is being counted while the checkpoint runs."""

    evaluated: int = 0
    failed: int = 0
    warned: int = 0
    failures: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)

    def refuse(self, asset: str, expectation: str, message: str, column: str | None = None) -> None:
        """Something that was not judged, and therefore does not pass."""
        self.failed += 1
        self.failures.append(Finding(asset, expectation, column, "critical", f"{asset}: {message}"))


def run_checkpoint(
    layer: str,
    assets: Mapping[str, DataFrame | pd.DataFrame],
    parameters: Mapping[str, Any] | None = None,
    *,
    empty_change: bool = False,
) -> AuditResult:
    """Judges each asset by its suites. `parameters` are suite parameters that differ from the checkpoint's own.

    Never raises for what is wrong with suites or data: whatever is missing, empty, unknown, unresolved, or
    raises is a failure by name.
    """
    tally = _Tally()
    given = dict(parameters or {})
    try:
        checkpoint = read_checkpoint(layer, empty_change)
    except SuiteRefused as refused:
        tally.refuse("checkpoint", "checkpoint", str(refused))
        return _result(layer, tally, given)
    known = {**checkpoint.parameters, **given}
    for name in sorted(set(assets) - set(checkpoint.suites)):
        tally.refuse(name, "suite", f"gx/checkpoints/{layer}.json has no suite for this asset")
    # Small assets are measured at the same time: most of what they take is Spark's planning, not its work.
    with ThreadPoolExecutor(max_workers=MEASURED_AT_ONCE) as pool:
        measured = {
            name: pool.submit(_measured, name, frame) for name, frame in assets.items() if name in checkpoint.suites
        }
        context = _context()
        for asset, suites in checkpoint.suites.items():
            if asset not in measured:
                tally.refuse(asset, "asset", "there is nothing to judge: the audit did not measure it")
                continue
            _judge_asset(context, asset, suites, measured[asset], known, tally)
    if not tally.evaluated:
        tally.refuse("checkpoint", "checkpoint", "no expectation was evaluated")
    return _result(layer, tally, _used(checkpoint, known))


def _result(layer: str, tally: _Tally, parameters: dict[str, Any]) -> AuditResult:
    statistics = Statistics(
        evaluated=tally.evaluated,
        successful=max(0, tally.evaluated - tally.failed - tally.warned),
        failed=tally.failed,
        warnings=tally.warned,
    )
    return AuditResult(
        layer,
        statistics,
        tuple(tally.failures),
        tuple(tally.warnings),
        parameters,
        tuple(tally.judgements),
    )


def _used(checkpoint: CheckpointFile, known: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain(known[name]) for name in sorted(known) if name in known or name in checkpoint.parameters}


def _context() -> Any:
    """An ephemeral context: it writes nothing, and nothing phones home. GX costs seconds to import: only here."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    context.variables.analytics_enabled = False
    return context


def _judge_asset(
    context: Any,
    asset: str,
    suites: Sequence[str],
    measured: Future[Any],
    parameters: dict[str, Any],
    tally: _Tally,
) -> None:
    if not suites:
        tally.refuse(asset, "suite", "the checkpoint names no suite for this asset")
    read: list[SuiteFile] = []
    for name in suites:
        try:
            suite = read_suite(name)
            _check_types(suite)
        except SuiteRefused as refused:
            tally.refuse(asset, "suite", str(refused))
            continue
        if unresolved := sorted(suite.parameters() - set(parameters)):
            tally.refuse(asset, "suite", f"suite parameters of {name} have no value: {', '.join(unresolved)}")
            continue
        read.append(suite)
    if not read:
        return
    try:
        frame = measured.result()
        wide = not _is_pandas(frame)
        batch = _batch_definition(context, asset, wide)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must become a failure and not a pass
        tally.refuse(asset, "asset", f"could not be measured: {_in_short(error)}")
        return
    for suite in read:
        _judge(context, asset, suite, (batch, frame, wide), parameters, tally)


def _check_types(suite: SuiteFile) -> None:
    """An expectation class that was not imported would vanish silently from the loaded suite."""
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    unknown = sorted(set(suite.types()) - set(list_registered_expectation_implementations()))
    if unknown:
        raise SuiteRefused(f"gx/suites/{suite.name}.json: Great Expectations knows no {', '.join(unknown)}")


def _batch_definition(context: Any, asset: str, wide: bool) -> Any:
    sources = context.data_sources
    source = sources.add_spark(asset, persist=False) if wide else sources.add_pandas(asset)
    return source.add_dataframe_asset(asset).add_batch_definition_whole_dataframe("whole")


def _load(suite: SuiteFile, only: Sequence[dict[str, Any]] | None = None) -> Any:
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
    except Exception as error:  # noqa: BLE001 - see above
        raise SuiteRefused(f"gx/suites/{suite.name}.json does not load: {_in_short(error)}") from None
    types = sorted(e.expectation_type for e in loaded.expectations)
    if types != sorted(e["type"] for e in wanted):
        raise SuiteRefused(
            f"gx/suites/{suite.name}.json has {len(wanted)} expectations, of which {len(types)} were loaded"
        )
    return loaded


def _judge(
    context: Any,
    asset: str,
    suite: SuiteFile,
    batch: tuple[Any, Any, bool],
    parameters: dict[str, Any],
    tally: _Tally,
) -> None:
    _, measured, wide = batch
    try:
        rows = {"result_format": "COMPLETE", "unexpected_index_column_names": list(measured.columns)}
        outcome = _run(context, _load(suite), batch, parameters, {"result_format": "BOOLEAN_ONLY"} if wide else rows)
        if len(outcome.results) != len(suite.expectations):
            raise SuiteRefused(
                f"of {len(suite.expectations)} expectations in {suite.name} {len(outcome.results)} were evaluated"
            )
        if wide:
            _add_samples(context, suite, batch, parameters, outcome, WIDE_ASSETS[asset])
    except SuiteRefused as refused:
        tally.refuse(asset, "suite", str(refused))
        return
    except Exception as error:  # noqa: BLE001 - see above
        tally.refuse(asset, "suite", f"{suite.name} could not be evaluated: {_in_short(error)}")
        return
    for one in outcome.results:
        _count(asset, one, tally)
    _without_private_values(outcome)
    for one in outcome.results:
        # The renderers take it for granted, and BOOLEAN_ONLY leaves it out.
        if one.expectation_config.type == "expect_table_columns_to_match_ordered_list":
            one.result.setdefault("observed_value", list(measured.columns))
    tally.judgements.append(Judgement(asset, suite.name, outcome))


def _run(context: Any, suite: Any, batch: tuple[Any, Any, bool], parameters: dict[str, Any], result_format: Any) -> Any:
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


def _add_samples(
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
        if one.success or _raised(one):
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
        second = _run(context, _load(suite, [again]), batch, parameters, result_format).results[0]
        if second.success or _raised(second):
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


def _raised(one: Any) -> str | None:
    """In short, what an expectation raised; None if it was evaluated."""
    info = one.exception_info or {}
    inner = [info] if "raised_exception" in info else [v for v in info.values() if isinstance(v, dict)]
    for each in inner:
        if each.get("raised_exception"):
            return _first_line(each.get("exception_message") or "an exception without a message")
    if one.success is None:
        return "it has no result"
    return None


def _count(asset: str, one: Any, tally: _Tally) -> None:
    config = one.expectation_config
    kwargs = {k: v for k, v in config.kwargs.items() if k != "batch_id"}
    meta = dict(config.meta or {})
    severity = str(getattr(config.severity, "value", config.severity))
    tally.evaluated += 1
    if raised := _raised(one):
        rule = rule_text(kwargs, config.type, meta)
        message = f"{rule} — could not be evaluated: {raised}"
        tally.refuse(asset, config.type, message, column_of(config.type, kwargs))
    elif not one.success:
        told = findings(asset, config.type, severity, kwargs, meta, dict(one.result))
        if severity == "warning":
            tally.warned += 1
            tally.warnings += told
        else:
            tally.failed += 1
            tally.failures += told


def _without_private_values(outcome: Any) -> None:
    """Data Docs show results: private values, long lists of rows and tracebacks go."""
    for one in outcome.results:
        if raised := _raised(one):
            one.exception_info = {
                "raised_exception": True,
                "exception_message": raised,
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


def _measured(asset: str, frame: Any) -> Any:
    return frame if asset in WIDE_ASSETS or _is_pandas(frame) else _collected(frame)


def _is_pandas(frame: Any) -> bool:
    import pandas as pd

    return isinstance(frame, pd.DataFrame)


def _collected(frame: DataFrame) -> pd.DataFrame:
    """A few rows as a pandas frame of plain Python values.

    Decimals become floats: against a limit from JSON, 0.03 must be 0.03, and a difference of a cent stays one.
    """
    import pandas as pd

    rows = [{name: _plain(value) for name, value in row.asDict().items()} for row in frame.collect()]
    rows.sort(key=lambda row: [("" if v is None else str(v)) for v in row.values()])
    return pd.DataFrame(rows, columns=frame.columns, dtype=object)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and abs(value) < 2**53 else float(value)
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


def _in_short(error: Exception) -> str:
    return f"{type(error).__name__}: {_first_line(str(error))}"


def _first_line(text: str) -> str:
    """Enough to know what it is about. Spark quotes data in single quotes, and columns in backticks."""
    line = (text.strip().splitlines() or [""])[0]
    return re.sub(r"'[^']*'", "'...'", line)[:200]
