"""The meaning of silver and gold in plain Python, to compare the Spark functions with.

Written from the definitions of the tables, for obviousness, not speed: rows are dicts, money is Decimal, every key is
handled by itself. It shares no code with spark_jobs.
"""

# ruff: noqa: DTZ001 - instants in UTC are naive in Python where Spark hands them over

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

Row = dict[str, Any]

ORDER_COLUMNS = {
    "order_item_id": "order_item_id",
    "order_id": "order_id",
    "customer_id": "customer_id",
    "product_id": "product_card_id",
    "order_date": "order_date_dateorders",
    "shipping_date": "shipping_date_dateorders",
    "order_status": "order_status",
    "transaction_method": "type",
    "product_price": "order_item_product_price",
    "quantity": "order_item_quantity",
    "sales": "sales",
    "discount": "order_item_discount",
    "discount_rate": "order_item_discount_rate",
    "line_total": "order_item_total",
    "line_profit": "order_profit_per_order",
    "profit_ratio": "order_item_profit_ratio",
    "actual_shipping_days": "days_for_shipping_real",
    "scheduled_shipping_days": "days_for_shipment_scheduled",
    "delivery_status": "delivery_status",
    "late_delivery_risk": "late_delivery_risk",
    "shipping_mode": "shipping_mode",
    "store_city": "customer_city",
    "store_state": "customer_state",
    "store_country": "customer_country",
    "store_street": "customer_street",
    "store_latitude": "latitude",
    "store_longitude": "longitude",
    "store_department_id": "department_id",
    "store_department_name": "department_name",
    "delivery_city": "order_city",
    "delivery_state": "order_state",
    "delivery_country": "order_country",
    "delivery_region": "order_region",
    "delivery_market": "market",
    "delivery_zipcode": "order_zipcode",
    "landing_date": "landing_date",
    "source_file": "source_file",
    "row_hash": "row_hash",
}
CUSTOMER_TRACKED = {"customer_segment": "customer_segment", "customer_zipcode": "customer_zipcode"}
CUSTOMER_UNTRACKED = {
    "customer_firstname": "customer_fname",
    "customer_lastname": "customer_lname",
    "customer_email_hash": "customer_email",
}
PRODUCT_TRACKED = {
    "product_price": "product_price",
    "category_id": "category_id",
    "category_name": "category_name",
    "is_notavailable": "product_status",
}
PRODUCT_UNTRACKED = {"product_name": "product_name"}


def grouped(rows: Iterable[Row], key: str) -> dict[Any, list[Row]]:
    """The rows of each value of `key`."""
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return groups


def rounded(numerator: Decimal | int, denominator: Decimal | int, places: int) -> Decimal | None:
    """The quotient rounded half-up (away from zero); None without a denominator."""
    if not denominator:
        return None
    with localcontext() as context:
        context.prec = 100
        quotient = Decimal(numerator) / Decimal(denominator)
        return quotient.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def fitted(value: Decimal | None, places: int) -> Decimal | None:
    """The value where it fits DECIMAL(18, places); None where it does not."""
    return value if value is not None and abs(value) < Decimal(10) ** (18 - places) else None


# Silver


def newest(bronze: Iterable[Row]) -> list[Row]:
    """The newest delivery of each order item."""
    return [
        max(rows, key=lambda row: (row["landing_date"], row["source_file"], row["row_hash"]))
        for rows in grouped(bronze, "order_item_id").values()
    ]


def orders(bronze: Iterable[Row]) -> list[Row]:
    """silver.orders."""
    return [{name: row[source] for name, source in ORDER_COLUMNS.items()} for row in newest(bronze)]


def effective_at(row: Row) -> datetime:
    """The order's timestamp, clamped into the landing date."""
    order_date: datetime = row["order_date_dateorders"]
    landing_date: date = row["landing_date"]
    if order_date.date() < landing_date:
        return datetime.combine(landing_date, time.min)
    if order_date.date() > landing_date:
        return datetime.combine(landing_date, time.max)
    return order_date


def surrogate_key(natural_key: int, valid_from: datetime) -> str:
    """Hash of the key and the microseconds since 1970."""
    micros = (valid_from - datetime(1970, 1, 1)) // timedelta(microseconds=1)
    return hashlib.sha256(f"{natural_key}:{micros}".encode()).hexdigest()


def dimension(
    bronze: Iterable[Row],
    source_key: str,
    prefix: str,
    tracked: dict[str, str],
    untracked: dict[str, str],
) -> list[Row]:
    """The versions of all keys."""
    table = []
    for key, rows in grouped(bronze, source_key).items():
        effective: dict[datetime, Row] = {}
        for row in sorted(
            rows,
            key=lambda row: (
                effective_at(row),
                row["order_date_dateorders"],
                row["order_id"],
                row["order_item_id"],
                row["landing_date"],
                row["source_file"],
                row["row_hash"],
            ),
        ):
            effective[effective_at(row)] = row  # the last one of an instant stays

        history: list[Row] = []
        for instant, row in effective.items():
            attributes = {name: row[source] for name, source in tracked.items()}
            names = {name: row[source] for name, source in untracked.items()}
            if history and all(history[-1][name] == value for name, value in attributes.items()):
                history[-1].update(names)
            else:
                history.append({**attributes, **names, "valid_from": instant})

        earliest = min(row["order_date_dateorders"] for row in rows)
        history[0]["valid_from"] = min(history[0]["valid_from"], earliest)
        for version, successor in zip(history, [*history[1:], None], strict=True):
            version["valid_to"] = successor["valid_from"] if successor else None
            version["is_current"] = successor is None
            version[f"{prefix}_id"] = key
            version[f"{prefix}_key"] = surrogate_key(key, version["valid_from"])
        table += history
    return table


def dim_customers(bronze: Iterable[Row]) -> list[Row]:
    """silver.dim_customers."""
    return dimension(bronze, "customer_id", "customer", CUSTOMER_TRACKED, CUSTOMER_UNTRACKED)


def dim_products(bronze: Iterable[Row]) -> list[Row]:
    """silver.dim_products."""
    return dimension(bronze, "product_card_id", "product", PRODUCT_TRACKED, PRODUCT_UNTRACKED)


# Gold


def version_at(versions: list[Row], instant: datetime) -> Row:
    """The only version of a key that is valid at an instant."""
    valid = [
        version
        for version in versions
        if version["valid_from"] <= instant and (version["valid_to"] is None or instant < version["valid_to"])
    ]
    (version,) = valid
    return version


def orders_enriched(items: Iterable[Row], customers: Iterable[Row], products: Iterable[Row]) -> list[Row]:
    """gold.orders_enriched."""
    of_customer, of_product = grouped(customers, "customer_id"), grouped(products, "product_id")
    table = []
    for item in items:
        customer = version_at(of_customer[item["customer_id"]], item["order_date"])
        product = version_at(of_product[item["product_id"]], item["order_date"])
        enriched = dict(item)
        for name in ("customer_key", *CUSTOMER_TRACKED, *CUSTOMER_UNTRACKED):
            enriched[name] = customer[name]
        for name in ("product_key", "product_name", "category_id", "category_name", "is_notavailable"):
            enriched[name] = product[name]
        enriched["product_list_price"] = product["product_price"]
        table.append(enriched)
    return table


def thresholds(values: Iterable[Any], parts: int) -> list[Any]:
    """Nearest-rank: the value at rank ceil(k * n / parts), counted from 1, for k = 1 .. parts - 1."""
    ordered = sorted(value for value in values if value is not None)
    if not ordered:
        return []
    return [ordered[-(-k * len(ordered) // parts) - 1] for k in range(1, parts)]


def below(value: Any, limits: list[Any]) -> int:
    """How many thresholds are below the value."""
    return sum(1 for limit in limits if limit < value)


def counted(items: Iterable[Row]) -> list[Row]:
    """The items that count."""
    return [item for item in items if item["order_status"] not in ("CANCELED", "SUSPECTED_FRAUD")]


def total(items: Iterable[Row], column: str) -> Any:
    """The sum of the values that are not NULL."""
    return sum((item[column] for item in items if item[column] is not None), Decimal(0))


def average(values: Iterable[Any], places: int) -> Decimal | None:
    """Of the values that are not NULL."""
    known = [value for value in values if value is not None]
    return rounded(sum(known, Decimal(0)), len(known), places)


def distinct(items: Iterable[Row], column: str, condition: Callable[[Row], bool] = lambda _: True) -> int:
    """How many values a column has in the items that meet a condition."""
    return len({item[column] for item in items if condition(item)})


def rfm_segment(orders: int, r: int, f: int, m: int) -> str:
    """The first rule that holds."""
    if orders == 0:
        return "Prospects"
    if r >= 4 and f >= 4 and m >= 4:
        return "Champions"
    if r <= 2 and f >= 4 and m >= 4:
        return "Cannot Lose Them"
    if r >= 3 and f >= 3 and m >= 3:
        return "Loyal Customers"
    if r <= 2 and f >= 3 and m >= 3:
        return "At Risk"
    if r >= 4 and f >= 2:
        return "Potential Loyalists"
    if r >= 4:
        return "New Customers"
    if r == 1 and f == 1:
        return "Lost Customers"
    return "Hibernating"


def customers360(items: Iterable[Row], customers: Iterable[Row], as_of: date) -> list[Row]:
    """gold.customers360."""
    of_customer = grouped(counted(items), "customer_id")
    table: list[Row] = []
    for customer in customers:
        if not customer["is_current"]:
            continue
        mine = of_customer.get(customer["customer_id"], [])
        days = [item["order_date"].date() for item in mine]
        revenue, number = total(mine, "line_total"), distinct(mine, "order_id")
        row = {
            name: customer[name]
            for name in (
                "customer_id",
                "customer_firstname",
                "customer_lastname",
                "customer_segment",
                "customer_zipcode",
            )
        }
        row |= {
            "total_orders": number,
            "total_revenue": revenue,
            "total_profit": total(mine, "line_profit"),
            "avg_order_value": rounded(revenue, number, 2),
            "first_order_date": min(days, default=None),
            "latest_order_date": max(days, default=None),
            "days_since_last_order": (as_of - max(days)).days if days else None,
        }
        table.append(row)
    ranked = [row for row in table if row["total_orders"]]
    r_limits = thresholds((row["days_since_last_order"] for row in ranked), 5)
    f_limits = thresholds((row["total_orders"] for row in ranked), 5)
    m_limits = thresholds((row["total_revenue"] for row in ranked), 5)
    for row in table:
        r = f = m = 1
        if row["total_orders"]:
            r = 5 - below(row["days_since_last_order"], r_limits)
            f = 1 + below(row["total_orders"], f_limits)
            m = 1 + below(row["total_revenue"], m_limits)
        row |= {
            "recency_score": r,
            "frequency_score": f,
            "monetary_score": m,
            "rfm_score": f"{r}{f}{m}",
            "rfm_segment": rfm_segment(row["total_orders"], r, f, m),
        }
    return table


def product_measures(product: Row, items: list[Row], as_of: date) -> Row:
    """All of a product's row that needs no other product; and `recent_units`."""
    mine = counted(items)
    days = [item["order_date"].date() for item in mine]
    revenue, profit, number = (
        total(mine, "line_total"),
        total(mine, "line_profit"),
        distinct(mine, "order_id"),
    )

    def with_status(*statuses: str) -> int:
        return distinct(items, "order_id", lambda item: item["order_status"] in statuses)

    def in_segment(segment: str) -> int:
        return distinct(mine, "order_id", lambda item: item["customer_segment"] == segment)

    completed = with_status("COMPLETE", "CLOSED")
    canceled = with_status("CANCELED")
    fraud = with_status("SUSPECTED_FRAUD")
    pending = with_status("PENDING", "PENDING_PAYMENT", "PROCESSING", "ON_HOLD", "PAYMENT_REVIEW")
    settled = completed + canceled + fraud
    return {
        "product_id": product["product_id"],
        "product_name": product["product_name"],
        "category_name": product["category_name"],
        "product_price": product["product_price"],
        "is_notavailable": product["is_notavailable"],
        "total_orders": number,
        "units_sold": int(total(mine, "quantity")),
        "total_revenue": revenue,
        "total_profit": profit,
        "profit_margin": rounded(profit, revenue, 4),
        "avg_order_value": rounded(revenue, number, 2),
        "avg_profit_per_order": rounded(profit, number, 2),
        "avg_discount_rate": average((item["discount_rate"] for item in mine), 4),
        "avg_profit_ratio": average((item["profit_ratio"] for item in mine), 4),
        "avg_price_charged": average((item["product_price"] for item in mine), 2),
        "avg_order_cycle_days": average(
            (
                (item["shipping_date"].date() - item["order_date"].date()).days
                for item in mine
                if item["shipping_date"] is not None
            ),
            4,
        ),
        "avg_shipping_days": average((item["actual_shipping_days"] for item in mine), 4),
        "late_deliveries": sum(1 for item in mine if item["late_delivery_risk"]),
        "unique_customers": distinct(mine, "customer_id"),
        "first_order_date": min(days, default=None),
        "last_order_date": max(days, default=None),
        "days_in_catalog": (max(days) - min(days)).days if days else None,
        "consumer_orders": in_segment("Consumer"),
        "corporate_orders": in_segment("Corporate"),
        "home_office_orders": in_segment("Home Office"),
        "completed_orders": completed,
        "canceled_orders": canceled,
        "fraud_orders": fraud,
        "pending_orders": pending,
        "order_completion_rate": rounded(completed, settled, 4),
        "order_cancellation_rate": rounded(canceled, settled, 4),
        "order_fraud_rate": rounded(fraud, settled, 4),
        "order_pending_rate": rounded(pending, settled + pending, 4),
        "recent_units": total(
            [item for item in mine if as_of - timedelta(days=90) <= item["order_date"].date() < as_of],
            "quantity",
        ),
    }


def performance_tier(revenue_score: int, recent_units: int) -> str:
    """The first rule that holds."""
    if revenue_score >= 4:
        return "Star"
    if revenue_score > 1:
        return {3: "Strong", 2: "Steady"}[revenue_score]
    return "Weak" if recent_units > 0 else "Slow Movers"


def margin_category(margin_score: int) -> str:
    """By quartile."""
    return {4: "High", 3: "Medium", 2: "Low", 1: "Very Low"}[margin_score]


def product_health(tier: str, completion: Decimal | None, cancellation: Decimal | None, fraud: Decimal | None) -> str:
    """The first rule that holds; the three rates are all NULL or none is."""
    if completion is None or cancellation is None or fraud is None:
        return "Monitor"
    if tier in ("Star", "Strong") and completion >= Decimal("0.90") and cancellation < Decimal("0.05"):
        return "Healthy"
    if cancellation > Decimal("0.10") or fraud > Decimal("0.05") or completion < Decimal("0.80"):
        return "At Risk"
    return "Monitor"


def strategic_priority(tier: str, margin: str, cancellation: Decimal | None, fraud: Decimal | None) -> str:
    """The first rule that holds."""
    canceled, suspected = cancellation or Decimal(0), fraud or Decimal(0)
    if tier == "Star" and margin == "High":
        return "Invest & Promote"
    if canceled > Decimal("0.15") or suspected > Decimal("0.10"):
        return "Investigate Quality Issues"
    if tier == "Slow Movers" and (margin in ("Low", "Very Low") or canceled > Decimal("0.10")):
        return "Consider Discontinuing"
    if tier in ("Strong", "Steady") and margin == "High":
        return "Growth Opportunity"
    return "Maintain"


def products360(enriched: Iterable[Row], products: Iterable[Row], as_of: date) -> list[Row]:
    """gold.products360."""
    of_product = grouped(enriched, "product_id")
    table = [
        product_measures(product, of_product.get(product["product_id"], []), as_of)
        for product in products
        if product["is_current"]
    ]
    ranked = [row for row in table if row["total_orders"]]
    revenue_limits = thresholds((row["total_revenue"] for row in ranked), 5)
    margin_limits = thresholds((row["profit_margin"] for row in ranked), 4)
    for row in table:
        revenue_score = margin_score = 1
        if row["total_orders"]:
            revenue_score = 1 + below(row["total_revenue"], revenue_limits)
            if row["profit_margin"] is not None:
                margin_score = 1 + below(row["profit_margin"], margin_limits)
        tier = performance_tier(revenue_score, row.pop("recent_units"))
        margin = margin_category(margin_score)
        row |= {
            "revenue_score": revenue_score,
            "margin_score": margin_score,
            "performance_tier": tier,
            "margin_category": margin,
            "product_health": product_health(
                tier,
                row["order_completion_rate"],
                row["order_cancellation_rate"],
                row["order_fraud_rate"],
            ),
            "strategic_priority": strategic_priority(
                tier, margin, row["order_cancellation_rate"], row["order_fraud_rate"]
            ),
        }
    return table
