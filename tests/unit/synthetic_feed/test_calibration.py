"""The feed is like the source: its distributions, and the texts of its numbers."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from feeds.synthetic.calibration import parameters
from feeds.synthetic.csv_text import body, float32_texts
from feeds.synthetic.feed_settings import FeedSettings
from feeds.synthetic.lines import LineWriter
from spark_jobs.tables.source import SOURCE_NAMES
from tools import calibrate

SOURCE_DAYS = 1127
# Total variation distance: the share of lines (orders, customers) that would have to differ. Prices and the mix of
# products change in a feed, for which the source, without history, gives no measure; the rest is sampling.
TOLERANCE = {"market and category": 0.05, "category and quantity": 0.03, "orders per customer": 0.03}
USUAL_TOLERANCE = 0.02


@pytest.fixture(scope="module")
def generated() -> Any:
    """As many days as the source has, at its size: the newest delivery of each order item."""
    writer = LineWriter(FeedSettings())
    # Ten days more, so that every order has its last status; they are dropped again.
    lines = list(writer.lines(0, SOURCE_DAYS + 9))
    text = b"".join(bytes(body(each.text)) for each in lines)
    frame = pd.read_csv(io.BytesIO(text), names=list(SOURCE_NAMES), dtype=str, encoding="cp1252", keep_default_na=False)
    frame = frame[np.concatenate([each.order_days for each in lines]) < SOURCE_DAYS]
    return frame.drop_duplicates("Order Item Id", keep="last")


def distance(left: dict[str, int], right: dict[str, int]) -> float:
    shares = [{key: count / sum(counts.values()) for key, count in counts.items()} for counts in (left, right)]
    return sum(abs(shares[0].get(key, 0) - shares[1].get(key, 0)) for key in left.keys() | right.keys()) / 2


def test_the_distributions_are_those_of_the_parameters(generated: pd.DataFrame) -> None:
    found, expected = calibrate.marginals(generated), parameters()["marginals"]
    distances = {name: distance(found[name], expected[name]) for name in expected}
    assert {name: far for name, far in distances.items() if far > TOLERANCE.get(name, USUAL_TOLERANCE)} == {}
    assert len(generated) == pytest.approx(sum(expected["discount rate"].values()), rel=0.02)
    means, prices = parameters()["mean_prices_in_cents"], calibrate.mean_prices(generated)
    assert prices == {name: pytest.approx(mean, rel=0.15) for name, mean in means.items()}


def test_what_the_source_never_has_the_feed_never_has(generated: pd.DataFrame) -> None:
    for name in ("payment and status", "shipping mode and days", "market and region", "category and department"):
        assert calibrate.marginals(generated)[name].keys() <= parameters()["marginals"][name].keys()


def test_the_parameters_are_those_of_the_source(dataco: Path) -> None:
    assert json.loads(json.dumps(calibrate.calibrate(calibrate.read_source(dataco)))) == parameters()


def test_numbers_are_written_as_in_the_source(dataco: Path) -> None:
    lines = calibrate.read_source(dataco)
    for column in (
        "Sales",
        "Order Item Total",
        "Order Item Discount",
        "Order Profit Per Order",
        "Order Item Profit Ratio",
    ):
        texts = lines[column].unique()
        written = float32_texts(np.round(texts.astype(float) * 100) / 100).to_pylist()
        assert [text.decode() for text in written] == list(texts), column
    for column in ("Latitude", "Longitude"):
        texts = lines[column].unique()
        assert [text.decode() for text in float32_texts(texts.astype(float)).to_pylist()] == list(texts), column


def test_numbers_without_the_source() -> None:
    numbers = np.array([0, 0.04, 0.07, 1, -0.8, 30.57, 59.99, 95.18, 327.75, 999.99, 1999.99, -249.09, 18.2514534])
    assert [text.decode() for text in float32_texts(numbers).to_pylist()] == [
        *("0", "0.039999999", "0.07", "1", "-0.800000012", "30.5699997", "59.99000168", "95.18000031"),
        *("327.75", "999.9899902", "1999.98999", "-249.0899963", "18.2514534"),
    ]
    with pytest.raises(ValueError, match="below a million"):
        float32_texts(np.array([1e6]))


def test_the_parameter_file_is_small() -> None:
    assert (calibrate.FOLDER / calibrate.PARAMETERS_FILE).stat().st_size < 200_000
