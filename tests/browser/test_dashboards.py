"""The dashboards, as a person sees them: drawn, true, and up to date after a load."""

import math
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Dashboards
from tests.browser.pages import (
    DRAWN,
    SCREENSHOTS,
    behave_like_a_person,
    browser_page,
    chart_of,
    choose,
    log_in,
    look_at_each,
    number,
    open_dashboard,
    open_first_window,
    open_tab,
    problems,
    tile,
    tile_of,
    wait_until_drawn,
)  # fmt: skip
from tests.support.charts import Superset, charts_by_tab

pytestmark = pytest.mark.browser
ASSETS = Path(__file__).parents[2] / "superset" / "assets"
TABS = {
    path.stem.replace("_", "-"): charts_by_tab(yaml.safe_load(path.read_text())["position"])
    for path in sorted((ASSETS / "dashboards").glob("*.yaml"))
}
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
FIRST_DAY = YESTERDAY - timedelta(days=18)
"""Of the last 20, today included."""


@pytest.fixture(scope="module")
def browser(dashboards: Dashboards, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, set[str]]]:
    with browser_page(tmp_path_factory.mktemp("chromium")) as (page, outside):
        log_in(page, dashboards.address, "admin", dashboards.password)
        yield page, outside


@pytest.fixture
def page(browser: tuple[Page, set[str]]) -> Iterator[Page]:
    """The page; whatever a test does with it, no host outside is asked for anything."""
    page, outside = browser
    yield page
    assert outside == set()


def between(first: str, last: str) -> str:
    """The part of a dashboard's address that chooses days; `last` is not included."""
    value = f"'{first} : {last}'"
    data = f"(extraFormData:(time_range:{value}),filterState:(value:{value}),id:NATIVE_FILTER-time,ownState:())"
    return f"?native_filters=(NATIVE_FILTER-time:{data})"


@pytest.mark.parametrize("slug", TABS)
def test_a_person_sees_every_chart(dashboards: Dashboards, tmp_path: Path, slug: str) -> None:
    with browser_page(tmp_path) as (page, _):
        behave_like_a_person(page)
        log_in(page, dashboards.address, "admin", dashboards.password)
        open_first_window(page, dashboards.address, slug, TABS[slug])
        charts = list((ASSETS / "charts" / slug.replace("-", "_")).glob("*.yaml"))
        assert len(look_at_each(page, TABS[slug])) == len(charts)
        assert problems(page) == []


def test_nothing_is_drawn_all_the_time_while_charts_are_awaited(page: Page, dashboards: Dashboards) -> None:
    questions = "**/api/v1/chart/data*"
    page.route(questions, lambda _: None)
    page.goto(f"{dashboards.address}/superset/dashboard/web-traffic/")
    signs = page.locator("[data-test=dashboard-component-chart-holder] [data-test=loading-indicator]")
    expect(signs.locator("img[src^='data:image/svg+xml']")).to_have_count(TABS["web-traffic"]["Traffic"], timeout=DRAWN)
    expect(signs).to_have_count(TABS["web-traffic"]["Traffic"])
    themes = page.evaluate("JSON.parse(document.getElementById('app').dataset.bootstrap).common.theme")
    assert [themes[name]["echartsOptionsOverrides"] for name in ("default", "dark")] == [{"animation": False}] * 2
    assert themes["default"]["token"]["colorLink"], "the rest is Superset's"
    page.unroute(questions)


def test_what_columns_are_called_is_not_asked_before_each_dashboard(page: Page, dashboards: Dashboards) -> None:
    sizes = """performance.getEntriesByType("resource").filter(entry => entry.name.includes("/drill_info/"))
        .map(entry => entry.transferSize)"""
    for _ in range(2):
        open_dashboard(page, dashboards.address, "web-traffic", TABS["web-traffic"])
        page.wait_for_function(f"{sizes}.length > 0")
    assert not any(page.evaluate(sizes))


def test_what_people_do_is_written_down(page: Page, dashboards: Dashboards) -> None:
    open_dashboard(page, dashboards.address, "web-traffic", TABS["web-traffic"])
    with closing(sqlite3.connect(dashboards.state / "superset.db")) as database:
        assert ("DashboardRestApi.get",) in database.execute("SELECT action FROM logs").fetchall()


def test_no_question_of_a_chart_is_written_down(dashboards: Dashboards) -> None:
    superset = Superset(dashboards.address, "admin", dashboards.password)
    with closing(sqlite3.connect(dashboards.state / "superset.db")) as database:
        [known] = database.execute("SELECT coalesce(max(id), 0) FROM logs").fetchone()
        assert all(superset.charts("web-traffic").values())
        actions = {action for (action,) in database.execute("SELECT action FROM logs WHERE id > ?", [known])}
    # What a browser tells of a page that was closed may come late.
    assert actions - {"log"} <= {"DashboardRestApi.get_charts", "csrf_token"}
    assert "DashboardRestApi.get_charts" in actions


TILES = {
    "web-traffic": {
        "Hits": f"select count(*) from access_logs where date >= date '{FIRST_DAY}'",
        "Daily visitors": f"select sum(visitors) from access_logs_visitors_daily where day >= date '{FIRST_DAY}'",
    },
    "geo-services": {
        "Service requests": f"select count(*) from access_logs where service is not null and date >= date '{FIRST_DAY}'",
        "Downloads": f"select count(*) from access_logs where is_download and date >= date '{FIRST_DAY}'",
        "Organisations": f"select count(distinct org) from access_logs where date >= date '{FIRST_DAY}'",
    },
    "classification-api": {
        "Requests": f"select count(*) from api_logs where date >= date '{FIRST_DAY}'",
        "Coded automatically": "select round(avg(case when confidence >= 0.8 and code is not null then 1 else 0 end), 3) "
        f"from api_logs where date >= date '{FIRST_DAY}'",
    },
    "lakehouse-health": {
        "Loads": "select count(*) from loads where kind = 'load'",
        "Rows loaded": "select sum(rows_added) from loads",
        "Rejects": "select count(*) from rejects",
        "Missing days": "select sum(missing) from access_logs_coverage",
    },
}
"""What numbers on the dashboards are in SQL over the rows."""


@pytest.mark.parametrize("slug", TABS)
def test_every_chart_is_drawn_and_true(dashboards: Dashboards, page: Page, slug: str) -> None:
    open_dashboard(page, dashboards.address, slug, TABS[slug])
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(TABS[slug], 1):
        open_tab(page, TABS[slug], name)
        page.screenshot(path=SCREENSHOTS / f"{slug}-{place}.png", full_page=True)
        assert problems(page) == [], name
    for title, query in TILES[slug].items():
        (expected,) = dashboards.sql(query)[0].values()
        assert number(tile(page, title)) == float(str(expected)), title


def test_a_click_filters_the_other_charts(dashboards: Dashboards, page: Page) -> None:
    open_dashboard(page, dashboards.address, "web-traffic", TABS["web-traffic"])
    open_tab(page, TABS["web-traffic"], "Paths and bytes")
    page.locator("[data-test=dashboard-component-chart-holder] td", has_text=re.compile("^geoserver$")).first.click()
    wait_until_drawn(page, TABS["web-traffic"]["Paths and bytes"])
    condition = f"application = 'geoserver' and date >= date '{FIRST_DAY}'"
    (hits,) = dashboards.sql(f"select count(*) from access_logs where {condition}")[0].values()
    expect(tile_of(page, "Hits")).to_have_text(f"{hits:,}", timeout=DRAWN)


FILTERS = {
    "web-traffic": [
        ("Site", "rennes", "Hits", "select count(*) from access_logs where site = 'rennes' and {days}"),
        (
            "Application", "geoserver", "Hits",
            "select count(*) from access_logs where site = 'rennes' and application = 'geoserver' and {days}",
        ),
    ],
    "geo-services": [
        ("Site", "rennes", "Downloads", "select count(*) from access_logs where is_download and site = 'rennes' and {days}"),
        (
            "Application", "geoserver", "Downloads",
            "select count(*) from access_logs where is_download and site = 'rennes' and application = 'geoserver' and {days}",
        ),
    ],
    "classification-api": [
        (
            "Threshold", "0.9", "Coded automatically",
            "select avg(case when confidence >= 0.9 and code is not null then 1e0 else 0 end) from api_logs where {days}",
        ),
        ("Site", "rennes", "Requests", "select count(*) from api_logs where site = 'rennes' and {days}"),
    ],
    "lakehouse-health": [
        ("Site", "rennes", "Rows loaded", "select cast(sum(rows_added) as bigint) from load_reports where site = 'rennes'"),
        (
            "Dataset", "api_logs", "Loads",
            "select count(distinct load_id) from load_reports where kind = 'load' and site = 'rennes' and dataset = 'api_logs'",
        ),
    ],
}  # fmt: skip
"""Filters that somebody sets, one after the other, their values, a tile that they change, and what it is then in SQL."""


@pytest.mark.parametrize("slug", TABS)
def test_filters_on_site_application_and_threshold(dashboards: Dashboards, page: Page, slug: str) -> None:
    open_dashboard(page, dashboards.address, slug, TABS[slug])
    for name, value, title, query in FILTERS[slug]:
        before = tile(page, title)
        (answer,) = dashboards.sql(query.format(days=f"date >= date '{FIRST_DAY}'"))[0].values()
        expected = f"{answer:.1%}" if isinstance(answer, float) else f"{answer:,}"
        assert expected != before, "the filter would change nothing"
        choose(page, name, value)
        expect(tile_of(page, title)).to_have_text(expected, timeout=DRAWN)


def test_all_requests_of_the_time_range_can_be_leafed_through(dashboards: Dashboards, page: Page) -> None:
    open_dashboard(page, dashboards.address, "classification-api", TABS["classification-api"])
    open_tab(page, TABS["classification-api"], "Newest requests")
    (requests,) = dashboards.sql(f"select count(*) from api_logs where date >= date '{FIRST_DAY}'")[0].values()
    pages = chart_of(page, "Newest requests").locator(".pagination a")
    assert pages.last.inner_text() == str(math.ceil(float(str(requests)) / 10))
    newest = chart_of(page, "Newest requests").locator("tbody tr").first
    first = newest.inner_text()
    pages.filter(has_text=re.compile("^2$")).click()
    expect(newest).not_to_have_text(first, timeout=DRAWN)


def test_a_chart_without_rows_is_a_problem(dashboards: Dashboards, page: Page) -> None:
    open_dashboard(page, dashboards.address, "web-traffic", TABS["web-traffic"], between("2001-01-01", "2001-01-02"))
    assert len(problems(page)) == TABS["web-traffic"]["Traffic"]


def test_a_chart_with_an_error_is_a_problem(dashboards: Dashboards, page: Page) -> None:
    def ask_for_nonsense(route: Route) -> None:
        route.continue_(post_data=(route.request.post_data or "").replace('"metrics":["hits"]', '"metrics":["nonsense"]'))

    page.route("**/api/v1/chart/data*", ask_for_nonsense)
    try:
        page.goto(f"{dashboards.address}/superset/dashboard/web-traffic/")
        expect(chart_of(page, "Hits").get_by_text("Metric 'nonsense' does not exist")).to_be_visible(timeout=DRAWN)
        assert any("Metric 'nonsense' does not exist" in problem for problem in problems(page))
    finally:
        page.unroute("**/api/v1/chart/data*")


def test_a_filter_on_days(dashboards: Dashboards, page: Page) -> None:
    days = between(str(YESTERDAY - timedelta(days=2)), str(YESTERDAY))
    open_dashboard(page, dashboards.address, "web-traffic", TABS["web-traffic"], days)
    assert problems(page) == []
    condition = f"date >= date '{YESTERDAY - timedelta(days=2)}' and date < date '{YESTERDAY}'"
    hits = dashboards.sql(f"select count(*) hits from access_logs where {condition}")[0]["hits"]
    assert number(tile(page, "Hits")) == hits


def test_percentiles_are_those_of_the_package(dashboards: Dashboards, page: Page) -> None:
    day = str(YESTERDAY)
    open_dashboard(page, dashboards.address, "web-traffic", TABS["web-traffic"], between(day, str(YESTERDAY + timedelta(days=1))))
    row = dashboards.sql(
        "with b as (select middle_ms, sum(hits) hits from access_logs_latency "
        f"where day = date '{day}' group by 1), c as (select middle_ms, sum(hits) over (order by middle_ms) running, "
        "sum(hits) over () total from b) select round(min(middle_ms) filter (running >= 0.95 * total)) p95 from c"
    )[0]
    assert number(tile(page, "Response time, p95 (ms)")) == row["p95"]


def test_a_load_shows_without_a_restart(dashboards: Dashboards, page: Page, tmp_path: Path) -> None:
    days = between(str(YESTERDAY - timedelta(days=1)), str(YESTERDAY + timedelta(days=1)))
    open_dashboard(page, dashboards.address, "web-traffic", TABS["web-traffic"], days)
    before = number(tile(page, "Hits"))
    log = tmp_path / "new.log"
    line = f'192.0.2.7 - - [{YESTERDAY:%d/%b/%Y}:10:00:00 +0000] "GET /new HTTP/1.1" 200 10 "-" "curl/8"\n'
    log.write_text(line * 7)
    command = [sys.executable, "-m", "lakehouse", "load", "access_logs", str(log), "--site", "lyon"]
    subprocess.run(command, env=dashboards.environment, check=True, stdout=subprocess.DEVNULL)
    # The same rows in another range: the answer is not in the cache.
    days = between(str(YESTERDAY - timedelta(days=1)), str(YESTERDAY + timedelta(days=2)))
    open_dashboard(page, dashboards.address, "web-traffic", TABS["web-traffic"], days)
    assert number(tile(page, "Hits")) == before + 7


def test_an_unload_is_no_load(dashboards: Dashboards, page: Page, tmp_path: Path) -> None:
    log = tmp_path / "mistake.log"
    log.write_text(f'192.0.2.7 - - [{YESTERDAY:%d/%b/%Y}:11:00:00 +0000] "GET /mistake HTTP/1.1" 200 10 "-" "curl/8"\n')
    for command in ("load", "--site", "lyon", str(log)), ("unload", str(log)):
        lakehouse = [sys.executable, "-m", "lakehouse", command[0], "access_logs", *command[1:]]
        subprocess.run(lakehouse, env=dashboards.environment, check=True, stdout=subprocess.DEVNULL)
    kinds = dashboards.sql("select kind, count(distinct load_id) n from load_reports group by kind order by kind")
    loads, unloads = (row["n"] for row in kinds)
    assert unloads == 1
    # The time range makes it another question than those that are in the cache.
    days = between(str(FIRST_DAY), str(YESTERDAY + timedelta(days=4)))
    open_dashboard(page, dashboards.address, "lakehouse-health", TABS["lakehouse-health"], days)
    assert number(tile(page, "Loads")) == loads
