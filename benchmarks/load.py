"""CPU of a whole load of combined lines, beside GoAccess and polars' bare regex, one thread each."""

import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.measure import Usage, run_measured
from benchmarks.options import Options
from benchmarks.report import Report, shout
from benchmarks.samples import combined_log

ROWS, QUICK_ROWS = 1_000_000, 1_000
BEST_OF = 5
POLARS_GOAL = 1.4
GOACCESS_GOAL = 0.1
PYTHON = (sys.executable, "-m", "benchmarks.as_installed")
"""As `make bench` does not install it: with no more than the package needs."""


def run(options: Options) -> list[Report]:
    """Measure; see docs/benchmarks.md."""
    rows = QUICK_ROWS if options.quick else ROWS
    log = combined_log(rows)
    times = 1 if options.quick else BEST_OF
    # In turns: how fast a machine is changes from minute to minute.
    turns = [(_load(options, log, number), _polars(options, log)) for number in range(times)]
    load, polars = (_best(usages) for usages in zip(*turns, strict=True))
    goaccess = _goaccess(options, log)
    lines = [_row("lakehouse load, everything included", load, load)]
    lines.append(_row("polars, regular expression to Parquet", polars, load, f"at most {POLARS_GOAL:g}"))
    if goaccess is not None:
        lines.append(_row("GoAccess, JSON report", goaccess, load, f"at most {GOACCESS_GOAL:g}"))
    headings = ("program", "CPU s", "wall s", "peak MB", "load / this", "goal")
    title = f"Load of {rows:,} combined lines ({log.stat().st_size / 1e6:.0f} MB), one thread, best of {times}"
    notes = () if goaccess else ("GoAccess was not installed.",)
    reports = [Report("load", title, headings, lines, notes)]
    if options.profile:
        reports.append(_phases(options, log, rows))
    return reports


def _row(name: str, usage: Usage, load: Usage, goal: str = "") -> tuple[str, ...]:
    ratio = "" if usage is load else f"{load.cpu / usage.cpu:.2f}"
    return name, f"{usage.cpu:.2f}", f"{usage.wall:.2f}", f"{usage.peak_mb:.0f}", ratio, goal


def _best(usages: Iterable[Usage]) -> Usage:
    return min(usages, key=lambda usage: usage.cpu)


def _load(options: Options, log: Path, number: int) -> Usage:
    home = options.folder / f"home-{number}"
    command: list[str | Path] = [*PYTHON, "lakehouse", "load", "access_logs", log, "--site", "demo"]
    return run_measured(command, {"LAKEHOUSE_HOME": str(home)}, one_thread=True)


def _polars(options: Options, log: Path) -> Usage:
    command: list[str | Path] = [*PYTHON, "benchmarks.bare_polars", log, options.folder / "bare.parquet"]
    return run_measured(command, one_thread=True)


def _goaccess(options: Options, log: Path) -> Usage | None:
    program = shutil.which("goaccess")
    if program is None:
        shout("goaccess is not installed and is left out: apt-get install goaccess")
        return None
    report = options.folder / "goaccess.json"
    return run_measured(
        [program, log, "--log-format=COMBINED", "--no-global-config", "--no-progress", "-o", report], one_thread=True
    )


def _phases(options: Options, log: Path, rows: int) -> Report:
    answer = options.folder / "phases.json"
    home = {"LAKEHOUSE_HOME": str(options.folder / "home-phases")}
    run_measured([*PYTHON, "benchmarks.load_phases", log, answer], home, one_thread=True)
    phases: dict[str, float] = json.loads(answer.read_text(encoding="utf-8"))
    total = sum(phases.values())
    lines = [
        (name, f"{seconds:.2f}", f"{seconds / total:.0%}")
        for name, seconds in sorted(phases.items(), key=lambda phase: -phase[1])
    ]
    title = f"Where the CPU of a load of {rows:,} lines goes ({total:.2f} s)"
    return Report("load-phases", title, ("phase", "CPU s", "share"), lines)
