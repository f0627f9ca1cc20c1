"""Any feed, in any order and any split, with reruns in between: equal tables, through build, gate and publish."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from pyspark.sql import SparkSession

from tests.prove.budget import minutes, rounds
from tests.prove.histories.copies import StreamedCopies
from tests.prove.histories.feeds import Convoy, convoys
from tests.prove.histories.player import Player, comparable, expected, found, run_as_one
from tests.spark.conftest import serverless  # noqa: F401 - the jobs run as on serverless compute
from tests.spark.publishing.conftest import email_key  # noqa: F401
from tests.spark.publishing.lakehouse import Lakehouse

FIRST_SEED = 7
"""Of the convoy that is all in the suite: days that come out of order are incremental on a published one."""


@pytest.mark.timed
def test_any_feed_gives_the_tables_of_one_single_run_and_of_the_oracle(
    spark: SparkSession,
    email_key: None,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    tried: Counter[str] = Counter()
    numbers = itertools.count()

    def new_lakehouse() -> Lakehouse:
        return Lakehouse(spark, tmp_path_factory.mktemp("lakehouse"), f"prove{next(numbers)}_")

    def holds(convoy: Convoy) -> None:
        assume(convoy.lines)  # Hypothesis begins with the least of all, in which nothing lands
        tried["convoys"] += 1
        tried["feeds"] += convoy.feeds
        lakehouse, single = new_lakehouse(), new_lakehouse()
        copies = StreamedCopies(lakehouse, tmp_path_factory.mktemp("checkpoints"))
        try:
            player = Player(lakehouse, tried)
            player.play(convoy)
            copies.check()
            run_as_one(single, player)
            assert lakehouse.everything() == single.everything(), "not the tables of one single run"
            tables, by_oracle = found(lakehouse), expected(player.landed)
            for table in by_oracle:
                assert comparable(tables[table]) == comparable(by_oracle[table]), f"{table} is not what the oracle says"
        finally:
            copies.stop()
            lakehouse.drop()
            single.drop()

    for number in rounds():
        _tries(holds, number)
    assert tried["gold runs"] > tried["convoys"], "each convoy's last run is its only one: nothing was incremental"
    print("tried " + ", ".join(f"{count} {what}" for what, count in tried.items()))


def _tries(holds: Callable[[Convoy], None], number: int) -> None:
    """A few convoys that follow from the number of the round (one in the suite). `make prove` shrinks a failure."""
    few = settings(
        max_examples=1 if minutes() is None else 4,
        database=None,
        deadline=None,
        phases=(Phase.generate,) if minutes() is None else (Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    seed(FIRST_SEED + number)(few(given(convoys())(holds)))()
