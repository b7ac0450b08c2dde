"""The dashboards over 30 million rows on DuckDB: until each chart has its answer, and until a browser has drawn them all."""

import shutil
import statistics
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.home import settings_of
from benchmarks.measure import timed
from benchmarks.options import Options
from benchmarks.report import Report
from lakehouse.datasets import get_dataset
from lakehouse.errors import LakehouseError
from lakehouse.inputs import find_inputs
from lakehouse.load import Loader, Request
from lakehouse.load_options import Options as LoadOptions
from lakehouse.sample import fill, write_sample
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from tests.browser.conftest import Dashboards
    from tests.support.charts import Superset

ROWS, QUICK_ROWS = 30_000_000, 3_000
SITES = ("rennes", "paris", "lyon")
TIMES, QUICK_TIMES = 5, 1
AT_ONCE = 6
"""Questions that a browser asks one server at the same time."""
GOAL = 2000


def run(options: Options) -> list[Report]:
    """Measure; see docs/benchmarks.md."""
    rows, times = (QUICK_ROWS, QUICK_TIMES) if options.quick else (ROWS, TIMES)
    _fill(settings_of(options.folder), options.folder / "logs", rows)
    with _serving(options.folder) as dashboards:
        from tests.support.charts import Superset

        superset = Superset(dashboards.address, "admin", dashboards.password)
        lines = [_measure(dashboards, superset, slug, times) for slug in superset.dashboards()]
    title = f"Dashboards over {rows:,} rows of access logs of {fill.DAYS} days, nothing cached, median of {times}"
    headings = ("dashboard", "charts", "slowest chart, ms", "all charts answered, ms", "all drawn in a browser, ms")
    slowest = f"The slowest charts: {', '.join(f'{name} ({slug})' for slug, *_, name in lines)}."
    return [Report("dashboards", title, headings, [line[:-1] for line in lines], (f"Goal: {GOAL:,} ms.", slowest))]


def _fill(settings: Settings, logs: Path, rows: int) -> None:
    """Access logs of the last days, a site at a time; the other dataset gets its sample when the dashboards start."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    loader = Loader(settings, get_dataset("access_logs", settings.datasets_folder))
    for seed, site in enumerate(SITES):
        share = min(rows // len(SITES), 1_000_000)
        write_sample(
            "access_logs", logs, fill.DAYS, rows // len(SITES), site, seed, yesterday, response_time=True,
            unique_addresses=share // 5, unique_agents=share // 50, unique_urls=share // 10,
        )  # fmt: skip
        loader.run(Request(find_inputs([str(logs)], settings), LoadOptions(site=site, format=fill.FORMAT)))
        shutil.rmtree(logs)


@contextmanager
def _serving(home: Path) -> "Iterator[Dashboards]":
    try:
        from tests.browser.conftest import PYTHON, serving
    except ImportError as error:
        raise LakehouseError(f"{error}: run this in the repository's folder, after make lint") from error
    if not PYTHON.exists():
        raise LakehouseError("Superset is not installed: make .venv-superset/.installed")
    with serving(home) as dashboards:
        yield dashboards


def _measure(dashboards: "Dashboards", superset: "Superset", slug: str, times: int) -> tuple[str, ...]:
    """Name, charts and times of a dashboard, and the name of its slowest chart."""
    from tests.support.charts import query_context

    charts = superset.get(f"/api/v1/dashboard/{slug}/charts")["result"]
    contexts = [query_context(chart["form_data"]) for chart in charts]
    alone = [statistics.median(timed(partial(_ask, superset, context), times)) for context in contexts]

    def all_at_once() -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(partial(_ask, superset), contexts))

    together = statistics.median(timed(all_at_once, times))
    drawn = _drawn(dashboards, slug, len(contexts), times)
    slowest = max(alone)
    return (
        slug,
        str(len(contexts)),
        *(f"{seconds * 1000:,.0f}" for seconds in (slowest, together, drawn)),
        charts[alone.index(slowest)]["slice_name"],
    )


def _ask(superset: "Superset", context: dict[str, Any]) -> None:
    superset.post("/api/v1/chart/data", context)


def _drawn(dashboards: "Dashboards", slug: str, charts: int, times: int) -> float:
    """Median of the seconds until a browser that knows the program, but no answer, has drawn a dashboard."""
    from tests.browser.pages import browser_page, log_in, open_dashboard

    with browser_page(dashboards.home / f"chromium-{slug}") as (page, _):
        log_in(page, dashboards.address, "admin", dashboards.password)
        open_dashboard(page, dashboards.address, slug, charts)

        def opened() -> None:
            page.goto("about:blank")
            open_dashboard(page, dashboards.address, slug, charts)

        seconds = []
        for _ in range(times):
            for answer in (dashboards.state / "cache" / "data").glob("*"):
                answer.unlink(missing_ok=True)
            seconds += timed(opened, 1)
    return statistics.median(seconds)
