"""The dashboards over 30 million rows on DuckDB: until each chart has its answer, and until a browser has drawn them all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.dashboard_times import Served, dashboards_report
from benchmarks.home import settings_of
from benchmarks.options import Options
from benchmarks.report import Report
from lakehouse.datasets import get_dataset
from lakehouse.errors import LakehouseError
from lakehouse.inputs import find_inputs
from lakehouse.load import Loader, Request
from lakehouse.load_options import Options as LoadOptions
from lakehouse.sample import fill, write_sample
from lakehouse.settings import Settings

ROWS, QUICK_ROWS = 30_000_000, 3_000
SITES = ("rennes", "paris", "lyon")
GOAL = 2000


def run(options: Options) -> list[Report]:
    """Measure; see docs/benchmarks.md."""
    rows = fill_access_logs(settings_of(options.folder), options)
    with _serving(options.folder) as served:
        return [dashboards_report("dashboards", f"on DuckDB over {rows}", served, options, GOAL)]


def fill_access_logs(settings: Settings, options: Options) -> str:
    """Load access logs of the last days, a site at a time, and say how many rows they are."""
    rows = QUICK_ROWS if options.quick else ROWS
    logs = options.folder / "logs"
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
    return f"{rows:,} rows of access logs of {fill.DAYS} days"


@contextmanager
def _serving(home: Path) -> Iterator[Served]:
    """Superset over a lakehouse; the other dataset gets its sample when it starts."""
    try:
        from tests.browser.conftest import PYTHON, serving
    except ImportError as error:
        raise LakehouseError(f"{error}: run this in the repository's folder, after make lint") from error
    if not PYTHON.exists():
        raise LakehouseError("Superset is not installed: make .venv-superset/.installed")
    with serving(home) as made:

        def forget() -> None:
            for answer in (made.state / "cache" / "data").glob("*"):
                answer.unlink(missing_ok=True)

        yield Served(made.address, made.password, home, forget)
