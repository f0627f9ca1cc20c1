"""Count the real data set, into parameters.json: distributions and vocabularies, no rows.

    python -m tools.calibrate DataCoSupplyChainDataset.csv.xz

Product names, prices and categories and the places of stores and deliveries are the source's vocabulary, each with its
count. Names of people and streets are not copied: they come from the lists of the library Faker, which `--names` copies
into names.json, so that feeds do not depend on the installed version.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import pandas as pd

from feeds import synthetic
from feeds.synthetic.calibration import NAMES_FILE, PARAMETERS_FILE

SOURCE = (
    "Counts of: Constante, Fabian; Silva, Fernando; Pereira, António (2019), DataCo SMART SUPPLY CHAIN FOR BIG DATA"
    " ANALYSIS, Mendeley Data, V5, doi 10.17632/8gx2fvg2k6.5, CC BY 4.0"
)
# From this date on the source has only first orders of new customers, and other products.
BREAK = pd.Timestamp("2017-10-02")
FOLDER = Path(synthetic.__file__).parent
_FORMAT = "%m/%d/%Y %H:%M"
# The profit ratio's text is rounded to a per cent; large amounts show a tenth of a per cent more.
_LARGE = 20_000


def read_source(data: Path) -> pd.DataFrame:
    """Read all lines of the source (plain, .xz, .gz or .zip) as text."""
    return pd.read_csv(data, encoding="cp1252", dtype=str, keep_default_na=False)


def cents(texts: pd.Series) -> pd.Series:
    return (texts.astype(float) * 100).round().astype(int)


def moments(texts: pd.Series) -> pd.Series:
    return pd.to_datetime(texts, format=_FORMAT)


def marginals(lines: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count the distributions by which a feed is compared with the source: for each, value -> count.

    `lines` hold each order item once, as texts.
    """
    orders = lines.drop_duplicates("Order Id")

    def counted(frame: pd.DataFrame, *columns: str) -> dict[str, int]:
        joint = frame[columns[0]]
        for column in columns[1:]:
            joint = joint + " | " + frame[column]
        return _counts(joint)

    days = moments(orders["order date (DateOrders)"])
    return {
        "payment and status": counted(orders, "Type", "Order Status"),
        "status and delivery": counted(orders, "Order Status", "Delivery Status"),
        "shipping mode and days": counted(
            orders, "Shipping Mode", "Days for shipment (scheduled)", "Days for shipping (real)"
        ),
        "market and region": counted(orders, "Market", "Order Region"),
        "country": counted(orders, "Order Country"),
        "segment": counted(orders, "Customer Segment"),
        "store state": counted(orders, "Customer State"),
        "weekday": _counts(days.dt.dayofweek.astype(str)),
        "orders per customer": _counts(orders["Customer Id"].value_counts().astype(str)),
        "items per order": _counts(lines["Order Id"].value_counts().astype(str)),
        "category and department": counted(lines, "Category Name", "Department Name"),
        "market and category": counted(lines, "Market", "Category Name"),
        "category and quantity": counted(lines, "Category Name", "Order Item Quantity"),
        "discount rate": counted(lines, "Order Item Discount Rate"),
        "profit ratio": counted(lines, "Order Item Profit Ratio"),
    }


def mean_prices(lines: pd.DataFrame) -> dict[str, int]:
    """Return mean price of the items of each category, in cents."""
    means = cents(lines["Product Price"]).groupby(lines["Category Name"]).mean()
    return {str(name): round(float(value)) for name, value in means.sort_index().items()}


def calibrate(lines: pd.DataFrame) -> dict[str, Any]:
    """Count what parameters.json holds."""
    lines = lines.assign(day=moments(lines["order date (DateOrders)"]).dt.normalize())
    first_day = lines.groupby("Customer Id")["day"].transform("min")
    lines["is_new"] = (first_day >= BREAK).astype(int)
    orders = lines.drop_duplicates("Order Id")
    customers = lines.drop_duplicates("Customer Id")
    totals, profits = cents(lines["Order Item Total"]), cents(lines["Order Profit Per Order"])
    sales, discounts = cents(lines["Sales"]), cents(lines["Order Item Discount"])
    large = totals >= _LARGE
    items = orders[["Order Id", "is_new"]].join(lines["Order Id"].value_counts().rename("items"), on="Order Id")
    hours = (moments(orders["shipping date (DateOrders)"]) - moments(orders["order date (DateOrders)"])).dt
    shipping = orders.assign(hours=(hours.total_seconds() // 3600).astype(int).astype(str))
    streets = lines["Customer Street"].drop_duplicates()
    weekdays = orders["day"].drop_duplicates().dt.dayofweek.value_counts()
    return {
        "source": SOURCE,
        "orders_per_weekday_in_thousandths": [
            round(1000 * int((orders["day"].dt.dayofweek == number).sum()) / int(weekdays[number]))
            for number in range(7)
        ],
        "regular_customers": int((customers["is_new"] == 0).sum()),
        "orders_per_new_customer": round(len(orders) / int((customers["is_new"] == 1).sum())),
        "items": [
            [int(((items["is_new"] == kind) & (items["items"] == count)).sum()) for count in range(1, 6)]
            for kind in (0, 1)
        ],
        "streets_in_thousandths": {
            "trailing blank": round(1000 * streets.str.endswith(" ").mean()),
            "inner blanks": round(1000 * streets.str.contains(r"\S  +\S").mean()),
        },
        "customers_in_millionths": {
            "no last name": round(1e6 * (customers["Customer Lname"] == "").mean()),
            "no zip code": round(1e6 * (customers["Customer Zipcode"] == "").mean()),
        },
        "segments": _rows(customers, "Customer Segment"),
        "payments": _rows(orders, "Type", "Order Status"),
        "shipping": _rows(
            shipping, "Shipping Mode", "Days for shipment (scheduled)", "Days for shipping (real)", "hours"
        ),
        "discounts_in_thousandths": _whole(((discounts * 1000 + sales // 2) // sales)[sales >= _LARGE]),
        "profit_ratios_in_thousandths": _whole((profits * 1000 / totals)[large].round().astype(int)),
        "products": _products(lines),
        "stores": _stores(customers),
        "places": _places(orders),
        "marginals": marginals(lines),
        "mean_prices_in_cents": mean_prices(lines),
    }


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(value): int(count) for value, count in sorted(values.value_counts().items())}


def _whole(values: pd.Series) -> list[list[int]]:
    return [[int(str(value)), int(count)] for value, count in sorted(values.value_counts().items())]


def _rows(frame: pd.DataFrame, *columns: str) -> list[list[Any]]:
    counts = frame.groupby(list(columns)).size().sort_index()
    return [[*(key if isinstance(key, tuple) else (key,)), int(count)] for key, count in counts.items()]


def _products(lines: pd.DataFrame) -> list[list[Any]]:
    """Return id, name, image, category id, category, department id, department, cents, greatest quantity, and lines in
    orders of known and of new customers."""
    found = []
    products = {int(str(number)): group for number, group in lines.groupby("Product Card Id")}
    for number, items in sorted(products.items()):
        row = items.iloc[0]
        found.append(
            [
                number,
                *(row["Product Name"], row["Product Image"], int(row["Category Id"]), row["Category Name"]),
                *(int(row["Department Id"]), row["Department Name"], int(cents(items["Product Price"]).iloc[0])),
                int(items["Order Item Quantity"].astype(int).max()),
                *(int((items["is_new"] == kind).sum()) for kind in (0, 1)),
            ]
        )
    return found


def _stores(customers: pd.DataFrame) -> list[list[Any]]:
    """Return country, state, city, zip code, customers, the middle's latitude and longitude in hundredths,
    positions."""
    whole = customers[customers["Customer Zipcode"] != ""]
    keys = ["Customer Country", "Customer State", "Customer City", "Customer Zipcode"]
    return [
        [
            *key,
            len(store),
            *(round(100 * store[name].astype(float).median()) for name in ("Latitude", "Longitude")),
            len(store[["Latitude", "Longitude"]].drop_duplicates()),
        ]
        for key, store in whole.groupby(keys)
    ]


def _places(orders: pd.DataFrame) -> dict[str, Any]:
    """Return market -> region -> country -> state -> city -> orders of known and of new customers, by zip code if there
    is any."""
    tree: dict[str, Any] = {}
    keys = ["Market", "Order Region", "Order Country", "Order State", "Order City", "Order Zipcode"]
    for key, kinds in orders.groupby(keys)["is_new"]:
        *above, code = map(str, cast(tuple[str, ...], key))
        branch = tree
        for name in above:
            branch = branch.setdefault(name, {})
        branch[code] = [int((kinds == 0).sum()), int((kinds == 1).sum())]
    for states in (country for market in tree.values() for region in market.values() for country in region.values()):
        for cities in states.values():
            cities.update({city: codes[""] for city, codes in cities.items() if codes.keys() == {""}})
    return tree


def faker_names() -> dict[str, Any]:
    """Return the content of names.json, from Faker's lists for en_US."""
    import faker
    from faker.providers.address.en_US import Provider as Addresses
    from faker.providers.person.en_US import Provider as People

    return {
        "source": f"Faker {faker.VERSION}, en_US (MIT)",
        "first_names": sorted(set(People.first_names)),
        "last_names": sorted(set(People.last_names)),
        "street_suffixes": sorted(set(Addresses.street_suffixes)),
    }


def to_json(content: Mapping[str, Any]) -> str:
    """Return the content as JSON with one line per row of a list, so that diffs can be read."""
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {_block(value)}" for key, value in content.items()) + "\n}\n"


def _block(value: Any) -> str:
    def compact(entry: Any) -> str:
        return json.dumps(entry, ensure_ascii=False, separators=(",", ":"))

    def lines(entries: Iterable[str], brackets: str) -> str:
        return f"{brackets[0]}\n" + ",\n".join(entries) + f"\n{brackets[1]}"

    if isinstance(value, dict):
        return lines((f"{compact(key)}:{compact(entry)}" for key, entry in value.items()), "{}")
    if isinstance(value, list) and value and isinstance(value[0], list):
        return lines(map(compact, value), "[]")
    return compact(value)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.calibrate", description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", help="the real data set: plain, .xz, .gz or .zip")
    parser.add_argument("--names", action="store_true", help="copy the name lists of the installed Faker")
    options = parser.parse_args(arguments)
    if options.data:
        content = to_json(calibrate(read_source(options.data)))
        (FOLDER / PARAMETERS_FILE).write_text(content, encoding="utf-8")
    if options.names:
        (FOLDER / NAMES_FILE).write_text(to_json(faker_names()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
