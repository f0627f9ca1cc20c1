"""What is no data is not judged as data: empty records, null words, codes of spreadsheets, headers, addresses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from feeds.daily_replay import ReplayRefused, replay
from spark_jobs.layers.bronze.addresses import holds_one
from spark_jobs.runtime.errors import HeaderRefused, ParameterRefused
from spark_jobs.tables.blank_records import NULL_WORDS
from spark_jobs.tables.source import SOURCE_NAMES
from tests.cases.landed import marked, reasons, rows_of
from tests.spark.publishing.lakehouse import SOURCE_SETTINGS, Lakehouse, order_item

HEADER = ",".join(SOURCE_NAMES)
MISPLACED = "e-mail address outside its column"


def text(number: int, **changes: str) -> str:
    item = order_item(number, **{"Order State": f"#{number}"}) | changes
    return ",".join(item[column] for column in SOURCE_NAMES)


def land(lakehouse: Lakehouse, day: str, *lines: str, encoding: str = "windows-1252", header: str = HEADER) -> None:
    folder = lakehouse.landing / f"dt={day}"
    folder.mkdir()
    (folder / "orders.csv").write_bytes("\r\n".join([header, *lines, ""]).encode(encoding))


# --- records without any value ---

EMPTY_RECORDS = {
    "commas": "," * 52,
    "too few commas": ",,,",
    "too many commas": "," * 80,
    "blanks": ",".join([" "] * 53),
    "no-break spaces": ",".join(["\xa0"] * 53),
    "tabs": "\t,\t,",
    "quotes": ",".join(['""'] * 53),
    "quoted blanks": ",".join(['"  "'] * 53),
    "a mixture": '" ",\xa0,,\t,"\xa0"' + "," * 48,
    # As in github.com/Rdatatable/data.table/issues/1612.
    "the end of a file of DOS": "\x1a",
    "a null word": ",".join(["NULL"] * 53),
    "null words and blanks": '\\N,, #N/A ,"nan",\xa0NaT' + "," * 48,
}
MORE_EMPTY_RECORDS_IN_UTF_8 = {
    "wide spaces": "\u3000,\u2003,",
    "no width": "\ufeff,\u200b",
}


@pytest.mark.parametrize("encoding", ["windows-1252", "utf-8"])
def test_records_without_a_value_are_counted_and_ignored(
    new_lakehouse: Callable[[], Lakehouse], tmp_path: Path, encoding: str
) -> None:
    lakehouse = new_lakehouse()
    empty = [*EMPTY_RECORDS.values(), *(MORE_EMPTY_RECORDS_IN_UTF_8.values() if encoding == "utf-8" else ())]
    land(lakehouse, "2018-01-01", empty[0], text(1), *empty, "", text(2), *[empty[0]] * 200, encoding=encoding)
    build = lakehouse.build("bronze", source_encoding=encoding)
    assert {marked(row): reasons(row) for row in rows_of(lakehouse, build)} == {"#1": None, "#2": None}
    blank = 201 + len(empty)
    counted = {name: build.rows[name] for name in ("landed", "valid", "quarantined", "files", "blank")}
    assert counted == {"landed": 2, "valid": 2, "quarantined": 0, "files": 1, "blank": blank}
    verdict = lakehouse.audit(build)
    assert verdict.success
    assert (
        f"{blank} records without any value ignored in 1 files, the first is dt=2018-01-01/orders.csv" in verdict.notes
    )
    result = replay(
        lakehouse.landing / "dt=2018-01-01/orders.csv", tmp_path / "landing", encoding=encoding, manifest=True
    )
    assert (result.lines, result.blank, result.undated) == (2, blank, 0)


def test_words_that_stand_for_nothing_are_those_of_the_setting(new_lakehouse: Callable[[], Lakehouse]) -> None:
    lakehouse = new_lakehouse()
    records = {word: ",".join([word] * 53) for word in ("NULL", "None", "NA")}
    land(lakehouse, "2018-01-01", text(1), *records.values())
    for setting, blank in ((SOURCE_SETTINGS["null_words"], 1), ("NA, None", 2), ("", 0)):
        build = lakehouse.build("bronze", null_words=setting)
        assert (build.rows["blank"], build.rows["quarantined"]) == (blank, 3 - blank), setting


# --- headers below the first ---

OTHER_ORDER = ",".join([*SOURCE_NAMES[1:], SOURCE_NAMES[0]])


def test_a_repeated_header_is_ignored(lakehouse: Lakehouse, tmp_path: Path) -> None:
    again = [HEADER, HEADER.upper(), ",".join(f'"{name}"' for name in SOURCE_NAMES), "\xef\xbb\xbf" + HEADER]
    land(lakehouse, "2018-02-01", text(1), *again, text(2), again[0])
    build = lakehouse.build("bronze", "2018-02-01", "2018-02-02")
    assert {marked(row): reasons(row) for row in rows_of(lakehouse, build)} == {"#1": None, "#2": None}
    assert "5 repeated headers ignored in 1 files, the first is dt=2018-02-01/orders.csv" in build.notes
    assert replay(lakehouse.landing / "dt=2018-02-01/orders.csv", tmp_path / "landing").lines == 2


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (OTHER_ORDER, "line 4 is another header (the same columns in another order)"),
        (HEADER.replace("Order State", "Order Province"), "line 4 is another header (missing 'Order State'"),
        (HEADER.replace(",Order State", ""), "line 4 is another header (missing 'Order State')"),
    ],
    ids=["order", "name", "missing"],
)
def test_another_header_refuses_the_file_by_its_line(
    new_lakehouse: Callable[[], Lakehouse], tmp_path: Path, other: str, words: str
) -> None:
    lakehouse = new_lakehouse()
    land(lakehouse, "2018-01-01", text(1), "," * 52, other, text(2))
    with pytest.raises(HeaderRefused) as refused:
        lakehouse.build("bronze")
    assert words in str(refused.value)
    assert "dt=2018-01-01/orders.csv" in str(refused.value)
    with pytest.raises(ReplayRefused, match="line 4"):
        replay(lakehouse.landing / "dt=2018-01-01/orders.csv", tmp_path / "landing")
    assert list((tmp_path / "landing").iterdir()) == []


# --- null words and codes ---

ZIP, REGION, NAME = "Customer Zipcode", "Order Region", "Product Name"
# A value as it is written, and the zip code that it is.
ZIPS = {
    **dict.fromkeys(("725", "725.0", "725.00", "00725", " 725 ", "'725", '"725,0"', '"=""00725"""', "725."), "725"),
    **{"0": "0", "00000": "0", "00725-1234": "00725-1234", "7e2": "7e2", "725.5": "725.5", "SW1A 1AA": "SW1A 1AA"},
    **{'"1,000"': "1,000", "1.000": "1.000", "725\xa0": "725", "0x1F": "0x1F", "90210": "90210"},
    **dict.fromkeys((*NULL_WORDS.split(","), "", " NULL ", '"nan"', "\xa0#N/A")),
    # As in github.com/PSU3D0/formualizer/issues/75 and github.com/equinor/tagreader-python/issues/61.
    **dict.fromkeys(("#SPILL!", "#CALC!", "#FIELD!", "#GETTING_DATA", "1.#QNAN", "-1.#IND")),
    **{word: word for word in ("NA", "None", "Null", "Nan", "NULLS", "N/A/B", "nano", "-")},
}


def test_codes_and_null_words(lakehouse: Lakehouse) -> None:
    land(lakehouse, "2018-03-01", *(text(number, **{ZIP: value}) for number, value in enumerate(ZIPS)))
    build = lakehouse.build("bronze", "2018-03-01", "2018-03-02")
    found = {row.order_state: row.customer_zipcode for row in rows_of(lakehouse, build)}
    assert found == {f"#{number}": value for number, value in enumerate(ZIPS.values())}


def test_null_words_are_missing_in_every_column_and_by_a_setting(lakehouse: Lakehouse) -> None:
    words = ("NULL", "nan", "\\N", "None", "N/A", "#N/A", "<null>", "NA")
    land(
        lakehouse,
        "2018-03-02",
        *(
            text(number, **{REGION: word, NAME: word, "Days for shipping (real)": word})
            for number, word in enumerate(words)
        ),
        text(20, **{"Customer Id": "1.0", "Order Customer Id": "00001", "Category Id": "73.0"}),
    )
    unparsed = "days_for_shipping_real does not parse as INT"
    default = dict.fromkeys(words, ("order_region is null",)) | {"None": (unparsed,), "NA": (unparsed,)}
    for setting, right in (
        (SOURCE_SETTINGS["null_words"], default),
        ("NA, None", {w: ("order_region is null",) if w in ("NA", "None") else (unparsed,) for w in words}),
    ):
        build = lakehouse.build("bronze", "2018-03-02", "2018-03-03", null_words=setting)
        found = {marked(row): reasons(row) for row in rows_of(lakehouse, build)}
        assert found == {f"#{n}": right[word] for n, word in enumerate(words)} | {"#20": None}
    build = lakehouse.build("bronze", "2018-03-02", "2018-03-03", null_words="")
    assert build.rows["quarantined"] == len(words)


def test_the_gate_names_words_that_may_stand_for_nothing(lakehouse: Lakehouse) -> None:
    land(lakehouse, "2018-03-03", text(1, **{REGION: "None"}), text(2), text(3, **{ZIP: "NA"}))
    verdict = lakehouse.audit(lakehouse.build("bronze", "2018-03-03", "2018-03-04"))
    (found,) = [one for one in verdict.warnings if one.rule == "no_value_may_be_a_missing_one"]
    assert (found.bad_rows, verdict.success) == (2, True)


def test_a_respelled_code_makes_no_version_and_a_changed_one_is_noticed(new_lakehouse: Callable[[], Lakehouse]) -> None:
    lakehouse = new_lakehouse()

    def order(number: int, day: int, **changes: str) -> dict[str, str]:
        return order_item(number, customer=1 + number % 6, product=1 + number % 6, day=day, **changes)

    lakehouse.land("2018-01-01", *(order(n, 1) for n in range(6)))
    lakehouse.land("2018-01-02", *(order(n, 2, **{ZIP: "725.0"}) for n in range(10, 16)))
    lakehouse.land("2018-01-03", *(order(n, 3, **{ZIP: "PR 725", "Category Name": "Sport"}) for n in range(20, 26)))
    lakehouse.land("2018-01-04", *(order(n, 4, **{ZIP: "PR 725", "Category Name": "Sport"}) for n in range(30, 36)))
    for day, versions, warnings in ((1, 6, 0), (2, 6, 0), (3, 12, 2), (4, 12, 0)):
        start, end = f"2018-01-0{day}", f"2018-01-0{day + 1}"
        lakehouse.run(start, end, ("bronze",), audited=False)
        build = lakehouse.build("silver", start, end)
        verdict = lakehouse.audit(build)
        assert verdict.success, verdict.lines()
        found = {one.rule: one for one in verdict.warnings if one.rule.startswith("a_day_changes_few_")}
        assert len(found) == warnings, day
        for one in found.values():
            assert (one.landing_date, one.samples) == (start, ("known 6, changed 6, share 1",))
        lakehouse.publish(build, verdict.fingerprint)
        assert lakehouse.published("silver.dim_customers").count() == versions


# --- addresses ---

ADDRESSES = """jane.doe@example.com|JANE@EXAMPLE.COM|Jane@Example.Com|jane+tag@sub.example.co.uk|o'brien@example.org
12345@qq.com|jane_doe@example-shop.de|<jane@example.com>|(jane@example.com)|call jane@example.com now|jane@example.com.
a@example.com;b@example.com|mailto:jane@example.com?subject=x|https://shop.example/u?e=jane@example.com&x=1|x=jane@example.io
https://shop.example/u?e=jane%40example.com|jörg@münchen.de|jane@xn--mnchen-3ya.de|jane@例え.テスト|jane@[192.168.0.1]
jane@example.museum|jane@example.photography|JANE@EXAMPLE.PHOTOGRAPHY|"jane doe"@example.com|jane@example.com, Main St
j@x.co|jane@mail.example.name|Jane Doe jane@example.eu|contact:jane@example.info|https://shop.example/jane@example.com/orders
jane@example.com's|-jane@example.com-|jane@EXAMPLE.de|jane@Example.De""".replace("\n", "|").split("|")
NO_ADDRESSES = """http://images.example.com/watch@2x.png|/@brand/watch.jpg|https://cdn.example.com/@brand/watch.jpg
size 3@4.5|https://cdn.example.com/pkg@1.2.3/watch.png|50@9.99|Nike@Air.Max|http://u:p@host.example/x.png|ftp://user@host.example/
https://unpkg.example/jquery@3.6.0.min.js|react@v18.2.0|@scope/pkg@2.0.0|lodash@latest|https://medium.example/@jane.doe
@nike.official|@jane@social.example|git@host.example:group/project.git|3 @ 4.50|two @ 5 a@b @home|a@b|user@localhost
icon@3x.webp?v=2|logo@2x.JPG|https://maps.example/@18.25,-66.03,15z|5@10|10@1.5kg|@|@@|a@|@b.com|jane@.com|jane@example.
postgres://u:p@db.example.com:5432/x|x@y.z|12@24.99EUR|watch@2x.retina.png
Adidas@Ultra.Boost|mail at example.com|a@1.1.1.1""".replace("\n", "|").split("|")


def test_an_address_is_told_from_what_else_has_an_at(spark: SparkSession) -> None:
    right = dict.fromkeys(ADDRESSES, True) | dict.fromkeys(NO_ADDRESSES, False)
    assert len(right) >= 60
    frame = spark.createDataFrame([(one,) for one in right], "text STRING")
    found = {row.text: row.found for row in frame.select("text", holds_one(F.col("text")).alias("found")).collect()}
    assert {one for one in right if found[one] != right[one]} == set()


def test_columns_in_which_addresses_are_searched(new_lakehouse: Callable[[], Lakehouse]) -> None:
    lakehouse = new_lakehouse()
    image, street = "Product Image", "Customer Street"
    fields = [
        {image: "http://images.example.com/watch@2x.png"},
        {image: "https://cdn.example.com/jane@example.com"},
        {street: "jane@example.com"},
    ]
    header = ",".join(reversed(SOURCE_NAMES))
    lines = [",".join(reversed(text(number, **one).split(","))) for number, one in enumerate(fields)]
    land(lakehouse, "2018-01-01", *lines, header=header)
    for setting, quarantined in (
        ("all", {"#1", "#2"}),
        ("Customer Street, order_city", {"#2"}),
        ("product_image", {"#1"}),
        ("none", set()),
    ):
        build = lakehouse.build("bronze", email_columns=setting)
        found = {marked(row): reasons(row) for row in rows_of(lakehouse, build)}
        assert found == {f"#{n}": (MISPLACED,) if f"#{n}" in quarantined else None for n in range(3)}, setting


@pytest.mark.parametrize("setting", ["", "everywhere", "customer_street,stret", "customer_email"])
def test_a_column_that_is_not_known_is_refused(lakehouse: Lakehouse, setting: str) -> None:
    with pytest.raises(ParameterRefused, match="email_columns"):
        lakehouse.build("bronze", "2018-03-01", "2018-03-02", email_columns=setting)


def test_the_defaults_are_those_of_the_bundle() -> None:
    from spark_jobs.tables.source import SourceFormat

    settings = {name: SOURCE_SETTINGS[name] for name in ("null_words", "email_columns", "date_order")}
    assert SourceFormat.from_texts(**settings) == SourceFormat()
    days = [int(SOURCE_SETTINGS[name]) for name in ("max_order_age_days", "max_order_days_ahead")]
    assert [SourceFormat().max_order_age_days, SourceFormat().max_order_days_ahead] == days
