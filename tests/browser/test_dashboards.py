"""The dashboard Web traffic, as a person sees it: drawn, true, and up to date after a load."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Dashboards
from tests.browser.pages import browser_page, log_in, open_dashboard, problems, tile

pytestmark = pytest.mark.browser
CHARTS = 15
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"


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


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_every_chart_is_drawn_and_true(dashboards: Dashboards, page: Page) -> None:
    open_dashboard(page, dashboards.address, "web-traffic", CHARTS)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "web_traffic.png", full_page=True)
    assert problems(page) == []
    first = YESTERDAY - timedelta(days=18)  # 20 days with today
    hits = dashboards.sql(f"select count(*) hits from access_logs where date >= date '{first}'")[0]["hits"]
    assert number(tile(page, "Hits")) == hits
    query = f"select cast(sum(visitors) as bigint) visitors from access_logs_visitors_daily where day >= date '{first}'"
    visitors = dashboards.sql(query)[0]["visitors"]
    assert number(tile(page, "Daily visitors")) == visitors


def test_a_filter_on_days(dashboards: Dashboards, page: Page) -> None:
    days = between(str(YESTERDAY - timedelta(days=2)), str(YESTERDAY))
    open_dashboard(page, dashboards.address, "web-traffic", CHARTS, days)
    assert problems(page) == []
    condition = f"date >= date '{YESTERDAY - timedelta(days=2)}' and date < date '{YESTERDAY}'"
    hits = dashboards.sql(f"select count(*) hits from access_logs where {condition}")[0]["hits"]
    assert number(tile(page, "Hits")) == hits


def test_percentiles_are_those_of_the_package(dashboards: Dashboards, page: Page) -> None:
    day = str(YESTERDAY)
    open_dashboard(page, dashboards.address, "web-traffic", CHARTS, between(day, str(YESTERDAY + timedelta(days=1))))
    row = dashboards.sql(
        "with b as (select middle_ms, sum(hits) hits from access_logs_latency "
        f"where day = date '{day}' group by 1), c as (select middle_ms, sum(hits) over (order by middle_ms) running, "
        "sum(hits) over () total from b) select round(min(middle_ms) filter (running >= 0.95 * total)) p95 from c"
    )[0]
    assert number(tile(page, "Response time, p95 (ms)")) == row["p95"]


def test_a_load_shows_without_a_restart(dashboards: Dashboards, page: Page, tmp_path: Path) -> None:
    days = between(str(YESTERDAY - timedelta(days=1)), str(YESTERDAY + timedelta(days=1)))
    open_dashboard(page, dashboards.address, "web-traffic", CHARTS, days)
    before = number(tile(page, "Hits"))
    log = tmp_path / "new.log"
    line = f'192.0.2.7 - - [{YESTERDAY:%d/%b/%Y}:10:00:00 +0000] "GET /new HTTP/1.1" 200 10 "-" "curl/8"\n'
    log.write_text(line * 7)
    command = [sys.executable, "-m", "lakehouse", "load", "access_logs", str(log), "--site", "lyon"]
    subprocess.run(command, env=dashboards.environment, check=True, stdout=subprocess.DEVNULL)
    # The same rows in another range: the answer is not in the cache.
    days = between(str(YESTERDAY - timedelta(days=1)), str(YESTERDAY + timedelta(days=2)))
    open_dashboard(page, dashboards.address, "web-traffic", CHARTS, days)
    assert number(tile(page, "Hits")) == before + 7
