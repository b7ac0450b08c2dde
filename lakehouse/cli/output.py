"""How answers look: tables for people, JSON for programs."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.errors import StorageError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa


# What is heavy is imported where it is used: help and errors appear at once.

JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]


def print_error(message: str, kind: str, as_json: bool) -> None:
    """One error: a sentence on standard error, or a JSON object on standard output."""
    if as_json:
        print_json({"error": {"kind": kind, "message": message}})
    else:
        print(f"lakehouse: {message}", file=sys.stderr)


def print_json(value: Any) -> None:
    """A JSON document on one line."""
    print(json.dumps(value, default=_json_value, ensure_ascii=False))


def _json_value(value: Any) -> Any:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


NARROW = 8
"""Characters for a column of a terminal below which each row is shown as a list instead."""


def print_table(headings: Sequence[str], rows: Iterable[Sequence[Any]], numeric: Iterable[str] = ()) -> None:
    """A table for people: a line for each row where the output is no terminal; there, wide values are wrapped.

    Where a terminal is much too narrow for so many columns, each row is shown as a list of its columns.
    """
    cells = [[format_value(value) for value in row] for row in rows]
    right = set(numeric)
    if sys.stdout.isatty():
        _draw_table(headings, cells, right)
    else:
        _print_lines(headings, cells, right)


def _print_lines(headings: Sequence[str], cells: list[list[str]], right: set[str]) -> None:
    """Without rich, which takes longer to import than a short answer takes."""
    widths = [max(_width(line) for text in column for line in text.split("\n")) for column in zip(headings, *cells, strict=True)]
    for row in (headings, *cells):
        for line in zip_longest(*(text.split("\n") for text in row), fillvalue=""):
            columns = zip(headings, line, widths, strict=True)
            print("  ".join(_padded(text, width, heading in right) for heading, text, width in columns))


def _padded(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - _width(text))
    return blanks + text if right else text + blanks


def _width(text: str) -> int:
    """Cells of a terminal that a line of text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _draw_table(headings: Sequence[str], cells: list[list[str]], right: set[str]) -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table

    natural = sum(max(map(cell_len, column)) + 2 for column in zip(headings, *cells, strict=True))
    # Brackets and colons of a log line are no markup.
    console = Console(highlight=False, markup=False, emoji=False)
    if console.width < min(natural, NARROW * len(headings)):
        for number, row in enumerate(cells, 1):
            listed = Table(f"row {number:,}", "", box=None, pad_edge=False, header_style="bold")
            for heading, cell in zip(headings, row, strict=True):
                listed.add_row(heading, cell)
            console.print(listed)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    for row in cells:
        table.add_row(*row)
    console.print(table)


def format_value(value: Any) -> str:
    """A cell's text: nothing for null, thousands apart for integers."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e6 else f"{value:,.0f}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds" if value.microsecond else "seconds")
    # Control characters of a log line must not reach a terminal.
    return "".join(
        character if character.isprintable() or character == "\n" else repr(character)[1:-1] for character in str(value)
    )


def format_bytes(size: int) -> str:
    """A size for people."""
    value = float(size)
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def write_result(result: "pa.Table", kind: str, output: Path | None) -> None:
    """A query's answer as table, csv, json or parquet; to standard output or a file.

    Raises:
        UsageError: parquet to a terminal.
        StorageError: the file cannot be written.
    """
    if kind == "table" and output is None:
        import pyarrow as pa

        numeric = [field.name for field in result.schema if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)]
        print_table(result.column_names, zip(*(column.to_pylist() for column in result.columns), strict=True), numeric)
        return
    if kind == "parquet" and output is None and sys.stdout.isatty():
        raise UsageError("--format parquet writes binary: name a file with --output FILE, or redirect")
    try:
        if output is None:
            sys.stdout.flush()
            _write(result, kind, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            with output.open("wb") as stream:
                _write(result, kind, stream)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StorageError(f"{output or 'standard output'}: {error.strerror or error}: name another file") from error


def _write(result: "pa.Table", kind: str, stream: Any) -> None:
    if kind == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(result, stream, compression="zstd")
    elif kind == "csv":
        import pyarrow.csv

        header = io.StringIO()
        csv.writer(header, lineterminator="\n").writerow(result.column_names)
        stream.write(header.getvalue().encode())
        # Arrow would put quotes round every heading.
        pyarrow.csv.write_csv(_flat(result), stream, pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed"))
    else:
        rows = json.dumps(result.to_pylist(), default=_json_value, ensure_ascii=False)
        stream.write(f"{rows}\n".encode())


def _flat(result: "pa.Table") -> "pa.Table":
    """Columns as CSV can hold them: lists as JSON text."""
    import pyarrow as pa

    for index, field in enumerate(result.schema):
        if pa.types.is_nested(field.type):
            texts = [
                None if value is None else json.dumps(value, default=_json_value) for value in result.column(index).to_pylist()
            ]
            result = result.set_column(index, field.name, pa.array(texts, pa.string()))
    return result
