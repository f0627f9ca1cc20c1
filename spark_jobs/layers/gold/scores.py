"""Scores by nearest-rank thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

QUINTILES, QUARTILES = 5, 4


@dataclass(frozen=True)
class Score:
    """A score column, the measure that it ranks, and into how many equal parts its thresholds divide the rows."""

    name: str
    measure: str
    parts: int
    less_is_better: bool = False
    least_where: str = "false"
    """Where a row has no such measure by its nature, and scores 1 (SQL)."""


def _value(score: Score, thresholds: Column) -> Column:
    measure = F.col(score.measure)
    below = F.size(F.filter(thresholds, lambda threshold: threshold < measure))
    return F.lit(score.parts) - below if score.less_is_better else F.lit(1) + below


def _thresholds(score: Score) -> Column:
    """Return the values at the nearest ranks ceil(k * n / parts), k = 1 .. parts - 1, of n sorted values."""
    values = f"_{score.name}"
    ranks = (f"int(({k} * bigint(size({values})) - 1) div {score.parts})" for k in range(1, score.parts))
    return F.array(*(F.expr(f"get({values}, {rank})") for rank in ranks))


def with_scores(measures: DataFrame, ranked: Column, scores: Sequence[Score]) -> DataFrame:
    """Return `measures` with a column for each score.

    Thresholds are taken over the rows for which `ranked` holds; any other row scores 1. A score is NULL where its
    measure is, which did not fit its type then, unless `least_where` holds. The thresholds are one row, joined to all.
    They are values of the measure, unchanged: `percentile_disc` would return DOUBLE, which is exact up to 15 digits.
    """
    values = measures.where(ranked).agg(
        *(F.sort_array(F.collect_list(score.measure)).alias(f"_{score.name}") for score in scores)
    )
    thresholds = values.select(*(_thresholds(score).alias(f"_{score.name}") for score in scores))
    columns = {
        score.name: F.when(~ranked, F.lit(1))
        .when(F.col(score.measure).isNotNull(), _value(score, F.col(f"_{score.name}")))
        .when(F.expr(score.least_where), F.lit(1))
        for score in scores
    }
    # Not `drop`, which Spark Connect analyses at once: in a declarative pipeline no table exists yet then.
    joined = measures.alias("measures").crossJoin(F.broadcast(thresholds))
    return joined.select("measures.*", *(value.alias(name) for name, value in columns.items()))
