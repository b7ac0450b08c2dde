"""Superset as a person sees it: a real Chromium, driven by Playwright."""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

CHROMIUM_OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
SECONDS = 1000
DRAWN = 90 * SECONDS


WINDOW = {"width": 1440, "height": 900}
"""Of a person's browser."""
LIKE_A_PERSON = "Object.defineProperty(Navigator.prototype, 'webdriver', {get: () => false});"
"""Superset draws all charts of a page for a program, and for a person those that are near what is seen."""
NOTE_PAINTS = """
    performance.setResourceTimingBufferSize(5000);
    window.painted = {};
    window.seen = {};
    window.chartsOfPage = () => [...document.querySelectorAll("[data-test-chart-id]")].filter(chart => chart.checkVisibility());
    window.chartsInWindow = () => chartsOfPage().filter(chart => {
        const {top, bottom} = chart.getBoundingClientRect();
        return top < innerHeight && bottom > 0;
    });
    new MutationObserver(() => {
        for (const chart of chartsOfPage()) {
            const id = chart.dataset.testChartId;
            const picture = chart.querySelector(".slice_container :is(canvas, svg, table, .header-line)");
            if (!(id in painted) && picture && !chart.querySelector(".loading"))
                requestAnimationFrame(() => painted[id] ??= performance.now());
        }
    }).observe(document, {childList: true, subtree: true});
"""
"""Notes when each chart of a page is painted for the first time."""
ASKED = """
    performance.getEntriesByType("resource")
        .map(entry => [new URL(entry.name), entry.startTime])
        .filter(([url]) => url.pathname === "/api/v1/chart/data" && url.searchParams.has("form_data"))
        .map(([url, asked]) => [JSON.parse(url.searchParams.get("form_data")).slice_id, asked])
"""
"""Charts that were asked for, and when, in milliseconds since the page was opened."""
LOOK_AT = """
    place => {
        const note = since => chartsInWindow().forEach(chart => seen[chart.dataset.testChartId] ??= since);
        if (place === 0) note(0);
        chartsOfPage()[place].scrollIntoView();
        note(performance.now());
    }
"""
"""Scrolls to a chart and notes since when each was in the window: those of the first one since the beginning."""
ALL_SEEN_PAINTED = """
    charts => chartsOfPage().length === charts && chartsInWindow().every(chart => chart.dataset.testChartId in painted)
"""


@contextmanager
def browser_page(profile: Path) -> Iterator[tuple[Page, set[str]]]:
    """A page of a new browser, and the set of hosts outside that it was asked to speak to."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium: install Debian's package chromium")
    outside: set[str] = set()
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile),
            executable_path=chromium,
            args=list(CHROMIUM_OPTIONS),
            viewport={"width": 1440, "height": 2600},
            timezone_id="UTC",
        )
        page = context.new_page()
        page.set_default_timeout(DRAWN)

        def note(url: str) -> None:
            parts = urlsplit(url)
            if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
                outside.add(parts.hostname or "")

        # What the page's own policy forbids fails here, before anything is sent.
        page.on("requestfailed", lambda request: None if request.failure == "csp" else note(request.url))
        page.on("requestfinished", lambda request: note(request.url))
        try:
            yield page, outside
        finally:
            context.close()


def log_in(page: Page, address: str, user: str, password: str) -> None:
    """Log in by the form."""
    page.goto(f"{address}/login/")
    page.locator("input[name=username], input#username").first.fill(user)
    page.locator("input[type=password]").fill(password)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "login" not in url)


def open_dashboard(page: Page, address: str, slug: str, tabs: Mapping[str, int], query: str = "") -> None:
    """Open a dashboard and wait until the charts of its first tab are drawn.

    Args:
        page: of a browser.
        address: of Superset.
        slug: of the dashboard.
        tabs: how many charts are seen in each, in their order; see `charts_by_tab`.
        query: the part of the address behind its path.
    """
    page.goto(_address_of(address, slug) + query)
    wait_until_drawn(page, next(iter(tabs.values())))


def open_tab(page: Page, tabs: Mapping[str, int], name: str) -> None:
    """Open a tab of the dashboard and wait until what is seen then is drawn."""
    _choose_tab(page, name)
    wait_until_drawn(page, tabs[name])


def _choose_tab(page: Page, name: str) -> None:
    page.locator("[role=tab]").get_by_text(name, exact=True).click()


def open_first_window(page: Page, address: str, slug: str, tabs: Mapping[str, int]) -> None:
    """Open a dashboard as a person and wait until its charts are there and those in the window are painted."""
    page.goto(_address_of(address, slug))
    _wait_until_seen(page, next(iter(tabs.values())))


def _address_of(address: str, slug: str) -> str:
    return f"{address}/superset/dashboard/{slug}/"


def behave_like_a_person(page: Page) -> None:
    """From the next address on, a window of a person's size, whose charts are drawn when they come near what is seen."""
    page.set_viewport_size(WINDOW)  # type: ignore[arg-type]
    page.add_init_script(LIKE_A_PERSON + NOTE_PAINTS)


def _wait_until_seen(page: Page, charts: int) -> None:
    # To look at every frame would make the page draw one each time.
    page.wait_for_function(ALL_SEEN_PAINTED, arg=charts, polling=50)


def look_at_each(page: Page, tabs: Mapping[str, int]) -> dict[int, float]:
    """From the first window on, open each tab, scroll to each chart, in their order, and wait until all that is seen is painted.

    Returns:
        By chart, the milliseconds that a person waited: since it was asked for or, if that was later, came into the window.
    """
    for name, charts in tabs.items():
        _choose_tab(page, name)
        _wait_until_seen(page, charts)
        for place in range(charts):
            page.evaluate(LOOK_AT, place)
            _wait_until_seen(page, charts)
    waited = "([id, asked]) => [id, Math.max(0, painted[id] - Math.max(asked, seen[id] ?? 0))]"
    found: list[tuple[int, float]] = page.evaluate(f"{ASKED}.map({waited})")
    return dict(found)


def wait_until_drawn(page: Page, charts: int) -> None:
    """Wait until so many charts are seen and none is loading."""
    expect(page.locator("[data-test=dashboard-component-chart-holder]:visible")).to_have_count(charts, timeout=DRAWN)
    expect(page.locator("[data-test=loading-indicator], .loading")).to_have_count(0, timeout=DRAWN)
    expect(page.locator(".slice_container:visible")).to_have_count(charts, timeout=DRAWN)


def problems(page: Page) -> list[str]:
    """What the page says of errors and of charts without rows."""
    signs = (
        "[data-test=error-alert]", ".ant-alert-error", ".ant-empty", ".chart-error", ".missing-chart-container",
        ".header-line:text-is('No data')",
    )  # fmt: skip
    found = page.locator(", ".join(signs))
    return [text[:300] for text in found.all_inner_texts()]


def choose(page: Page, name: str, value: str) -> None:
    """Choose a value in a filter of the dashboard, as a person does, and apply it."""
    others = page.locator("[data-test=dropdown-container-btn]")
    if others.is_visible():  # there is no room for all filters
        others.click()
    title = page.locator("[data-test=filter-control-name]", has_text=re.compile(f"^{re.escape(name)}$"))
    filter_ = page.locator(".ant-form-item").filter(has=title)
    filter_.locator(".ant-select-selector").click()
    filter_.get_by_role("combobox").fill(value)
    page.locator(f".ant-select-item-option[title='{value}']").click()
    page.keyboard.press("Escape")
    page.locator("[data-test=filter-bar__apply-button]").click()


def number(text: str) -> float:
    """What a tile says, without thousands separators, in units and not in percent."""
    plain = text.replace(",", "")
    return float(plain.removesuffix("%")) / 100 if plain.endswith("%") else float(plain)


def chart_of(page: Page, title: str) -> Locator:
    """The place of a chart on a dashboard."""
    return page.locator("[data-test=dashboard-component-chart-holder]").filter(
        has=page.locator("[data-test=editable-title]", has_text=re.compile(f"^{re.escape(title)}$"))
    )


def tile_of(page: Page, title: str) -> Locator:
    """The place of the number on a tile."""
    return chart_of(page, title).locator(".header-line").first


def tile(page: Page, title: str) -> str:
    """The number on a tile."""
    return tile_of(page, title).inner_text().strip()
