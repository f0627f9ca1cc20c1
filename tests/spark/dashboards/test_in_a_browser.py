"""The dashboard in a real browser: every chart is drawn, with gold's numbers, and filters, keys and news do what they
say."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, Route, expect, sync_playwright

from local_workspace.dashboards.definition import Dashboard
from tests.spark.dashboards.conftest import FILE, Served, publish_next_day

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "chromium-headless-shell",
)
DASHBOARD = Dashboard.parse(FILE.read_text(encoding="utf-8"))
SIZES: dict[str, Any] = {"wide": {"width": 1280, "height": 900}, "narrow": {"width": 400, "height": 860}}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(executable_path=program)
        except Error:
            pytest.skip(f"there is no Chromium ({', '.join(BROWSERS)}), which draws the dashboard in these tests")
        yield started
        started.close()


@pytest.fixture(scope="module")
def served(workspace: Served) -> Served:
    assert workspace.deploy(FILE.read_text(encoding="utf-8")).ok
    return workspace


@pytest.fixture
def opened(browser: Browser, served: Served) -> Iterator[Callable[..., Page]]:
    """Opens a page of the dashboard, logged in, and fails where the browser reports an error or another host."""
    contexts, faults = [], []

    def open_page(name: str, size: str = "wide", scheme: Any = "light") -> Page:
        context = browser.new_context(viewport=SIZES[size], color_scheme=scheme, timezone_id="America/New_York")
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda one: None if one.url.startswith((served.host, "data:")) else faults.append(one.url))
        page.goto(f"{served.host}/login")
        page.get_by_label("Token").fill(served.token)
        page.get_by_role("button", name="Log in").click()
        page.goto(f"{served.host}/dashboardsv3/{served.dashboard_id}/published?page={name}")
        expect(page.locator("body[data-loaded]")).to_have_count(1, timeout=60_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults


def widget(page: Page, name: str) -> Any:
    return page.locator(f'[data-name="{name}"]')


def number(text: str) -> float:
    return float(re.sub(r"[^\d.-]", "", text.replace("−", "-")))


def as_table(page: Page, name: str) -> list[list[str]]:
    """The text alternative of a chart, opened by the keyboard."""
    found = widget(page, name)
    found.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(found.locator("tbody tr").first).to_be_visible()
    rows = [row.locator("td").all_inner_texts() for row in found.locator("tbody tr").all()]
    page.keyboard.press("Enter")
    return rows


@pytest.mark.parametrize("name", [page.name for page in DASHBOARD.canvas_pages])
@pytest.mark.parametrize("size", list(SIZES))
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_widget_is_drawn(opened: Callable[..., Page], name: str, size: str, scheme: str) -> None:
    page = opened(name, size, scheme)
    (layout,) = (one.layout for one in DASHBOARD.canvas_pages if one.name == name)
    for placed in layout:
        found = widget(page, placed.widget.name)
        expect(found).to_have_attribute("data-drawn", "yes")
        expect(found.locator(".problem")).to_be_hidden()
        kind = placed.widget.spec.widget_type if placed.widget.spec else "text"
        if placed.widget.name == "anomalies":
            assert found.locator(".body").inner_text() == "No rows.", "too few dates have landed for bands"
        elif kind in ("counter", "table"):
            assert re.search(r"\d", found.locator(".body").inner_text()), placed.widget.name
        else:
            assert found.locator("svg .mark-area path, svg .mark-rect path, svg .mark-line path, svg .mark-arc path, "
                                 "svg .mark-symbol path").count() > 0, placed.widget.name  # fmt: skip
            label = found.locator(".body").get_attribute("aria-label") or ""
            assert re.search(r"chart of \d+ values; least .*\d", label), label
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0, "the page scrolls sideways"


def test_a_long_number_fits_its_tile(opened: Callable[..., Page]) -> None:
    def millions_of_revenue(route: Route) -> None:
        found = route.fetch().json()
        found["columns"]["revenue"] = [value * 10_000 for value in found["columns"]["revenue"]]
        route.fulfill(json=found)

    page = opened("business")
    page.route("**/rows/orders", millions_of_revenue)
    page.reload()
    expect(page.locator("body[data-loaded]")).to_have_count(1, timeout=60_000)
    assert number(widget(page, "revenue").locator(".body").inner_text()) > 10_000_000
    for width in (400, 770, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        for tile in page.locator(".counter .body").all():
            assert tile.evaluate("body => body.scrollWidth - body.clientWidth") <= 0, (width, tile.inner_text())


def test_the_numbers_are_those_of_gold(opened: Callable[..., Page], served: Served) -> None:
    page, orders = opened("business"), served.rows("orders")["columns"]
    assert number(widget(page, "revenue").locator(".body").inner_text()) == round(sum(orders["revenue"]))
    assert number(widget(page, "orders").locator(".body").inner_text()) == sum(orders["orders"])
    average = sum(orders["revenue"]) / sum(orders["orders"])
    assert number(widget(page, "average-order").locator(".body").inner_text()) == round(average, 2)
    days = dict.fromkeys(orders["day"], 0.0)
    for day, revenue in zip(orders["day"], orders["revenue"], strict=True):
        days[day] += revenue
    shown = {row[0]: number(row[1]) for row in as_table(page, "revenue-by-day")}
    assert shown == {day: round(revenue) for day, revenue in days.items()}
    markets = {row[1]: number(row[0]) for row in as_table(page, "revenue-by-market")}
    assert set(markets) == {"Europe", "LATAM", "Pacific Asia"}
    assert abs(sum(markets.values()) - sum(orders["revenue"])) < 2
    expect(page.locator("#as-of")).to_contain_text("As of 2018-01-0")


def test_filters_by_keyboard_hold_on_all_pages(opened: Callable[..., Page], served: Served) -> None:
    page, orders = opened("business"), served.rows("orders")["columns"]
    page.get_by_role("checkbox", name="Corporate").focus()
    page.keyboard.press("Space")
    wanted = [row for row, segment in enumerate(orders["segment"]) if segment == "Corporate"]
    expected = sum(orders["orders"][row] for row in wanted)
    expect(widget(page, "orders").locator(".body")).to_have_text(f"{expected}")
    expect(page.get_by_role("checkbox", name="Corporate")).to_be_focused()
    page.get_by_label("Order dates: from").fill("2018-01-02")
    later = sum(orders["orders"][row] for row in wanted if orders["day"][row] >= "2018-01-02")
    expect(widget(page, "orders").locator(".body")).to_have_text(f"{later}")
    page.get_by_role("link", name="Customers").click()
    expect(page.get_by_role("checkbox", name="Corporate")).to_be_checked()
    customers = served.rows("customers")["columns"]
    corporate = sum(
        count
        for count, segment in zip(customers["customers"], customers["segment"], strict=True)
        if segment == "Corporate"
    )
    expect(widget(page, "customers").locator(".body")).to_have_text(f"{corporate}")
    new = served.rows("new_customers")["columns"]
    rows = zip(new["day"], new["segment"], new["customers"], strict=True)
    later_days = {day: count for day, segment, count in rows if segment == "Corporate" and day >= "2018-01-02"}
    assert {row[0]: number(row[1]) for row in as_table(page, "new-customers-by-day")} == later_days
    page.get_by_role("button", name="Clear filters").click()
    expect(widget(page, "customers").locator(".body")).to_have_text(f"{sum(customers['customers'])}")


@pytest.mark.parametrize(
    ("chart", "mark"), [("revenue-by-day", ".mark-symbol path"), ("revenue-by-market", ".mark-arc path")]
)
def test_a_tooltip_words_the_row_that_is_pointed_at(opened: Callable[..., Page], chart: str, mark: str) -> None:
    page = opened("business")
    rows = as_table(page, chart)
    widget(page, chart).locator(mark).first.hover(force=True)
    tooltip = page.locator("#vg-tooltip-element.visible")
    expect(tooltip).to_be_visible()
    shown = [cell.inner_text() for cell in tooltip.locator("td.value").all()]
    assert shown in rows, rows


def test_dates_picked_in_a_chart_filter_all(opened: Callable[..., Page]) -> None:
    page = opened("business")
    box = widget(page, "orders-by-day").locator("svg").bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.75, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.98, middle, steps=5)
    page.mouse.up()
    expect(page.get_by_label("Order dates: from")).not_to_have_value("")
    expect(page.get_by_role("button", name="Clear filters")).to_be_visible()
    assert len(as_table(page, "revenue-by-day")) < 3


def test_a_publication_refreshes_the_page(opened: Callable[..., Page], served: Served) -> None:
    page = opened("business")
    expect(page.locator("#as-of")).to_contain_text("As of")
    before = widget(page, "orders").locator(".body").inner_text()
    day = publish_next_day(served.lakehouse)
    expect(page.locator("#as-of")).to_contain_text(f"As of {day}", timeout=30_000)
    expect(widget(page, "orders").locator(".body")).not_to_have_text(before, timeout=30_000)


def test_without_a_publication_the_page_says_how_to_get_one(opened: Callable[..., Page], served: Served) -> None:
    before = served.dashboard_id
    try:
        assert served.deploy(FILE.read_text(encoding="utf-8"), prefix="nobody_has_published_here_").ok
        page = opened("business")
        expect(page.locator("#notice")).to_contain_text("Nothing is published yet")
        expect(page.locator("#notice")).to_contain_text("make run")
        expect(widget(page, "revenue").locator(".problem")).to_contain_text("is in no publication yet")
    finally:
        served.dashboard_id = before
