"""Commands that only read."""

import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lakehouse.cli.output import JsonOption, format_bytes, print_json, print_table, write_result
from lakehouse.cli.write_commands import DatasetArgument
from lakehouse.errors import UsageError
from lakehouse.settings import load_settings


class ResultFormat(StrEnum):
    """How a query's answer is written."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


def sql(
    statement: Annotated[str | None, typer.Argument(help="A query in DuckDB's SQL.", show_default=False)] = None,
    file: Annotated[Path | None, typer.Option("-f", "--file", help="Read the query from a file; - for standard input.")] = None,
    format: Annotated[ResultFormat, typer.Option(help="How to write the answer.")] = ResultFormat.table,
    limit: Annotated[int | None, typer.Option(min=0, help="Rows at most.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write to this file.")] = None,
    json: JsonOption = False,
) -> None:
    """Answer a query over the tables and views."""
    from lakehouse.reading import Reader

    if (statement is None) == (file is None):
        raise UsageError("give a query, or a file with -f, and not both")
    if statement is None and file is not None:
        try:
            statement = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            raise UsageError(f"{file} cannot be read: {reason}") from error
    if not statement or not statement.strip():
        raise UsageError("the query is empty: give one, such as: select count(*) from access_logs")
    if output is not None and format is ResultFormat.table:
        if output.suffix[1:] not in ("csv", "json", "parquet"):
            raise UsageError(f"{output}: in which format? Add --format csv, json or parquet, or end the name so")
        format = ResultFormat(output.suffix[1:])
    result = Reader(load_settings()).sql(statement, limit)
    write_result(result, "json" if json else format.value, output)


def tables(json: JsonOption = False) -> None:
    """List the tables with their rows, files and size."""
    from lakehouse.reading import Reader

    rows = Reader(load_settings()).totals()
    if json:
        print_json([dict(zip(("table", "rows", "files", "bytes", "location"), row, strict=True)) for row in rows])
    elif not rows:
        print("no tables yet: lakehouse load access_logs FILE --site NAME")
    else:
        shown = [(name, count, files, format_bytes(size), location) for name, count, files, size, location in rows]
        print_table(("table", "rows", "files", "size", "location"), shown, ("rows", "files", "size"))


def days(dataset: DatasetArgument, json: JsonOption = False) -> None:
    """List the days of a dataset with their rows, files and size."""
    from lakehouse.reading import Reader

    rows = Reader(load_settings()).days(dataset)
    if json:
        print_json([dict(zip(("date", "site", "rows", "files", "bytes"), row, strict=True)) for row in rows])
    else:
        shown = [(str(day), site, count, files, format_bytes(size)) for day, site, count, files, size in rows]
        print_table(("date", "site", "rows", "files", "size"), shown, ("rows", "files", "size"))


def inputs(dataset: DatasetArgument, json: JsonOption = False) -> None:
    """List the inputs that are loaded, with lines = rows + rejects."""
    from lakehouse.reading import Reader

    records = Reader(load_settings()).inputs(dataset)
    if json:
        print_json([asdict(record) for record in records])
        return
    shown = [
        (
            *(record.id, record.site, record.source, record.location),
            *(record.lines, record.rows, record.unknown_rejects, record.known_rejects),
            f"{record.days[0]} .. {record.days[-1]}" if record.days else "",
        )
        for record in records
    ]
    print_table(
        ("id", "site", "source", "location", "lines", "rows", "rejects", "no records", "days"),
        shown,
        ("lines", "rows", "rejects", "no records"),
    )


def rejects(
    dataset: DatasetArgument,
    limit: Annotated[int, typer.Option(min=0, help="Lines to show at most; the summary counts all.")] = 20,
    json: JsonOption = False,
) -> None:
    """Show the lines that could not be read, and why."""
    from lakehouse.reading import Reader

    frame = Reader(load_settings()).rejects(dataset)
    if json:
        print_json(frame.head(limit).to_dicts())
        return
    if frame.is_empty():
        print(f"no rejects in {dataset}")
        return
    summary = frame.group_by("reason", "known").len().sort("len", "reason", descending=[True, False])
    print_table(("reason", "no record of this dataset", "lines"), summary.iter_rows(), ("lines",))
    print()
    listed = frame.sort("known").head(limit).select("location", "_line", "reason", "text")
    print_table(
        ("input", "line", "reason", "text"),
        listed.with_columns(text=listed["text"].str.head(200)).iter_rows(),
        ("line",),
    )


COMMANDS = (sql, tables, days, inputs, rejects)
