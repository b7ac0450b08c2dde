"""What a dataset is: columns, a parser for its inputs, views and rollups. Knows nothing of catalogs or loads."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import polars as pl

from lakehouse.datasets.encoded_rows import EncodedRows

MAX_REJECT_TEXT = 2000
"""Characters of a rejected line that are kept."""

COLUMN_TYPES: Mapping[str, pl.DataType] = {
    "timestamp": pl.Datetime("us", "UTC"),
    "date": pl.Date(),
    "string": pl.String(),
    "int": pl.Int32(),
    "long": pl.Int64(),
    "double": pl.Float64(),
    "boolean": pl.Boolean(),
    "list<string>": pl.List(pl.String()),
}
"""Column types of a dataset, by name, as polars types; `catalog` maps the same names to Iceberg's."""


@dataclass(frozen=True)
class Column:
    """One column of a dataset's table.

    Args:
        name: snake_case.
        type: a key of `COLUMN_TYPES`.
        doc: one sentence with the unit; becomes the column's comment in Iceberg.
        private: personal data: left out of what restricted roles may read.
    """

    name: str
    type: str
    doc: str
    private: bool = False


@dataclass(frozen=True)
class ParseContext:
    """What a parser may know besides the bytes. Everything that changes rows is in here.

    Args:
        site: value of `--site`.
        format: a format's name, a server's directive or a regular expression; None: detect.
        zone: IANA time zone of timestamps that carry none.
        modified: when the input was last modified, epoch seconds (the year of a syslog line); None: unknown.
        options: the dataset's own settings (privacy, application mapping, ...), already validated by the dataset.
        key: secret key of keyed hashes; at least 16 bytes.
    """

    site: str
    format: str | None = None
    zone: str = "UTC"
    modified: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    key: bytes = b""


@dataclass(frozen=True)
class Parsed:
    """The answer to one block of an input: lines = row_count + rejects.height, always.

    Args:
        rows: the dataset's columns in schema order with exactly the types of `COLUMN_TYPES`, and `_line` (Int64),
            the 1-based line number where the record begins. `ts` is never null. `date` and `_input` are added by
            the loader; `site` too unless the dataset has set it.
        rejects: columns `_line` (Int64), `reason` (String, short and stable), `text` (String, at most
            MAX_REJECT_TEXT characters, never null), `known` (Boolean: a known line that is no record of this dataset
            and does not count against the limit).
        consumed: bytes of the block that are dealt with; the rest is given again, with more behind it.
        lines: lines of the input in the consumed bytes (a record over three lines counts 3 here and 1 in rows).
        encoded: more rows, which are not among `rows`; in `frame` the columns and types are those of `rows`, but for numbers
            in the place of texts.
    """

    rows: pl.DataFrame
    rejects: pl.DataFrame
    consumed: int
    lines: int
    encoded: EncodedRows | None = None

    @property
    def row_count(self) -> int:
        """Rows of both kinds."""
        return self.rows.height + (self.encoded.height if self.encoded else 0)


class Parser(Protocol):
    """Turns blocks of one input into rows. Stateless but for `state`, so that a grown input's tail can go on."""

    def parse(self, block: bytes, first_line: int, final: bool) -> Parsed:
        """Parse a block.

        Args:
            block: whole lines, each ending in a newline (\\n or \\r\\n), but for the last one when `final`.
            first_line: number of the block's first line in the input, from 1.
            final: nothing follows; everything must be consumed.
        """
        ...

    def state(self) -> Mapping[str, Any]:
        """What the parser of a later tail needs to know of the head, as JSON values: format found, CSV header, ..."""
        ...


@runtime_checkable
class EncodingParser(Parser, Protocol):
    """A parser that can leave texts encoded."""

    def parse_encoded(self, block: bytes, first_line: int, final: bool) -> Parsed:
        """As `parse`, the same rows in any order, and some or all of them in `encoded`."""
        ...


@runtime_checkable
class FileParser(Protocol):
    """Turns an input that only makes sense as a whole, such as a Parquet file, into rows."""

    def parse_file(self, path: Path) -> Iterator[Parsed]:
        """Parse a local file; `consumed` does not matter, a record counts as a line."""
        ...

    def state(self) -> Mapping[str, Any]:
        """As for `Parser`."""
        ...


REJECT_SCHEMA: Mapping[str, pl.DataType] = {
    "_line": pl.Int64(),
    "reason": pl.String(),
    "text": pl.String(),
    "known": pl.Boolean(),
}


@dataclass(frozen=True)
class View:
    """A named query over the dataset's tables, in Trino's dialect; `{table}` style names are plain table names.

    Args:
        name: the view's name, beginning with the dataset's.
        doc: one sentence.
        sql: `{zone}` in it stands for the time zone of the table's days, `{day}` for the day in it of a rollup's `hour`.
        needs: names of the tables and views that it reads, unless it must be transpiled.
        portable: the SQL means the same to DuckDB as it stands; see `Rollup`.
        duckdb: the SQL for DuckDB, where it differs and is known.
    """

    name: str
    doc: str
    sql: str
    needs: tuple[str, ...] = ()
    portable: bool = False
    duckdb: str = ""

    def sql_in(self, zone: str) -> str:
        """The query for tables whose days are those of a time zone."""
        return _in_zone(self.sql, zone)

    def duckdb_sql_in(self, zone: str) -> str | None:
        """The same query for DuckDB; None: it must be transpiled."""
        known = self.sql if self.portable else self.duckdb
        return _in_zone(known, zone) if known else None


def _in_zone(sql: str, zone: str) -> str:
    # Engines convert a few million timestamps a second, and leave out no files by what they have converted.
    day = "date" if zone == "UTC" else f"CAST(hour AT TIME ZONE '{zone}' AS date)"
    return sql.replace("{day}", day).replace("{zone}", zone)


@dataclass(frozen=True)
class Rollup:
    """An aggregate of the days that changed, kept in a table of its own.

    Args:
        name: the table's name, beginning with the dataset's.
        doc: one sentence.
        columns: of the rollup; `date` comes first, then `site`.
        sql: Trino dialect; a SELECT over one table that yields `columns` in their order, grouped so that rows of
            different dates never mix. The loader adds the filter on `date` by replacing the table's name. `{day}` is
            the day in the tables' time zone, of a column `hour`.
        of: the rollup that stands before this one and whose table it is made from; empty: the dataset's own.
        portable: the SQL means the same to DuckDB as it stands. Transpiling it takes longer than a small load.
    """

    name: str
    doc: str
    columns: tuple[Column, ...]
    sql: str
    of: str = ""
    portable: bool = False

    def sql_in(self, zone: str) -> str:
        """The query for tables whose days are those of a time zone."""
        return _in_zone(self.sql, zone)

    def duckdb_sql_in(self, zone: str) -> str:
        """The same query for DuckDB."""
        return self.sql_in(zone) if self.portable else _transpiled(self.sql_in(zone))


@cache
def _transpiled(sql: str) -> str:
    from lakehouse.engines.dialect import to_duckdb  # imports a whole compiler of SQL

    return to_duckdb(sql)


class Dataset(Protocol):
    """A dataset: built in, or made from a user's TOML file."""

    name: str
    doc: str
    columns: tuple[Column, ...]
    views: tuple[View, ...]
    rollups: tuple[Rollup, ...]
    line_based: bool
    """Inputs are lines, so an input can grow; False: all its inputs are parsed as a whole."""
    site: str | None
    """Site of inputs for which the user names none; None: the user must."""

    def validate_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Check this dataset's section of the settings; raises SettingsError naming the key."""
        ...

    def open_parser(self, head: bytes, context: ParseContext, state: Mapping[str, Any] | None) -> Parser | FileParser:
        """Choose the format from the first bytes (up to 64 KiB) or take it from the context or the state.

        Raises FormatError when no format fits: what was seen, which formats exist, how to name one.
        """
        ...
