"""How long the dashboards of a Superset let people wait, whichever engine answers."""

import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import timed
from benchmarks.options import Options
from benchmarks.report import Report

if TYPE_CHECKING:
    from tests.support.charts import Superset

TIMES, QUICK_TIMES = 5, 1
AT_ONCE = 6
"""Questions that a browser asks one server at the same time."""


@dataclass(frozen=True)
class Served:
    """A running Superset.

    Args:
        address: without a path.
        password: of the user `admin`.
        folder: for the profiles of browsers.
        forget: deletes the answers that it has cached.
    """

    address: str
    password: str
    folder: Path
    forget: Callable[[], object]


def dashboards_report(name: str, what: str, served: Served, options: Options, goal: int) -> Report:
    """The table of all dashboards.

    Args:
        name: of the table's markers.
        what: is asked: engine and rows.
        served: by which Superset.
        options: of the benchmark.
        goal: in milliseconds.
    """
    from tests.support.charts import Superset

    times = QUICK_TIMES if options.quick else TIMES
    superset = Superset(served.address, "admin", served.password)
    # All questions before all pages, and pages in turns: Trino compiles for its first thousand questions, then serves for weeks.
    asked = {slug: _asked(superset, slug, times) for slug in superset.dashboards()}
    seen = _seen(served, {slug: (superset.tabs(slug), len(alone)) for slug, (alone, *_) in asked.items()}, times)
    lines = []
    for slug, (alone, among_all, together) in asked.items():
        seconds = (max(alone.values()), among_all, together, *seen[slug])
        lines.append((slug, str(len(alone)), *(f"{value * 1000:,.0f}" for value in seconds)))
    title = f"Dashboards {what}, nothing cached, median of {times}"
    headings = (
        "dashboard",
        "charts",
        "slowest chart, ms",
        "slowest among all, ms",
        "all charts answered, ms",
        "slowest first paint, ms",
        "first window drawn, ms",
    )
    slowest_charts = ", ".join(f"{max(alone, key=alone.__getitem__)} ({slug})" for slug, (alone, *_) in asked.items())
    wanted = f"Goal: {goal:,} ms until a chart is painted first."
    return Report(name, title, headings, lines, (wanted, f"The slowest charts: {slowest_charts}."))


def _asked(superset: "Superset", slug: str, times: int) -> tuple[dict[str, float], float, float]:
    """What a dashboard's charts wait for their answers: medians of seconds.

    Returns:
        For each chart alone, by its name; for the slowest when all are asked for at once; and then for all of them.
    """
    from tests.support.charts import query_context

    charts = superset.get(f"/api/v1/dashboard/{slug}/charts")["result"]
    contexts = {chart["slice_name"]: query_context(chart["form_data"]) for chart in charts}
    for context in contexts.values():  # once without a clock
        _ask(superset, context)
    alone = {name: statistics.median(timed(partial(_ask, superset, context), times)) for name, context in contexts.items()}

    slowest_among_all: list[float] = []

    def all_at_once() -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            seconds = pool.map(lambda context: timed(partial(_ask, superset, context), 1)[0], contexts.values())
            slowest_among_all.append(max(seconds))

    together = statistics.median(timed(all_at_once, times))
    return alone, statistics.median(slowest_among_all), together


def _ask(superset: "Superset", context: dict[str, Any]) -> None:
    superset.post("/api/v1/chart/data", context)


def _seen(served: Served, dashboards: dict[str, tuple[dict[str, int], int]], times: int) -> dict[str, tuple[float, float]]:
    """What a person waits for whose browser knows the program, but no answer: medians of seconds by dashboard.

    Args:
        served: by which Superset.
        dashboards: the tabs of each, and how many charts it has.
        times: that each is opened, in turns, after once without a clock.

    Returns:
        For the first paint of a chart, the slowest of all, since its question or since somebody came to it, which was later;
        and for all charts in the first window, since the address.
    """
    from tests.browser import pages

    painted: dict[str, list[float]] = {slug: [] for slug in dashboards}
    drawn: dict[str, list[float]] = {slug: [] for slug in dashboards}
    with pages.browser_page(served.folder / "chromium") as (page, _):
        pages.behave_like_a_person(page)
        pages.log_in(page, served.address, "admin", served.password)
        for slug, (tabs, charts) in list(dashboards.items()) * (1 + times):
            page.goto("about:blank")
            served.forget()
            drawn[slug] += timed(partial(pages.open_first_window, page, served.address, slug, tabs), 1)
            waited = pages.look_at_each(page, tabs)
            assert len(waited) == charts, f"{len(waited)} of {charts} charts of {slug} were asked for"
            painted[slug].append(max(waited.values()) / 1000)
    return {slug: (statistics.median(painted[slug][1:]), statistics.median(drawn[slug][1:])) for slug in dashboards}
