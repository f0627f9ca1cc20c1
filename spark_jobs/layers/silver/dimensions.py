"""`silver.dim_customers` and `silver.dim_products`: one row per version of a customer or product (SCD2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, IntegerType, LongType, StringType, StructType, TimestampType

from spark_jobs.layers.silver import scd2
from spark_jobs.layers.silver.orders import MONEY
from spark_jobs.tables.spec import TableSpec, Write, column, conform

VALIDITY = [
    column("valid_from", TimestampType(), "First instant at which this version holds"),
    column("valid_to", TimestampType(), "First instant at which it no longer holds; NULL on the newest"),
    column("is_current", BooleanType(), "Whether this is the key's newest version"),
]

_CUSTOMERS = StructType(
    [
        column("customer_key", StringType(), "Key: hash of the customer id and valid_from"),
        column("customer_id", LongType(), "Customer"),
        column("customer_firstname", StringType(), "First name, latest within the version"),
        column("customer_lastname", StringType(), "Last name, latest within the version"),
        column("customer_email_hash", StringType(), "Keyed hash of the e-mail, latest within the version"),
        column("customer_segment", StringType(), "Tracked: Consumer, Corporate or Home Office"),
        column("customer_zipcode", StringType(), "Tracked: zip code"),
        *VALIDITY,
    ]
)

_PRODUCTS = StructType(
    [
        column("product_key", StringType(), "Key: hash of the product id and valid_from"),
        column("product_id", LongType(), "Product (card)"),
        column("product_name", StringType(), "Name, latest within the version"),
        column("category_id", IntegerType(), "Tracked: category"),
        column("category_name", StringType(), "Tracked: name of the category"),
        column("product_price", MONEY, "Tracked: list price"),
        column("is_notavailable", BooleanType(), "Tracked: whether the product is not available"),
        *VALIDITY,
    ]
)


@dataclass(frozen=True)
class Dimension:
    """A dimension with history: which attributes of bronze's rows it keeps."""

    spec: TableSpec
    source_key: str
    """The natural key's column in bronze."""
    attributes: Mapping[str, str]
    """Column of the dimension -> column of bronze."""
    tracked: Sequence[str]
    """Attributes of which every change begins a version. The others are the latest within a version."""

    @property
    def natural_key(self) -> str:
        return self.spec.natural_key[0]

    def versions(self, order_items: DataFrame, previous_versions: DataFrame | None = None) -> DataFrame:
        """Return the versions of the keys in `order_items`, which holds all valid bronze rows of these keys.

        With `previous_versions`, the published versions of these keys, it holds rows of later landing dates only.
        """
        untracked = [name for name in self.attributes if name not in self.tracked]
        rows = self.rows(order_items)
        return self.with_key(scd2.versions(rows, self.natural_key, self.tracked, untracked, previous_versions))

    def rows(self, order_items: DataFrame) -> DataFrame:
        """Return the natural key, the attributes, and the columns of scd2.ORDER but effective_at: one row per item."""
        return order_items.select(
            F.col(self.source_key).alias(self.natural_key),
            *(F.col(source).alias(name) for name, source in self.attributes.items()),
            F.col("order_date_dateorders").alias("order_date"),
            *(name for name in scd2.ORDER if name not in ("effective_at", "order_date")),
        )

    def with_key(self, versions: DataFrame) -> DataFrame:
        """Return versions with their surrogate key, as the table holds them."""
        surrogate = scd2.surrogate_key(F.col(self.natural_key), F.col("valid_from"))
        return conform(versions.withColumn(self.spec.key, surrogate), self.spec.schema)


def dim_customers(order_items: DataFrame, previous_versions: DataFrame | None = None) -> DataFrame:
    """Return `silver.dim_customers`: see Dimension.versions."""
    return CUSTOMERS.versions(order_items, previous_versions)


def dim_products(order_items: DataFrame, previous_versions: DataFrame | None = None) -> DataFrame:
    """Return `silver.dim_products`: see Dimension.versions."""
    return PRODUCTS.versions(order_items, previous_versions)


DIM_CUSTOMERS = TableSpec(
    name="silver.dim_customers",
    comment="Customers with history (SCD2): one row per version of a customer",
    grain="one row per version of a customer",
    schema=_CUSTOMERS,
    natural_key=("customer_id",),
    merge_key="customer_key",
    write=Write.MERGE,
    statistics_columns=("customer_id", "valid_from", "valid_to"),
    staged_from=("bronze.order_items",),
    derive=lambda tables: dim_customers(tables["bronze.order_items"]),
)
DIM_PRODUCTS = TableSpec(
    name="silver.dim_products",
    comment="Products with history (SCD2): one row per version of a product",
    grain="one row per version of a product",
    schema=_PRODUCTS,
    natural_key=("product_id",),
    merge_key="product_key",
    write=Write.MERGE,
    statistics_columns=("product_id", "valid_from", "valid_to"),
    staged_from=("bronze.order_items",),
    derive=lambda tables: dim_products(tables["bronze.order_items"]),
)
CUSTOMERS = Dimension(
    DIM_CUSTOMERS,
    source_key="customer_id",
    attributes={
        "customer_firstname": "customer_fname",
        "customer_lastname": "customer_lname",
        "customer_email_hash": "customer_email",
        "customer_segment": "customer_segment",
        "customer_zipcode": "customer_zipcode",
    },
    tracked=("customer_segment", "customer_zipcode"),
)
PRODUCTS = Dimension(
    DIM_PRODUCTS,
    source_key="product_card_id",
    attributes={
        "product_name": "product_name",
        "category_id": "category_id",
        "category_name": "category_name",
        "product_price": "product_price",
        "is_notavailable": "product_status",
    },
    tracked=("product_price", "category_id", "category_name", "is_notavailable"),
)
DIMENSIONS = (CUSTOMERS, PRODUCTS)
