"""The query for the last 20 days with 20 days stored and with 3,650: from the table, and from what was published."""

import os
import shutil
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from benchmarks.home import settings_of
from benchmarks.measure import timed
from benchmarks.options import Options
from benchmarks.report import Report, shout
from benchmarks.samples import END, SEED
from lakehouse.datasets import get_dataset
from lakehouse.engines import duckdb as engine
from lakehouse.inputs import find_inputs
from lakehouse.load import Loader, Request
from lakehouse.load_options import Options as LoadOptions
from lakehouse.publish import Publisher
from lakehouse.reading import Reader
from lakehouse.sample import write_sample
from lakehouse.settings import Settings

LAST = 20
DAYS, QUICK_DAYS = (LAST, 3650), (2, LAST + 1)
ROWS_A_DAY, QUICK_ROWS_A_DAY = 100, 10
TIMES, QUICK_TIMES = 15, 1
GOAL = 1.2
TRUTH = "table, filter on date"
VIEW = "SELECT * FROM api_logs_last_20_days"
FILTER = f"SELECT * FROM api_logs WHERE date > DATE '{END}' - {LAST}"
GLOB = """
SELECT * FROM read_parquet('{place}/*/daily_logs_0.parquet', HIVE_PARTITIONING = 1) WHERE date IN (
    SELECT DISTINCT(date) FROM read_parquet('{place}/*/daily_logs_0.parquet', HIVE_PARTITIONING = 1) ORDER BY date DESC LIMIT 20)
"""


@dataclass(frozen=True)
class _Place:
    """Where tables and published files lie: an address, and the settings that reach it."""

    name: str
    address: str
    environment: dict[str, str]


def run(options: Options) -> list[Report]:
    """Measure; see docs/benchmarks.md."""
    sizes, rows, times = (QUICK_DAYS, QUICK_ROWS_A_DAY, QUICK_TIMES) if options.quick else (DAYS, ROWS_A_DAY, TIMES)
    notes = [f"Goal: at most {GOAL:g} times."]
    lines: list[tuple[str, ...]] = []
    with ExitStack() as stack:
        places = [_Place("folder", str(options.folder / "stored"), {})]
        try:
            places.append(stack.enter_context(_s3(options.folder)))
        except _S3MissingError as error:
            shout(f"S3 is left out: {error}")
            notes.append("There was no S3 server.")
        for place in places:
            for query, (few, many) in _measure(options.folder, place, sizes, rows, times).items():
                lines.append((f"{query}, {place.name}", f"{few * 1000:.0f}", f"{many * 1000:.0f}", f"{many / few:.2f}"))
    title = f"The last {LAST} days of api_logs, {rows} rows a day, median of {times}"
    headings = ("query", *(f"{days:,} days stored, ms" for days in sizes), "ratio")
    return [Report("last-days", title, headings, lines, notes)]


class _S3MissingError(Exception):
    pass


@contextmanager
def _s3(folder: Path) -> Iterator[_Place]:
    """The S3 server of the tests; raises _S3MissingError where it cannot be had."""
    try:
        from tests.cluster.node.programs import VERSITYGW, GoMissingError, program
        from tests.s3server import running_server
    except ImportError as error:
        raise _S3MissingError(f"{error}: run this in the repository's folder, after make lint") from error
    try:
        program(VERSITYGW)
    except GoMissingError as error:
        raise _S3MissingError(str(error)) from error
    home = folder / "s3"
    home.mkdir()
    with running_server(home) as server:
        keys = {"LAKEHOUSE_S3_ACCESS_KEY_ID": server.access_key, "LAKEHOUSE_S3_SECRET_ACCESS_KEY": server.secret_key}
        yield _Place("S3", f"s3://{server.bucket}", {**server.environment(), **keys})


def _measure(folder: Path, place: _Place, sizes: Sequence[int], rows: int, times: int) -> dict[str, list[float]]:
    """Seconds of each query with each number of days stored, the median.

    All are filled before any is asked, and are asked in turn: what writing thousands of files leaves for the system to do
    would otherwise be counted for the larger one alone.
    """
    stored = {days: _stored(folder, place, days, rows) for days in sizes}
    os.sync()
    medians = {}
    with ExitStack() as stack:
        sides = []
        for days, settings in stored.items():
            connection = stack.enter_context(closing(Reader(settings).connect()))
            sides.append(_queries(connection, settings, f"{place.address}/{days}/published"))
        expected = [queries[TRUTH]().num_rows for queries in sides]
        for query in sides[0]:
            found = [queries[query]().num_rows for queries in sides]
            assert found == expected, f"{query}: {found} rows instead of {expected}"
            medians[query] = _in_turn([queries[query] for queries in sides], times)
    return medians


def _in_turn(actions: Sequence[Callable[[], object]], times: int) -> list[float]:
    """Median seconds of each action; they take turns, and take turns in who is the first."""
    seconds: list[list[float]] = [[] for _ in actions]
    for turn in range(times):
        for place in range(len(actions))[:: 1 if turn % 2 else -1]:
            seconds[place] += timed(actions[place], 1)
    return [statistics.median(measured) for measured in seconds]


def _queries(connection: duckdb.DuckDBPyConnection, settings: Settings, published: str) -> dict[str, Callable[[], pa.Table]]:
    return {
        TRUTH: lambda: engine.run(connection, FILTER),
        "table, view of the last 20 days": lambda: engine.run(connection, VIEW),
        "published files, glob": lambda: engine.run(connection, GLOB.format(place=published)),
        "lakehouse sql, filter on date": lambda: Reader(settings).sql(FILTER),
    }


def _stored(folder: Path, place: _Place, days: int, rows: int) -> Settings:
    """A lakehouse with so many days of so many rows each, in its table and published."""
    home, address = folder / f"{place.name}-{days}", f"{place.address}/{days}"
    settings = settings_of(home, {**place.environment, "LAKEHOUSE_WAREHOUSE": f"{address}/warehouse"})
    _fill(settings, home / "logs", days, rows)
    Publisher(settings, "api_logs", f"{address}/published").run()
    return settings


def _fill(settings: Settings, logs: Path, days: int, rows: int) -> None:
    write_sample("api_logs", logs, days, rows * days, "demo", SEED, END)
    inputs = find_inputs([str(logs)], settings)
    Loader(settings, get_dataset("api_logs", settings.datasets_folder)).run(Request(inputs, LoadOptions("demo")))
    shutil.rmtree(logs)
