"""Every way in which a landed line can be right or wrong, by hand. One Spark job for all."""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gx.row_rule_reasons import row_rule_reason
from spark_jobs.runtime.errors import NothingLanded

_spec = importlib.util.spec_from_file_location("bronze_lines", Path(__file__).with_name("conftest.py"))
assert _spec is not None
assert _spec.loader is not None
made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made)
line, mark, COLUMNS, KEY = made.make_line, made.mark, made.COLUMNS, made.KEY

HEADER = ",".join(COLUMNS)
REPO = Path(__file__).resolve().parents[3]

# One change (or two, where columns come in pairs) that breaks exactly one rule.
BROKEN_RULES: list[tuple[str, dict[str, str]]] = [
    ("type is null", {"Type": " "}),
    ("customer_id is null", {"Customer Id": "", "Order Customer Id": ""}),
    ("order_id is null", {"Order Id": ""}),
    ("order_item_id is null", {"Order Item Id": ""}),
    ("order_date_dateorders is null", {"order date (DateOrders)": ""}),
    ("order_status is null", {"Order Status": ""}),
    ("shipping_mode is null", {"Shipping Mode": ""}),
    ("delivery_status is null", {"Delivery Status": ""}),
    ("market is null", {"Market": ""}),
    ("order_region is null", {"Order Region": "\t"}),
    ("order_item_quantity is not greater than 0", {"Order Item Quantity": "0"}),
    ("product_price is not greater than 0", {"Product Price": "0", "Order Item Product Price": "0"}),
    ("product_price is not greater than 0", {"Product Price": "-1", "Order Item Product Price": "-1"}),
    ("type is not a known value", {"Type": "Debit"}),
    ("delivery_status is not a known value", {"Delivery Status": "Lost"}),
    ("customer_segment is not a known value", {"Customer Segment": "Government"}),
    ("market is not a known value", {"Market": "Moon"}),
    ("order_status is not a known value", {"Order Status": "DONE"}),
    ("shipping_mode is not a known value", {"Shipping Mode": "Drone"}),
    ("benefit_per_order differs from order_profit_per_order", {"Benefit per order": "91.26"}),
    ("sales_per_customer differs from order_item_total", {"Order Item Total": "314.65"}),
    ("category_id differs from product_category_id", {"Category Id": "74"}),
    ("customer_id differs from order_customer_id", {"Order Customer Id": "1"}),
    ("order_item_cardprod_id differs from product_card_id", {"Product Card Id": "1"}),
    ("order_item_product_price differs from product_price", {"Order Item Product Price": "327.76"}),
    ("category_id differs from product_category_id", {"Category Id": ""}),
]
UNPARSABLE: list[tuple[str, str, str]] = [
    (source, value, f"{name} does not parse as {kind}")
    for source, value, name, kind in [
        ("Days for shipping (real)", "3.0", "days_for_shipping_real", "INT"),
        ("Days for shipment (scheduled)", "four", "days_for_shipment_scheduled", "INT"),
        ("Benefit per order", "91,25".replace(",", ";"), "benefit_per_order", "DECIMAL(12,2)"),
        ("Sales per customer", "Nan", "sales_per_customer", "DECIMAL(12,2)"),
        ("Late_delivery_risk", "2", "late_delivery_risk", "BOOLEAN"),
        ("Category Id", "99999999999", "category_id", "INT"),
        ("Customer Id", "20 755", "customer_id", "BIGINT"),
        ("Department Id", "x", "department_id", "INT"),
        ("Latitude", "north", "latitude", "DECIMAL(11,8)"),
        ("Longitude", "1000", "longitude", "DECIMAL(11,8)"),
        ("Order Customer Id", "1e3", "order_customer_id", "BIGINT"),
        ("order date (DateOrders)", "2/30/2018 1:00", "order_date_dateorders", "TIMESTAMP"),
        ("Order Id", "0x1", "order_id", "BIGINT"),
        ("Order Item Cardprod Id", "x", "order_item_cardprod_id", "BIGINT"),
        ("Order Item Discount", "10000000000", "order_item_discount", "DECIMAL(12,2)"),
        ("Order Item Discount Rate", "4%", "order_item_discount_rate", "DECIMAL(7,4)"),
        ("Order Item Id", "9223372036854775808", "order_item_id", "BIGINT"),
        ("Order Item Product Price", "$5", "order_item_product_price", "DECIMAL(12,2)"),
        ("Order Item Profit Ratio", "1e999999999", "order_item_profit_ratio", "DECIMAL(7,4)"),
        ("Order Item Quantity", "1.5", "order_item_quantity", "INT"),
        ("Order Item Total", "-", "order_item_total", "DECIMAL(12,2)"),
        ("Order Profit Per Order", "Infinity", "order_profit_per_order", "DECIMAL(12,2)"),
        ("Product Card Id", "x", "product_card_id", "BIGINT"),
        ("Product Category Id", "x", "product_category_id", "INT"),
        ("Product Price", "x", "product_price", "DECIMAL(12,2)"),
        ("Product Status", "maybe", "product_status", "BOOLEAN"),
        ("shipping date (DateOrders)", "2018-02-03", "shipping_date_dateorders", "TIMESTAMP"),
    ]
]
VALUES: list[dict[str, str]] = [
    {"Benefit per order": "1.005", "Order Profit Per Order": "1.0050"},
    {"Benefit per order": "-1.005", "Order Profit Per Order": "-1.005"},
    {"Benefit per order": "1.0049999", "Order Profit Per Order": "1.00E0"},
    {"Order Item Discount Rate": "0.04995", "order date (DateOrders)": "01-31-2018 22:56", "Product Status": "TRUE"},
    {"Customer Street": "  a \t b\xa0 c ", "Customer Lname": "", "Customer Email": " ", "Latitude": "18.251453445"},
]
REORDERED = ["Customer Password", "Customer Email", *sorted(set(COLUMNS) - {"Customer Password", "Customer Email"})]


def numbered(changes: list[dict[str, str]]) -> list[str]:
    """Lines distinguished by their zip codes, which no rule looks at, and by their ids unless these are changed."""
    return [
        line({"Order Zipcode": f"zip{n}", "Order Item Id": str(n)} | change)
        for n, change in enumerate(changes, start=1)
    ]


def file(*lines: str | bytes, end: bytes = b"\r\n", header: str = HEADER) -> bytes:
    return b"".join((text if isinstance(text, bytes) else text.encode("cp1252")) + end for text in (header, *lines))


def with_bytes(n: int, column: str, value: bytes) -> bytes:
    return numbered([{}] * (n - 1) + [{column: "@@@"}])[-1].encode("cp1252").replace(b"@@@", value)


PLAIN = numbered([{}] * 3)
FILES: dict[str, bytes] = {
    "plain.csv": file(*PLAIN),
    "rules.csv": file(*numbered([change for _, change in BROKEN_RULES])),
    # "card id" and "product id" mean the same, so that a missing one always differs from the other as well.
    "cards.csv": file(
        *numbered(
            [
                {"Product Card Id": ""},
                {"Order Item Cardprod Id": ""},
                {"Product Card Id": "", "Order Item Cardprod Id": ""},
            ]
        )
    ),
    "unparsable.csv": file(*numbered([{source: value} for source, value, _ in UNPARSABLE])),
    "values.csv": file(*numbered(VALUES)),
    "fields.csv": file(
        PLAIN[0].replace("Caguas", "Cag,uas"),
        PLAIN[1].replace("Caguas,", ""),
        PLAIN[2] + ",",
        "jane.doe@example.com hunter2",
    ),
    "quotes.csv": file(
        *numbered(
            [
                {"Customer Street": '"5, Noble ""Nectar"" Island"', "Customer Password": '"a,b"'},
                {"Customer Street": '"' + "x" * 3_000_000 + '""' * 50_000 + '"'},
                {"Customer Street": '""', "Type": '"DEBIT"', "Shipping Mode": '"Standard Class"'},
            ]
        )
    ),
    "broken_quotes.csv": file(
        PLAIN[0].replace("5365 Noble", '5365 "Noble'),
        PLAIN[1].replace("5365 Noble", '"5365\r\nNoble').replace("Island", 'Island"'),
        PLAIN[2].replace("Caguas", '"Caguas" '),
    ),
    "masked.csv": file(
        *numbered(
            [{"Type": "x"}, {"Type": "x", "Customer Street": "call me@home.org; now", "Customer Lname": '"D,oe"'}]
        )
    ),
    "masked_reordered.csv": file(
        line({"Type": "x", "Order Zipcode": "zip1"}, REORDERED),
        line({"Order Zipcode": "zip2"}, REORDERED),
        header=",".join(REORDERED),
    ),
    "encodings.csv": file(
        with_bytes(1, "Order State", b"\x8eilina"),
        with_bytes(2, "Order City", b"Cox\x92s \x80\xff"),
        with_bytes(3, "Order State", "Žilina".encode()),
        with_bytes(4, "Order State", b"bad \x81 byte"),
        with_bytes(5, "Order State", b"nul\x00byte"),
        with_bytes(6, "Order Item Quantity", b"5\x00"),
    ),
    "duplicates.csv": file(
        line({"Order Zipcode": "zip1", "Customer Password": "zzz"}),
        line({"Order Zipcode": "zip1", "Sales": "327.750", "Customer Password": "aaa", "Customer City": " Caguas "}),
        line({"Order Zipcode": "zip1", "Customer Password": "bbb"}),
        line({"Order Zipcode": "zip2", "Order Item Id": "2", "Order City": "one"}),
        line({"Order Zipcode": "zip2", "Order Item Id": "2", "Order City": "two"}),
        line({"Order Zipcode": "zip2", "Order Item Id": "2", "Order City": "two"}),
        line({"Order Zipcode": "zip3", "Order Item Id": "3"}),
        line({"Order Zipcode": "zip3", "Order Item Id": "3", "Market": "Moon"}),
        line({"Order Zipcode": "zip4", "Order Item Id": "4", "Market": "Moon"}),
        line({"Order Zipcode": "zip4", "Order Item Id": "4", "Market": "Moon"}),
        line({"Order Zipcode": "zip5", "Order Item Id": "5", "Latitude": "x"}),
        line({"Order Zipcode": "zip5", "Order Item Id": "5", "Latitude": "x"}),
    ),
    "again.csv": file(line({"Order Zipcode": "zip1"})),
    "reordered.csv": file(
        line({"Order Zipcode": "zip1"}, REORDERED), header=",".join(f'"{name.upper()} "' for name in REORDERED)
    ),
    "bom.csv": b"\xef\xbb\xbf" + file(*PLAIN),
    "repeated_header.csv": file(PLAIN[0], HEADER, PLAIN[1], HEADER),
    "mac.csv": file(*PLAIN, end=b"\r"),
    "unix.csv": file(*PLAIN, end=b"\n"),
    "blanks.csv": b" \t\r\n\r\n" + file(PLAIN[0], "", "  \t", PLAIN[1], ",") + b"\n\n\t",
    "no_end.csv": file(*PLAIN).removesuffix(b"\r\n"),
    "empty.csv": b"",
    "header_only.csv": HEADER.encode(),
    "only_blanks.csv": b"\r\n \n",
    "odd [1] {a,b} 50%25+ü.csv".replace("ü", ""): file(*PLAIN),
}


@pytest.fixture(scope="module")
def landed(land: Callable[..., Any]) -> Any:
    return land(FILES)


def test_a_valid_line_is_typed(landed: Any) -> None:
    row = landed.rows_of("plain.csv")[0].asDict()
    assert row["reasons"] == []
    expected = {
        "type": "DEBIT",
        "days_for_shipping_real": 3,
        "benefit_per_order": Decimal("91.25"),
        "sales_per_customer": Decimal("314.64"),
        "late_delivery_risk": False,
        "customer_password": None,
        "customer_email": hmac.new(KEY, b"jane.doe@example.com", hashlib.sha256).hexdigest(),
        "customer_id": 20755,
        "customer_zipcode": "725",
        "order_zipcode": "zip1",
        "longitude": Decimal("-66.03705597"),
        "order_date_dateorders": datetime(2018, 1, 31, 22, 56),  # noqa: DTZ001 - Spark gives local times
        "order_item_discount_rate": Decimal("0.0400"),
        "product_image": "http://images.acmesports.sports/Smart+watch",
        "product_name": "Smart watch",
        "product_status": False,
        "landing_date": date(2018, 1, 1),
        "source_file": "dt=2018-01-01/plain.csv",
        "build_id": "1_0",
    }
    assert {name: row[name] for name in expected} == expected


def test_the_frame_has_the_declared_columns(landed: Any) -> None:
    from spark_jobs.layers.bronze import bronze_tables
    from spark_jobs.layers.bronze.landed_lines import order_items, quarantine

    for frame, declared in [
        (landed.frame, bronze_tables.LANDED_LINES),
        (order_items(landed.frame), bronze_tables.ORDER_ITEMS.schema),
        (quarantine(landed.frame), bronze_tables.QUARANTINE.schema),
    ]:
        assert [(f.name, f.dataType) for f in frame.schema] == [(f.name, f.dataType) for f in declared]
    assert len(bronze_tables.ORDER_ITEMS.schema) == 61


def test_every_row_rule_quarantines_with_its_reason(landed: Any) -> None:
    assert landed.reasons("rules.csv") == [[reason] for reason, _ in BROKEN_RULES]
    differs = "order_item_cardprod_id differs from product_card_id"
    assert landed.reasons("cards.csv") == [
        ["product_card_id is null", differs],
        ["order_item_cardprod_id is null", differs],
        ["product_card_id is null", "order_item_cardprod_id is null"],
    ]
    suite = json.loads((REPO / "gx/suites/bronze_rows.json").read_text())
    seen = {reason for reason, _ in BROKEN_RULES} | {
        "product_card_id is null",
        "order_item_cardprod_id is null",
        differs,
    }
    assert seen == {row_rule_reason(expectation) for expectation in suite["expectations"]}


def test_a_value_that_does_not_parse_is_the_only_reason(landed: Any) -> None:
    assert landed.reasons("unparsable.csv") == [[reason] for _, _, reason in UNPARSABLE]


def test_every_typed_column_is_tried() -> None:
    from spark_jobs.tables import source

    tried = {source for source, _, _ in UNPARSABLE}
    assert tried == {column.source for column in source.COLUMNS if column.type != source.TEXT} - {
        "Sales"
    }  # as its neighbours


def test_values_are_rounded_once_and_half_up(landed: Any) -> None:
    rows = landed.rows_of("values.csv")
    assert [row.benefit_per_order for row in rows[:3]] == [Decimal("1.01"), Decimal("-1.01"), Decimal("1.00")]
    assert rows[3].order_item_discount_rate == Decimal("0.0500")
    assert rows[3].order_date_dateorders == rows[0].order_date_dateorders
    assert rows[3].product_status is True
    assert rows[4].customer_street == "a b c"
    assert (rows[4].customer_lname, rows[4].customer_email) == (None, None)
    assert rows[4].latitude == Decimal("18.25145345")


def test_wrong_number_of_fields(landed: Any) -> None:
    found = sorted(row.reasons[0] for row in landed.rows_of("fields.csv"))
    assert found == [f"wrong number of fields: found {n} instead of 53" for n in (1, 52, 54, 54)]
    assert all(len(row.reasons) == 1 for row in landed.rows_of("fields.csv"))
    for row in landed.rows_of("fields.csv"):
        assert "hunter2" not in row.line
        assert "Doe@" not in row.line
    assert "***" in {row.line for row in landed.rows_of("fields.csv")}


def test_quotes_are_resolved(landed: Any) -> None:
    quoted, gigantic, empty = landed.rows_of("quotes.csv")
    assert quoted.customer_street == '5, Noble "Nectar" Island'
    assert len(gigantic.customer_street) == 3_050_000
    assert empty.customer_street is None
    assert [row.reasons for row in (quoted, gigantic, empty)] == [[], [], []]


def test_broken_quoting_is_masked_whole(landed: Any) -> None:
    rows = landed.rows_of("broken_quotes.csv")
    assert len(rows) == 4
    assert {(row.line, *row.reasons) for row in rows} == {("***", "broken quoting")}


def test_private_fields_are_masked_where_the_header_puts_them(landed: Any) -> None:
    first, second = landed.rows_of("masked.csv")
    expected = line(
        {
            "Order Zipcode": "zip1",
            "Order Item Id": "1",
            "Type": "x",
            "Customer Email": "***",
            "Customer Password": "***",
        }
    )
    assert first.line == expected
    assert "call *** now" not in first.line
    assert ",call ***; now," in second.line
    assert '"D,oe",***,Consumer' in second.line
    (bad,) = [row for row in landed.rows_of("masked_reordered.csv") if row.reasons]
    assert bad.line.startswith("***,***,91.25,")
    assert bad.customer_segment is None


def test_no_private_value_gets_through(landed: Any) -> None:
    for row in landed.rows:
        text = repr(row.asDict())
        assert "hunter2" not in text
        assert "Jane.Doe" not in text
        assert "@" not in text


def test_encodings(landed: Any) -> None:
    rows = landed.rows_of("encodings.csv")
    assert rows[0].order_state == "Žilina"
    assert rows[1].order_city == "Cox’s €ÿ"
    assert [row.reasons for row in rows] == [
        [],
        [],
        ["wrong encoding"],
        ["wrong encoding"],
        ["control character"],
        ["control character"],
    ]


def test_repetitions_within_a_file(landed: Any) -> None:
    def reasons_of(number: int) -> list[list[str]]:
        return sorted(row.reasons for row in landed.rows_of("duplicates.csv") if mark(row) == number)

    duplicate, moon = "exact duplicate", "market is not a known value"
    repeated = ["order item occurs more than once in its file"]
    assert reasons_of(1) == [[], [duplicate], [duplicate]]
    assert reasons_of(2) == [[duplicate], repeated, repeated]
    assert reasons_of(3) == [[], [moon]]
    assert reasons_of(4) == [[moon], [moon, duplicate]]
    assert reasons_of(5) == [["latitude does not parse as DECIMAL(11,8)"]] * 2
    assert landed.reasons("again.csv") == [[]]


def test_columns_are_found_by_each_files_header(landed: Any) -> None:
    (row,) = landed.rows_of("reordered.csv")
    plain = landed.rows_of("again.csv")[0]
    assert row.reasons == []
    assert row.row_hash == plain.row_hash


def test_line_ends_blank_lines_and_headers(landed: Any) -> None:
    hashes = [row.row_hash for row in landed.rows_of("plain.csv")]
    for name in ("bom.csv", "mac.csv", "unix.csv", "no_end.csv", next(n for n in FILES if n.startswith("odd"))):
        assert [row.row_hash for row in landed.rows_of(name)] == hashes, name
        assert landed.reasons(name) == [[], [], []]
    assert landed.reasons("repeated_header.csv") == [[], []]
    assert landed.reasons("blanks.csv") == [[], []]
    assert landed.rows_of("empty.csv") == landed.rows_of("header_only.csv") == landed.rows_of("only_blanks.csv") == []


def test_the_key_is_in_no_plan(landed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from spark_jobs.layers.bronze.email import key_blocks

    for mode in ("extended", "formatted", "codegen", "cost"):
        landed.frame.explain(mode)
    plan = capsys.readouterr().out
    assert "hmac_inner" in plan
    for secret in (KEY, *key_blocks(KEY)):
        assert secret.hex() not in plan.lower()
        assert secret.decode("latin-1") not in plan
        assert ", ".join(map(str, secret[:4])) not in plan


def test_hmac_equals_pythons(spark: Any) -> None:
    from pyspark.sql import functions as F

    from spark_jobs.layers.bronze.email import email_hmac, key_blocks

    keys = [b"k", b"x" * 63, b"x" * 64, bytes(range(65)), b"long" * 50]
    addresses = [("a@b.c", "a@b.c"), ("  ÅSA@Ex.com ", "åsa@ex.com"), (None, None)]
    rows = [(n, text, *key_blocks(key)) for n, key in enumerate(keys) for text, _ in addresses]
    frame = spark.createDataFrame(rows, "n INT, a STRING, i BINARY, o BINARY")
    found = frame.select("n", "a", email_hmac(F.col("a"), F.col("i"), F.col("o")).alias("h")).collect()
    plain = dict(addresses)
    for row in found:
        message = plain[row.a]
        expected = None if message is None else hmac.new(keys[row.n], message.encode(), hashlib.sha256).hexdigest()
        assert row.h == expected


def test_utf8_sources(land: Callable[..., Any]) -> None:
    landed = land(
        {
            "utf8.csv": file(
                with_bytes(1, "Order State", "Žilina".encode()), with_bytes(2, "Order State", b"\x8eilina\xff")
            ),
            "nothing.csv": b"",
        },
        encoding="utf-8",
    )
    first, second = landed.rows_of("utf8.csv")
    assert (first.order_state, first.reasons) == ("Žilina", [])
    assert second.reasons == ["wrong encoding"]
    assert "hunter2" not in second.line


def test_a_day_without_lines(land: Callable[..., Any]) -> None:
    assert land({"orders.csv": HEADER.encode()}).rows == []
    assert land({"orders.csv": HEADER.encode() + b"\r\n" + b"," * 52, "empty.csv": b""}).rows == []
    for files in ({"empty.csv": b""}, {}):
        with pytest.raises(NothingLanded, match="2018-01-01: its folder"):
            land(files)
