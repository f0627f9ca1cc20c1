"""`silver.dim_customers` and `silver.dim_products` (design, section 6)."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.layers.silver import scd2
from spark_jobs.layers.silver.schema import DIM_CUSTOMERS, DIM_PRODUCTS, conform


def _rows(bronze: DataFrame, attributes: dict[str, str]) -> DataFrame:
    """Of bronze: the attributes under their names here, and what puts the rows in order."""
    return bronze.select(
        *(F.col(there).alias(here) for here, there in attributes.items()),
        F.col("order_date_dateorders").alias("order_date"),
        "order_id",
        "order_item_id",
        "landing_date",
        "source_file",
        "row_hash",
    )


def dim_customers(bronze: DataFrame, standing: DataFrame | None = None) -> DataFrame:
    """The versions of the customers in `bronze`, which holds all valid bronze rows of these customers.

    With `standing`, their published versions, it holds those of later landing dates only.
    """
    rows = _rows(
        bronze,
        {
            "customer_id": "customer_id",
            "customer_firstname": "customer_fname",
            "customer_lastname": "customer_lname",
            "customer_email_hash": "customer_email",
            "customer_segment": "customer_segment",
            "customer_zipcode": "customer_zipcode",
        },
    )
    versions = scd2.versions(
        rows,
        key="customer_id",
        tracked=["customer_segment", "customer_zipcode"],
        untracked=["customer_firstname", "customer_lastname", "customer_email_hash"],
        standing=standing,
    )
    key = scd2.surrogate_key(F.col("customer_id"), F.col("valid_from"))
    return conform(versions.withColumn("customer_key", key), DIM_CUSTOMERS)


def dim_products(bronze: DataFrame, standing: DataFrame | None = None) -> DataFrame:
    """The versions of the products in `bronze`, which holds all valid bronze rows of these products.

    With `standing`, their published versions, it holds those of later landing dates only.
    """
    rows = _rows(
        bronze,
        {
            "product_id": "order_item_cardprod_id",
            "product_name": "product_name",
            "category_id": "category_id",
            "category_name": "category_name",
            "product_price": "product_price",
            "is_notavailable": "product_status",
        },
    )
    versions = scd2.versions(
        rows,
        key="product_id",
        tracked=["product_price", "category_id", "category_name", "is_notavailable"],
        untracked=["product_name"],
        standing=standing,
    )
    key = scd2.surrogate_key(F.col("product_id"), F.col("valid_from"))
    return conform(versions.withColumn("product_key", key), DIM_PRODUCTS)
