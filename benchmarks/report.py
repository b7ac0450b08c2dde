"""Tables for people: on the screen, and in a page between markers."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lakehouse.errors import UsageError


@dataclass(frozen=True)
class Report:
    """One table of a benchmark.

    Args:
        name: of the markers that it stands between in a page.
        title: what was measured.
        headings: of the columns; all but the first hold numbers.
        rows: texts.
        notes: sentences below it: goals, what is missing.
    """

    name: str
    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def print_report(report: Report) -> None:
    """Print a table."""
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    table = Table(title=report.title, title_justify="left", title_style="bold")
    for index, heading in enumerate(report.headings):
        table.add_column(heading, justify="right" if index else "left")
    for row in report.rows:
        table.add_row(*row)
    console.print(table)
    for note in report.notes:
        console.print(note)
    console.print()


def shout(message: str) -> None:
    """Say on standard error what makes the tables incomplete or doubtful."""
    print(f"\n!!! {message.upper()}\n", file=sys.stderr, flush=True)


def write_markdown(page: Path, reports: Iterable[Report], conditions: str) -> None:
    """Put tables into a page in place of what stands between their markers, `<!-- NAME -->` and `<!-- /NAME -->`.

    Args:
        page: a Markdown file.
        reports: tables; markers of other tables are left alone.
        conditions: sentence under each table: when, where, with what it was measured.

    Raises:
        UsageError: the page cannot be read, or has no markers of a table; nothing was written.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{page}: {error.strerror or error}: name a page with markers") from error
    for report in reports:
        begin, end = f"<!-- {report.name} -->", f"<!-- /{report.name} -->"
        block = f"{begin}\n{_markdown(report)}\n\n{conditions}\n"
        start, stop = text.find(begin), text.find(end)
        if not 0 <= start < stop:
            raise UsageError(f"{page} has no place for the table {report.name}: write {begin} and {end} where it belongs")
        text = text[:start] + block + text[stop:]
    page.write_text(text, encoding="utf-8")


def _markdown(report: Report) -> str:
    lines = [
        _row(report.headings),
        _row(["---", *("---:" for _ in report.headings[1:])]),
        *(_row(row) for row in report.rows),
    ]
    notes = "".join(f"\n\n{note}" for note in report.notes)
    return "\n".join(lines) + notes


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
