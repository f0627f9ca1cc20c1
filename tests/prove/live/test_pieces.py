"""A day that lands in sixty pieces, published as it grows, has the tables of the day that landed in one."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import date
from random import Random

import pytest

from local_workspace.spark_sessions import SparkSessions
from spark_jobs.runtime.job_parameters import BuildParameters
from spark_jobs.runtime.table_names import LAYERS
from tests.prove.budget import only_in_make_prove, rounds
from tests.spark.publishing.conftest import email_key, new_lakehouse
from tests.spark.publishing.lakehouse import REPO, Lakehouse, order_item

__all__ = ["email_key", "new_lakehouse"]
pytestmark = [pytest.mark.timed, only_in_make_prove("tests/cases/test_open_days.py")]
DAY, BEFORE, AFTER = date(2018, 1, 5), "2018-01-04", date(2018, 1, 6)
PIECES = 60


def lines(piece: int, random: Random) -> list[dict[str, str] | str]:
    """Items of the day, new ones and such that came before, and now and then a broken line."""
    items = [
        order_item(
            random.randint(1, 200),
            customer=random.randint(1, 20),
            product=random.randint(1, 6),
            segment=random.choice(["Consumer", "Corporate"]),
            status=random.choice(["COMPLETE", "CANCELED"]),
            day=random.randint(3, 5),
        )
        for _ in range(random.randint(1, 4))
    ]
    unique = {item["Order Item Id"]: item for item in items}
    return [*unique.values(), *(["no order item"] if piece % 30 == 0 else [])]


class Stream:
    """Live runs of a lakehouse, some of which are killed at any commit."""

    def __init__(self, lakehouse: Lakehouse, spark_remote: str, tried: Counter[str]) -> None:
        self._lakehouse, self._remote, self._tried = lakehouse, spark_remote, tried

    def run(self, today: date) -> None:
        """One look, and what it finds through all layers."""
        found = self._lakehouse.look(today)
        layers = LAYERS if found.pop("changed") == "true" else LAYERS[1:]
        if found.pop("behind") == "true":
            self._lakehouse.run(found.pop("interval_start"), found.pop("interval_end"), layers, audited=True, **found)
            self._tried["live runs" if layers == LAYERS else "runs of what was left behind"] += 1

    def run_that_dies(self, today: date, random: Random) -> None:
        """One look, and a run that dies in one of the layers; nobody tries it again."""
        found = self._lakehouse.look(today)
        if found.pop("changed") != "true":
            return
        start, end, killed = found.pop("interval_start"), found.pop("interval_end"), random.randrange(len(LAYERS))
        self._lakehouse.run(start, end, layers=LAYERS[:killed], audited=False, **found)
        self._die(self._lakehouse.parameters(LAYERS[killed], start, end, **found), random.randint(1, 12), random)

    def _die(self, parameters: BuildParameters, number: int, random: Random) -> None:
        session = str(uuid.uuid4())
        moment = random.choice(["before", "after"])
        done = subprocess.run(
            [sys.executable, "-m", "tests.prove.crashes.dying_run", json.dumps(parameters.as_texts()),
             f"{number} {moment}"],
            cwd=REPO, env=os.environ | {"SPARK_REMOTE": f"{self._remote};user_id=lakehouse;session_id={session}"},
            text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode in (0, -signal.SIGKILL), done.stderr[-3000:]
        port, token = re.search(r":(\d+)/.*token=([^;]+)", self._remote).groups()  # type: ignore[union-attr]
        sessions = SparkSessions(int(port), token, "lakehouse")
        sessions.end(session, interrupt=True)
        sessions.close()
        self._tried["killed runs"] += done.returncode != 0


def test_a_day_in_sixty_pieces_is_the_day_in_one(
    new_lakehouse: Callable[[], Lakehouse],
    spark_remote: str,
) -> None:
    """With files that are replaced, removed and withdrawn, runs that die, and daily runs of the same date between."""
    tried: Counter[str] = Counter()
    for round_ in rounds():
        random, lakehouse, single = Random(round_), new_lakehouse(), new_lakehouse()
        stream = Stream(lakehouse, spark_remote, tried)
        lakehouse.land(BEFORE, *(order_item(n, customer=n, day=4) for n in range(1, 9)))
        pieces: dict[str, list[dict[str, str] | str]] = {}
        for piece in range(PIECES):
            pieces[f"{piece:02}.csv"] = lines(piece, random)
            lakehouse.deliver(str(DAY), pieces)
            chance = random.random()
            if chance < 0.2:
                stream.run(DAY)
            elif chance < 0.25:
                stream.run_that_dies(DAY, random)
            elif chance < 0.3:
                lakehouse.run(str(DAY), str(AFTER), audited=False)
                tried["daily runs"] += 1
            elif chance < 0.35:
                pieces.pop(random.choice(list(pieces)))
                lakehouse.deliver(str(DAY), pieces)
                tried["removed files"] += 1
            elif chance < 0.4:
                pieces[random.choice(list(pieces))] = lines(1, random)
                lakehouse.deliver(str(DAY), pieces)
                tried["replaced files"] += 1
        stream.run(AFTER)
        shutil.copytree(lakehouse.landing, single.landing, dirs_exist_ok=True)
        single.run(BEFORE, str(AFTER))
        assert lakehouse.everything() == single.everything(), f"round {round_}"
        newest = lakehouse.publications.newest("bronze")
        assert newest is not None
        assert list(newest.open_dates) == []
        for one in (lakehouse, single):
            one.drop()
    print("tried " + ", ".join(f"{count} {what}" for what, count in tried.items()))
