"""Runs a layer's checkpoint with Great Expectations, and fails closed (design, section 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_jobs.quality import frames, gx_runs
from spark_jobs.quality.findings import column_of, findings, rule_text
from spark_jobs.quality.suites import CheckpointFile, SuiteFile, SuiteRefused, read_checkpoint, read_suite
from spark_jobs.quality.verdict import Finding, Statistics

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

MEASURED_AT_ONCE = 4


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
            name: pool.submit(frames.measured, name, frame)
            for name, frame in assets.items()
            if name in checkpoint.suites
        }
        context = gx_runs.ephemeral_context()
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
    return {name: frames.plain(known[name]) for name in sorted(known) if name in known or name in checkpoint.parameters}


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
            gx_runs.check_types(suite)
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
        wide = not frames.is_pandas(frame)
        batch = gx_runs.batch_definition(context, asset, wide)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must become a failure and not a pass
        tally.refuse(asset, "asset", f"could not be measured: {gx_runs.in_short(error)}")
        return
    for suite in read:
        _judge(context, asset, suite, (batch, frame, wide), parameters, tally)


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
        outcome = gx_runs.run(
            context, gx_runs.load(suite), batch, parameters, {"result_format": "BOOLEAN_ONLY"} if wide else rows
        )
        if len(outcome.results) != len(suite.expectations):
            raise SuiteRefused(
                f"of {len(suite.expectations)} expectations in {suite.name} {len(outcome.results)} were evaluated"
            )
        if wide:
            gx_runs.add_samples(context, suite, batch, parameters, outcome, frames.WIDE_ASSETS[asset])
    except SuiteRefused as refused:
        tally.refuse(asset, "suite", str(refused))
        return
    except Exception as error:  # noqa: BLE001 - see above
        tally.refuse(asset, "suite", f"{suite.name} could not be evaluated: {gx_runs.in_short(error)}")
        return
    for one in outcome.results:
        _count(asset, one, tally)
    gx_runs.remove_private_values(outcome)
    for one in outcome.results:
        # The renderers take it for granted, and BOOLEAN_ONLY leaves it out.
        if one.expectation_config.type == "expect_table_columns_to_match_ordered_list":
            one.result.setdefault("observed_value", list(measured.columns))
    tally.judgements.append(Judgement(asset, suite.name, outcome))


def _count(asset: str, one: Any, tally: _Tally) -> None:
    config = one.expectation_config
    kwargs = {k: v for k, v in config.kwargs.items() if k != "batch_id"}
    meta = dict(config.meta or {})
    severity = str(getattr(config.severity, "value", config.severity))
    tally.evaluated += 1
    if raised := gx_runs.raised(one):
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
