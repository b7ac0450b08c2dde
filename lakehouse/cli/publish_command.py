"""The command that publishes plain Parquet."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from typing import Annotated, Protocol

import typer

from lakehouse.cli.output import PLAIN_LINE_SECONDS, JsonOption, print_json
from lakehouse.cli.write_commands import DatasetArgument
from lakehouse.publish_options import FILE_NAME, Names, PublishOptions
from lakehouse.settings import load_settings


def publish(
    dataset: DatasetArgument,
    destination: Annotated[str, typer.Argument(help="A folder or an s3:// address, for this dataset alone.", show_default=False)],
    names: Annotated[Names, typer.Option(help="Column names as in the table, or as in the original log.")] = Names.snake,
    site: Annotated[str | None, typer.Option(help="Only this site; default: all sites in one file a day.")] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Only the newest so many days; older ones are deleted.")] = None,
    file_name: Annotated[str, typer.Option(help="Name of the file in each day's folder.")] = FILE_NAME,
    private: Annotated[bool, typer.Option("--private", help="Publish columns with personal data too.")] = False,
    json: JsonOption = False,
) -> None:
    """Write plain Parquet, a file a day, for tools without Iceberg."""
    from lakehouse.publish import Publisher

    options = PublishOptions(names, site, last, file_name, private)
    with _progress() as on_day:
        published = Publisher(load_settings(), dataset, destination, options, on_day).run()
    if json:
        print_json(asdict(published))
    else:
        counts = f"written: {len(published.written)}, deleted: {len(published.deleted)}, unchanged: {published.unchanged}"
        print(f"{published.address}: days {counts}")


class _OnDay(Protocol):
    def __call__(self, day: date, done: int, total: int) -> None: ...


@contextmanager
def _progress() -> Iterator[_OnDay]:
    """A bar on a terminal, a line now and then otherwise."""
    if not sys.stderr.isatty():
        yield _PlainLines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("days"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("publishing", total=None)

        def on_day(day: date, done: int, total: int) -> None:
            progress.update(task, description=str(day), completed=done, total=total)

        yield on_day


class _PlainLines:
    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, day: date, done: int, total: int) -> None:
        if time.monotonic() - self._last > PLAIN_LINE_SECONDS:
            self._last = time.monotonic()
            print(f"{done} of {total} days published", file=sys.stderr, flush=True)


COMMANDS = (publish,)
