"""Peak resident memory of loads: of one million lines, of ten, and of ten in no order over many days and sites."""

import sys
from pathlib import Path

from benchmarks.measure import Usage, run_measured
from benchmarks.options import Options
from benchmarks.report import Report
from benchmarks.samples import combined_log, shuffled_logs

ROWS, QUICK_ROWS = 1_000_000, 1_000
TIMES = 10
DAYS, QUICK_DAYS = 3650, 5
SITES = 20
PEAK_GOAL_MB = 600
RATIO_GOAL = 1.2


def run(options: Options) -> list[Report]:
    """Measure; see docs/benchmarks.md."""
    rows = QUICK_ROWS if options.quick else ROWS
    days = QUICK_DAYS if options.quick else DAYS
    shuffled = shuffled_logs(rows * TIMES, days, SITES)
    cases: tuple[tuple[str, Path | str, list[str]], ...] = (
        (f"{rows:,} in order", combined_log(rows), ["--site", "demo"]),
        (f"{rows * TIMES:,} in order, one file", combined_log(rows * TIMES, TIMES), ["--site", "demo"]),
        (f"{rows * TIMES:,} shuffled over {days:,} days and {SITES} sites", f"{shuffled}/{{site}}/access.log", []),
    )
    usages = [(name, _load(options.folder / f"home-{number}", path, more)) for number, (name, path, more) in enumerate(cases)]
    base = usages[0][1].peak_mb
    lines = [
        (name, f"{usage.peak_mb:.0f}", f"{usage.peak_mb / base:.2f}", f"{usage.cpu:.1f}", f"{usage.wall:.1f}")
        for name, usage in usages
    ]
    goal = f"Goals: at most {PEAK_GOAL_MB} MB and at most {RATIO_GOAL:g} times the first line."
    return [Report("memory", "Peak memory of a load, all CPUs", ("lines", "peak MB", "ratio", "CPU s", "wall s"), lines, (goal,))]


def _load(home: Path, path: Path | str, more: list[str]) -> Usage:
    command: list[str | Path] = [sys.executable, "-m", "lakehouse", "load", "access_logs", path, *more]
    return run_measured(command, {"LAKEHOUSE_HOME": str(home)})
