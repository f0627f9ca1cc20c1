"""The gold tables: columns, types and keys (design, section 7)."""

from pyspark.sql.types import (
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    StringType,
    StructType,
)

from spark_jobs.layers.silver.schema import DIM_CUSTOMERS, DIM_PRODUCTS, ORDERS, column

# Sums and averages of money, and averages and rates. A rate can exceed 1 by far (a loss on a line sold for a
# cent), so the type leaves room: a value that does not fit would raise.
MONEY = DecimalType(18, 2)
RATE = DecimalType(18, 4)


def _kind(schema: StructType, name: str) -> DataType:
    return schema[name].dataType


ORDERS_ENRICHED = StructType(
    [
        *ORDERS.fields,
        column("customer_key", StringType(), "Version of the customer that held when the order was placed"),
        column("product_key", StringType(), "Version of the product that held when the order was placed"),
        *(
            column(name, _kind(DIM_CUSTOMERS, name), f"{text} when the order was placed")
            for name, text in (
                ("customer_firstname", "First name of the customer"),
                ("customer_lastname", "Last name of the customer"),
                ("customer_email_hash", "Keyed hash of the customer's e-mail"),
                ("customer_segment", "Segment of the customer"),
                ("customer_zipcode", "Zip code of the customer"),
            )
        ),
        *(
            column(name, _kind(DIM_PRODUCTS, name), f"{text} when the order was placed")
            for name, text in (
                ("product_name", "Name of the product"),
                ("category_id", "Category of the product"),
                ("category_name", "Name of the product's category"),
            )
        ),
        column(
            "product_list_price",
            _kind(DIM_PRODUCTS, "product_price"),
            "List price of the product when the order was placed (product_price is the price charged)",
        ),
        column("is_notavailable", BooleanType(), "Whether the product was not available then"),
    ]
)

CUSTOMERS360 = StructType(
    [
        column("customer_id", LongType(), "Key: one row for each customer"),
        column("customer_firstname", StringType(), "First name, current"),
        column("customer_lastname", StringType(), "Last name, current"),
        column("customer_segment", StringType(), "Segment, current"),
        column("customer_zipcode", StringType(), "Zip code, current"),
        column("total_orders", LongType(), "Counted orders"),
        column("total_revenue", MONEY, "Sum of the counted items' totals"),
        column("total_profit", MONEY, "Sum of the counted items' profits"),
        column("avg_order_value", MONEY, "Revenue of a counted order; NULL without one"),
        column("first_order_date", DateType(), "Day of the first counted order"),
        column("latest_order_date", DateType(), "Day of the latest counted order"),
        column("days_since_last_order", IntegerType(), "Days from the latest counted order to the as-of day"),
        column("recency_score", IntegerType(), "1 to 5, 5 for the latest fifth of customers"),
        column("frequency_score", IntegerType(), "1 to 5, 5 for the fifth with most orders"),
        column("monetary_score", IntegerType(), "1 to 5, 5 for the fifth with most revenue"),
        column("rfm_score", StringType(), "The three scores in a row, such as 543"),
        column("rfm_segment", StringType(), "Segment that follows from the scores, such as Champions"),
    ]
)

PRODUCTS360 = StructType(
    [
        column("product_id", LongType(), "Key: one row for each product"),
        column("product_name", StringType(), "Name, current"),
        column("category_name", StringType(), "Name of the category, current"),
        column("product_price", _kind(DIM_PRODUCTS, "product_price"), "List price, current"),
        column("is_notavailable", BooleanType(), "Whether the product is not available now"),
        column("total_orders", LongType(), "Counted orders with the product"),
        column("units_sold", LongType(), "Units in counted items"),
        column("total_revenue", MONEY, "Sum of the counted items' totals"),
        column("total_profit", MONEY, "Sum of the counted items' profits"),
        column("profit_margin", RATE, "Profit as a share of revenue; NULL without revenue"),
        column("avg_order_value", MONEY, "Revenue from the product in a counted order"),
        column("avg_profit_per_order", MONEY, "Profit from the product in a counted order"),
        column("avg_discount_rate", RATE, "Average discount rate of counted items"),
        column("avg_profit_ratio", RATE, "Average profit ratio of counted items"),
        column("avg_price_charged", MONEY, "Average price charged for a unit in counted items"),
        column("avg_order_cycle_days", RATE, "Average days from order to shipping date of counted items"),
        column("avg_shipping_days", RATE, "Average days that shipping of counted items took"),
        column("late_deliveries", LongType(), "Counted items delivered late"),
        column("unique_customers", LongType(), "Customers with a counted item"),
        column("first_order_date", DateType(), "Day of the first counted order"),
        column("last_order_date", DateType(), "Day of the last counted order"),
        column("days_in_catalog", IntegerType(), "Days from the first to the last counted order"),
        column("consumer_orders", LongType(), "Counted orders of customers who were Consumer then"),
        column("corporate_orders", LongType(), "Counted orders of customers who were Corporate then"),
        column("home_office_orders", LongType(), "Counted orders of customers who were Home Office then"),
        column("completed_orders", LongType(), "Orders that are COMPLETE or CLOSED"),
        column("canceled_orders", LongType(), "Orders that are CANCELED"),
        column("fraud_orders", LongType(), "Orders that are SUSPECTED_FRAUD"),
        column("pending_orders", LongType(), "Orders on their way to any of these"),
        column("order_completion_rate", RATE, "Completed as a share of settled orders; NULL without one"),
        column("order_cancellation_rate", RATE, "Canceled as a share of settled orders"),
        column("order_fraud_rate", RATE, "Suspected of fraud as a share of settled orders"),
        column("order_pending_rate", RATE, "Pending as a share of settled and pending orders"),
        column("revenue_score", IntegerType(), "1 to 5, 5 for the fifth of products with most revenue"),
        column("margin_score", IntegerType(), "1 to 4, 4 for the quarter of products with the best margin"),
        column("performance_tier", StringType(), "Star, Strong, Steady, Weak or Slow Movers"),
        column("margin_category", StringType(), "High, Medium, Low or Very Low"),
        column("product_health", StringType(), "Healthy, At Risk or Monitor"),
        column("strategic_priority", StringType(), "What to do about the product"),
    ]
)

# Sums over any number of items. A DECIMAL(12,2) added up 10^16 times would still fit.
_SUM, _SUM_OF_RATES = DecimalType(28, 2), DecimalType(28, 4)

PRODUCT_TOTALS = StructType(
    [
        column("product_id", LongType(), "Key: one row for each product that an order item names"),
        column("items", LongType(), "Order items, counted or not"),
        *(
            column(name, LongType(), f"Distinct orders: {text}")
            for name, text in (
                ("total_orders", "counted"),
                ("consumer_orders", "counted, of customers who were Consumer then"),
                ("corporate_orders", "counted, of customers who were Corporate then"),
                ("home_office_orders", "counted, of customers who were Home Office then"),
                ("completed_orders", "COMPLETE or CLOSED"),
                ("canceled_orders", "CANCELED"),
                ("fraud_orders", "suspected of fraud"),
                ("pending_orders", "on their way to any of these"),
            )
        ),
        column("units_sold", LongType(), "Units in counted items"),
        column("total_revenue", _SUM, "Sum of the counted items' totals"),
        column("total_profit", _SUM, "Sum of the counted items' profits"),
        *(
            column(f"{what}_{name}", kind if what == "sum" else LongType(), f"{text} of counted items: {what}")
            for what in ("sum", "count")
            for name, kind, text in (
                ("discount_rate", _SUM_OF_RATES, "Discount rates"),
                ("profit_ratio", _SUM_OF_RATES, "Profit ratios"),
                ("product_price", _SUM, "Prices charged"),
                ("cycle_days", LongType(), "Days from order to shipping date"),
                ("actual_shipping_days", LongType(), "Days of shipping"),
            )
        ),
        column("late_deliveries", LongType(), "Counted items delivered late"),
        column("unique_customers", LongType(), "Customers with a counted item"),
        column("first_order_date", DateType(), "Day of the first counted order"),
        column("last_order_date", DateType(), "Day of the last counted order"),
    ]
)

SCHEMAS: dict[str, StructType] = {
    "gold.orders_enriched": ORDERS_ENRICHED,
    "gold.customers360": CUSTOMERS360,
    "gold.product_totals": PRODUCT_TOTALS,
    "gold.products360": PRODUCTS360,
}

# The column that tells one row of a table from all others (what MERGE matches on); natural keys here.
KEYS: dict[str, str] = {
    "gold.orders_enriched": "order_item_id",
    "gold.customers360": "customer_id",
    "gold.product_totals": "product_id",
    "gold.products360": "product_id",
}
NATURAL_KEYS = KEYS
