"""How long work shows itself: a bar with the time left on a terminal, a plain line now and then otherwise."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from lakehouse.cli.output import format_bytes
from lakehouse.observer import Count

if TYPE_CHECKING:
    import rich.progress

    from lakehouse.inputs import InputFile

PLAIN_LINE_SECONDS = 10.0


class ProgressObserver:
    """Shows a load: a bar with rate and time left on a terminal, plain lines otherwise; a context manager."""

    def __init__(self, inputs: Sequence["InputFile"], stream: TextIO | None = None):
        self._stream = stream or sys.stderr
        self._total = sum(found.size for found in inputs)
        self._done = 0
        self._last_line = time.monotonic()
        self._progress: rich.progress.Progress | None = None
        if self._stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
                console=Console(file=self._stream), transient=True,
            )  # fmt: skip

    def __enter__(self) -> "ProgressObserver":
        if self._progress is not None:
            self._progress.start()
            self._task = self._progress.add_task("loading", total=self._total or None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()

    def step(self, name: str) -> None:
        """A step was reached; on a terminal the bar says so."""
        if self._progress is not None:
            self._progress.update(self._task, description=name)

    def read(self, found: "InputFile", size: int) -> None:
        """Bytes were dealt with."""
        self._done += size
        if self._progress is not None:
            self._progress.update(self._task, advance=size, description=Path(found.location).name)
        else:
            self._now_and_then(f"{Path(found.location).name}: {format_bytes(self._done)} read so far")

    def computed(self, rollup: str, done: int, total: int) -> None:
        """Days of a rollup were computed."""
        line = f"{rollup}: {done} of {total} days computed"
        if self._progress is not None:
            self._progress.update(self._task, description=line)
        else:
            self._now_and_then(line)

    def _now_and_then(self, line: str) -> None:
        if time.monotonic() - self._last_line > PLAIN_LINE_SECONDS:
            self._last_line = time.monotonic()
            print(line, file=self._stream, flush=True)


@contextmanager
def counted(unit: str, done_word: str) -> Iterator[Count]:
    """Shows work that is counted.

    Args:
        unit: what is counted, in plural.
        done_word: what became of them.
    """
    if not sys.stderr.isatty():
        yield _PlainCount(f"{unit} {done_word}")
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    name, left = TextColumn("{task.description}", markup=False), TimeRemainingColumn()
    columns = (name, BarColumn(), MofNCompleteColumn(), TextColumn(unit), left)
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)

        def count(name: str, done: int, total: int) -> None:
            progress.update(task, description=name, completed=done, total=total)

        yield count


class _PlainCount:
    def __init__(self, what: str) -> None:
        self._what = what
        self._last = time.monotonic()

    def __call__(self, name: str, done: int, total: int) -> None:
        if time.monotonic() - self._last > PLAIN_LINE_SECONDS:
            self._last = time.monotonic()
            print(f"{name}: {done} of {total} {self._what}", file=sys.stderr, flush=True)
