"""Scores by nearest-rank thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType

QUINTILES = (0.2, 0.4, 0.6, 0.8)
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Score:
    """A score column, the measure that it ranks, and the shares at which its thresholds lie."""

    name: str
    measure: str
    shares: tuple[float, ...]
    less_is_better: bool = False


def _value(score: Score, thresholds: Column) -> Column:
    measure = F.col(score.measure)
    below = F.size(F.filter(thresholds, lambda threshold: threshold < measure))
    best = len(score.shares) + 1
    return F.lit(best) - below if score.less_is_better else F.lit(1) + below


def with_scores(measures: DataFrame, ranked: Column, scores: Sequence[Score]) -> DataFrame:
    """Return `measures` with a column for each score.

    Thresholds are taken over the rows for which `ranked` holds; any other row, and one without the measure,
    scores 1. `percentile_disc` returns DOUBLE, which is exact for every value of up to 15 digits once it is
    cast back to the measure's own type. The thresholds are one row, joined to all: nothing is sorted.
    """
    thresholds = measures.where(ranked).agg(
        *(
            F.expr(
                f"percentile_disc(array({', '.join(f'{share}D' for share in score.shares)}))"
                f" WITHIN GROUP (ORDER BY {score.measure})"
            )
            .cast(ArrayType(measures.schema[score.measure].dataType))
            .alias(f"_{score.name}")
            for score in scores
        )
    )
    columns = {
        score.name: F.when(ranked & F.col(score.measure).isNotNull(), _value(score, F.col(f"_{score.name}"))).otherwise(
            F.lit(1)
        )
        for score in scores
    }
    return (
        measures.crossJoin(F.broadcast(thresholds)).withColumns(columns).drop(*(f"_{score.name}" for score in scores))
    )
