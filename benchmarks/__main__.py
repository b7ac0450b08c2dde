"""`make bench`, or `python -m benchmarks [NAME...]`."""

import shlex
import sys
import tempfile
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import measure
from benchmarks.options import Options
from benchmarks.report import print_report, shout, write_markdown
from lakehouse.errors import LakehouseError, UsageError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
BENCHMARKS = ("load", "memory", "views", "commits", "last_days", "dashboards", "dashboards_on_trino")


@app.command()
def main(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(BENCHMARKS)}; default: all.", show_default=False)
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A thousand lines: shows that it runs, measures nothing.")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Also where the time of a load goes.")] = False,
    markdown: Annotated[Path | None, typer.Option(help="Page whose tables are replaced, between their markers.")] = None,
) -> None:
    """Measure and print tables."""
    try:
        _run(names or list(BENCHMARKS), quick, profile, markdown)
    except LakehouseError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error


def _run(names: list[str], quick: bool, profile: bool, markdown: Path | None) -> None:
    if unknown := set(names) - set(BENCHMARKS):
        raise UsageError(f"no benchmark {', '.join(sorted(unknown))}: there are {', '.join(BENCHMARKS)}")
    busy = measure.load_average()
    if busy > measure.QUIET_LOAD:
        shout(f"the machine is not quiet (load average {busy:.1f} for each CPU): times will be too long")
    print(f"{measure.machine()}\n{measure.versions()}\n")
    for name in names:
        with tempfile.TemporaryDirectory(prefix="lakehouse-benchmark-") as folder:
            found = import_module(f"benchmarks.{name}").run(Options(Path(folder), quick, profile))
        for report in found:
            print_report(report)
        if markdown is not None:
            # After each benchmark, so that a long run that fails at the end keeps what it has measured.
            write_markdown(markdown, found, _conditions(busy))


def _conditions(busy: float) -> str:
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    quiet = "a quiet machine" if busy <= measure.QUIET_LOAD else f"**a busy machine** (load average {busy:.1f} for each CPU)"
    return f"Measured on {datetime.now(UTC):%Y-%m-%d} with `{command}` on {quiet}: {measure.machine()}; {measure.versions()}."


if __name__ == "__main__":
    app()
