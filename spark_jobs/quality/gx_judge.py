"""Great Expectations judges the counts of bad rows: it decides which rules hold."""

from __future__ import annotations

import os
from collections.abc import Mapping

from spark_jobs.quality.rules import Rule


def rules_that_hold(bad_rows: Mapping[str, tuple[Rule, int]]) -> dict[str, bool]:
    """Decide for each key whether its rule holds: it is expected to have 0 bad rows. Raises RuntimeError.

    The context is ephemeral: it writes nothing and reports nothing. GX costs seconds to import: only here.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    import pandas as pd
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.metadata_types import FailureSeverity

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    context.variables.analytics_enabled = False
    suite = gx.ExpectationSuite(
        name="rules",
        expectations=[
            gx.expectations.ExpectColumnValuesToBeBetween(
                column=key, min_value=0, max_value=0, severity=FailureSeverity(rule.severity), description=rule.says
            )
            for key, (rule, _) in bad_rows.items()
        ],
    )
    frame = pd.DataFrame({key: [count] for key, (_, count) in bad_rows.items()})
    batch = (
        context.data_sources.add_pandas("rules")
        .add_dataframe_asset("rules")
        .add_batch_definition_whole_dataframe("whole")
    )
    validation = context.validation_definitions.add(
        gx.ValidationDefinition(name="rules", data=batch, suite=context.suites.add(suite))
    )
    outcome = validation.run(batch_parameters={"dataframe": frame}, result_format="BOOLEAN_ONLY")
    found = {one.expectation_config.kwargs["column"]: one.success for one in outcome.results if one.expectation_config}
    holds = {key: success for key, success in found.items() if isinstance(success, bool)}
    raised = sorted(set(bad_rows) - set(holds))
    if raised or frame.isna().to_numpy().any():
        raise RuntimeError(f"Great Expectations did not judge {', '.join(raised) or 'a count that is missing'}")
    return holds
