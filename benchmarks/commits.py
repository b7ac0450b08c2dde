"""What a commit costs in a young table and in one of 3,650 daily commits."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.home import settings_of
from benchmarks.measure import percentile
from benchmarks.options import Options
from benchmarks.report import Report
from lakehouse.datasets import get_dataset
from lakehouse.inputs import find_inputs
from lakehouse.ledger_commit import commit_with_ledger
from lakehouse.load import Loader, Request
from lakehouse.load_options import Options as LoadOptions

DAYS, QUICK_DAYS = (10, 3650), (3, 10)
MORE, QUICK_MORE = 200, 5
LINES = 10
GOAL = 1.2
FIRST = datetime(2016, 1, 1, tzinfo=UTC)
DATASET = """
doc = "Events of one line."
[format]
type = "ndjson"
[timestamp]
path = "time"
kind = "iso8601"
[[columns]]
name = "text"
"""
Times = tuple[list[float], list[float]]


def run(options: Options) -> list[Report]:
    """Measure; see docs/benchmarks.md."""
    sizes, more = (QUICK_DAYS, QUICK_MORE) if options.quick else (DAYS, MORE)
    tables = [_Table(options.folder / f"{days}-days", days) for days in sizes]
    measured: list[Times] = [([], []) for _ in tables]
    # In turns, so that what else happens on the machine touches both alike.
    for _ in range(more):
        for table, times in zip(tables, measured, strict=True):
            table.measure_one(times)
    lines = [_row(f"{days:,} days stored", times) for days, times in zip(sizes, measured, strict=True)]
    lines.append(("ratio", *_ratios(*measured)))
    headings = ("table", "commit p50 ms", "p99", "max", "load p50 ms", "p99", "max")
    title = f"{more} more daily commits: the commit alone, and the whole load of a file of {LINES} lines"
    return [Report("commits", title, headings, lines, (f"Goal: p50 and p99 at most {GOAL:g} times.",))]


class _Table:
    """A lakehouse in `folder` with one commit for each of `days` days."""

    def __init__(self, folder: Path, days: int):
        self._folder = folder
        self._settings = settings_of(folder / "home")
        self._settings.datasets_folder.mkdir(parents=True)
        (self._settings.datasets_folder / "events.toml").write_text(DATASET, encoding="utf-8")
        self._days = days
        logs = [self._write_log(number) for number in range(days)]
        inputs = find_inputs([str(log) for log in logs], self._settings)
        self._loader().run(Request(inputs, LoadOptions("demo"), commit_every=1))

    def _loader(self) -> Loader:
        return Loader(self._settings, get_dataset("events", self._settings.datasets_folder))

    def _write_log(self, number: int) -> Path:
        day = FIRST + timedelta(days=number)
        moments = (day + timedelta(hours=2 * line) for line in range(LINES))
        lines = (json.dumps({"time": moment.isoformat(), "text": f"event {number}"}) for moment in moments)
        log = self._folder / f"{number:05}.log"
        log.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return log

    def measure_one(self, times: Times) -> None:
        """Load one more day by a loader of its own, as the command has, and note the seconds of commit and load."""
        inputs = find_inputs([str(self._write_log(self._days))], self._settings)
        self._days += 1
        commits, loads = times
        with patch("lakehouse.load_commit.commit_with_ledger", _watched(commit_with_ledger, commits)):
            begun = time.perf_counter()
            self._loader().run(Request(inputs, LoadOptions("demo")))
            loads.append(time.perf_counter() - begun)


def _watched(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    def watched(*arguments: Any, **keywords: Any) -> Any:
        begun = time.perf_counter()
        try:
            return function(*arguments, **keywords)
        finally:
            seconds.append(time.perf_counter() - begun)

    return watched


def _figures(seconds: list[float]) -> tuple[float, float, float]:
    return percentile(seconds, 50), percentile(seconds, 99), max(seconds)


def _row(name: str, times: Times) -> tuple[str, ...]:
    return name, *(f"{figure * 1000:.0f}" for seconds in times for figure in _figures(seconds))


def _ratios(young: Times, old: Times) -> list[str]:
    pairs = zip(young, old, strict=True)
    return [
        f"{after / before:.2f}"
        for first, second in pairs
        for before, after in zip(_figures(first), _figures(second), strict=True)
    ]
