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
    lines = [_measure(served, superset, slug, times) for slug in superset.dashboards()]
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
    slowest = f"The slowest charts: {', '.join(f'{chart} ({slug})' for slug, *_, chart in lines)}."
    wanted = f"Goal: {goal:,} ms until a chart is painted first."
    return Report(name, title, headings, [line[:-1] for line in lines], (wanted, slowest))


def _measure(served: Served, superset: "Superset", slug: str, times: int) -> tuple[str, ...]:
    """Name, charts and times of a dashboard, and the name of its slowest chart."""
    from tests.support.charts import query_context

    charts = superset.get(f"/api/v1/dashboard/{slug}/charts")["result"]
    contexts = [query_context(chart["form_data"]) for chart in charts]
    # Once without a clock: Trino compiles what it runs for the first time.
    for context in contexts:
        _ask(superset, context)
    alone = [statistics.median(timed(partial(_ask, superset, context), times)) for context in contexts]

    slowest_among_all: list[float] = []

    def all_at_once() -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            seconds = pool.map(lambda context: timed(partial(_ask, superset, context), 1)[0], contexts)
            slowest_among_all.append(max(seconds))

    together = statistics.median(timed(all_at_once, times))
    painted, drawn = _drawn(served, slug, superset.tabs(slug), len(contexts), times)
    slowest = max(alone)
    return (
        slug,
        str(len(contexts)),
        *(f"{seconds * 1000:,.0f}" for seconds in (slowest, statistics.median(slowest_among_all), together, painted, drawn)),
        charts[alone.index(slowest)]["slice_name"],
    )


def _ask(superset: "Superset", context: dict[str, Any]) -> None:
    superset.post("/api/v1/chart/data", context)


def _drawn(served: Served, slug: str, tabs: dict[str, int], charts: int, times: int) -> tuple[float, float]:
    """What a person waits for whose browser knows the program, but no answer: medians of seconds.

    Returns:
        For the first paint of a chart, the slowest of all, since its question or since somebody came to it, which was later;
        and for all charts in the first window, since the address.
    """
    from tests.browser import pages

    with pages.browser_page(served.folder / f"chromium-{slug}") as (page, _):
        pages.behave_like_a_person(page)
        pages.log_in(page, served.address, "admin", served.password)

        opened = partial(pages.open_first_window, page, served.address, slug, tabs)
        opened()
        pages.look_at_each(page, tabs)
        seconds, slowest = [], []
        for _ in range(times):
            page.goto("about:blank")
            served.forget()
            seconds += timed(opened, 1)
            waited = pages.look_at_each(page, tabs)
            assert len(waited) == charts, f"{len(waited)} of {charts} charts were asked for"
            slowest.append(max(waited.values()) / 1000)
    return statistics.median(slowest), statistics.median(seconds)
