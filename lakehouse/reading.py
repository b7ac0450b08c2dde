"""What a person sees: tables, days, inputs, rejects, and SQL over the current snapshots."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from lakehouse.catalog import catalog_errors, find_table, open_catalog
from lakehouse.datasets import dataset_names, get_dataset
from lakehouse.datasets.base import Dataset, Rollup, View
from lakehouse.engines import duckdb as engine
from lakehouse.errors import DatasetError, QueryError
from lakehouse.ledger import InputRecord, Ledger, pointed_sequence, read_ledger
from lakehouse.live import are_own, newest_files
from lakehouse.rejects import read_rejects
from lakehouse.rollups import DEFINITION, SEQUENCE, definition_digest
from lakehouse.settings import Settings
from lakehouse.storage import storage_errors

if TYPE_CHECKING:
    from lakehouse.engines.dialect import NewestDays  # imports a whole compiler of SQL

LEDGER_TABLES = ("inputs", "loads", "rejects")
"""Tables of every lakehouse that come from the ledgers instead of a table of their own."""

_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
_PREPARING = (duckdb.StatementType.SET, duckdb.StatementType.VARIABLE_SET, duckdb.StatementType.CREATE)
"""What a query may stand behind; DuckDB's database is in memory, so that nothing of it stays."""
_LISTING = re.compile(
    r"information_schema|\b(duckdb_|sqlite_|pg_|pragma|show)|(^|\()\s*(describe|desc|summarize)\s*(;|\)|$)", re.IGNORECASE
)
"""Statements that may tell of tables that they do not name."""


class Reader:
    """Reads a lakehouse; writes nothing.

    Args:
        settings: in force.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._catalog: Catalog = open_catalog(settings)

    def tables(self) -> dict[str, Table]:
        """All tables that exist, by name."""
        return self._found(self._names())

    def _names(self) -> list[str]:
        namespace = self._settings["namespace"]
        with catalog_errors("listing tables"):
            if (namespace,) not in self._catalog.list_namespaces():
                return []
            return sorted(name for _, name in self._catalog.list_tables(namespace))

    def _found(self, names: Iterable[str]) -> dict[str, Table]:
        found = {name: find_table(self._catalog, self._settings, name) for name in names}
        return {name: table for name, table in found.items() if table is not None}

    def totals(self) -> list[tuple[str, int, int, int, str]]:
        """Name, rows, files, bytes and location of each table, from its metadata."""
        found = []
        for name, table in self.tables().items():
            snapshot = table.current_snapshot()
            summary = snapshot.summary.additional_properties if snapshot and snapshot.summary else {}
            rows, files, size = (int(summary.get(f"total-{key}") or 0) for key in ("records", "data-files", "files-size"))
            found.append((name, rows, files, size, table.location()))
        return found

    def table(self, dataset: str) -> Table | None:
        """The table of a dataset, or None before its first load; raises DatasetError for an unknown name."""
        get_dataset(dataset, self._settings.datasets_folder)
        return find_table(self._catalog, self._settings, dataset)

    def ledger(self, table: Table) -> Ledger:
        """The ledger of a table's version."""
        with storage_errors("reading the ledger"):
            return read_ledger(table.io, table.location(), table.properties)

    def inputs(self, dataset: str) -> list[InputRecord]:
        """Inputs that are loaded, in the order in which they were last changed."""
        table = self.table(dataset)
        return list(self.ledger(table).inputs.values()) if table else []

    def rejects(self, dataset: str) -> pl.DataFrame:
        """Rejected lines of the inputs that are loaded."""
        table = self.table(dataset)
        if table is None:
            return pl.DataFrame()
        return read_rejects(self.ledger(table), table.io)

    def days(self, dataset: str) -> list[tuple[date, str, int, int, int]]:
        """Day, site, rows, files and bytes, from the table's metadata alone: no data file is opened."""
        table = self.table(dataset)
        if table is None or table.current_snapshot() is None:
            return []
        partitions = table.inspect.partitions().select(
            ["partition", "record_count", "file_count", "total_data_file_size_in_bytes"]
        )
        rows = (
            (
                row["partition"]["date"],
                row["partition"]["site"],
                row["record_count"],
                row["file_count"],
                row["total_data_file_size_in_bytes"],
            )
            for row in partitions.to_pylist()
        )
        return sorted(row for row in rows if row[2])

    def connect(self, sql: str = "") -> duckdb.DuckDBPyConnection:
        """DuckDB with a view for each table and each view of the datasets.

        Args:
            sql: the statement to come; what it does not name is left out, because an object store is asked for each table.
        """
        connection = engine.connect(self._settings)
        folder, names, words = self._settings.datasets_folder, self._names(), _words(sql)
        datasets = [get_dataset(name, folder) for name in dataset_names(folder) if name in names]
        asked_for = None if not sql or _LISTING.search(sql) else _with_what_is_read(words, datasets)
        tables = self._found(name for name in names if asked_for is None or _words(name) <= asked_for)
        with storage_errors("reading table metadata"):
            engine.create_views(connection, tables)
        # Opening the newest files takes time: not for who only lists tables.
        newest = partial(_newest, connection, tables) if not sql or asked_for is not None else None
        for dataset in datasets:
            # What is made from another rollup is there once that one is.
            missing = {rollup.name for rollup in dataset.rollups if (rollup.of or rollup.name) not in names}
            for rollup in dataset.rollups:
                if rollup.of in tables and (asked_for is None or rollup.name in asked_for):
                    self._add_up_if_old(connection, rollup, tables.get(rollup.name), tables[rollup.of])
            for view in dataset.views:
                if (asked_for is None or view.name in asked_for) and missing.isdisjoint(_words(view.sql)):
                    self._create_view(connection, view, newest)
        for name in LEDGER_TABLES:
            if not sql or name in words:
                connection.register(name, self._ledger_table(name, tables))
        return connection

    def _add_up_if_old(self, connection: duckdb.DuckDBPyConnection, rollup: Rollup, table: Table | None, source: Table) -> None:
        """Make a view in the place of a rollup's table that is not there yet, has other days, or is behind what it is made from.

        The days may be those of another zone; and whoever loads with an older version of this package knows nothing of the table.
        """
        zone = self._settings["zone"]
        known = table.properties if table else {}
        if known.get(DEFINITION) != definition_digest(rollup, zone) or int(known[SEQUENCE]) < pointed_sequence(source.properties):
            connection.execute(f"CREATE OR REPLACE VIEW {engine.identifier(rollup.name)} AS {rollup.duckdb_sql_in(zone)}")

    def _create_view(self, connection: duckdb.DuckDBPyConnection, view: View, newest: "NewestDays | None") -> None:
        zone = self._settings["zone"]
        sql = view.duckdb_sql_in(zone)
        if sql is None:
            from lakehouse.engines.dialect import to_duckdb  # imports a whole compiler of SQL

            sql = to_duckdb(view.sql_in(zone), newest)
        connection.execute(f"CREATE OR REPLACE VIEW {engine.identifier(view.name)} AS {sql}")

    def _ledger_table(self, name: str, tables: dict[str, Table]) -> pa.Table:
        frames: list[pl.DataFrame] = []
        for dataset in dataset_names(self._settings.datasets_folder):
            if dataset in tables:
                frame = _ledger_frame(name, self.ledger(tables[dataset]), tables[dataset])
                frames.append(frame.insert_column(0, pl.Series("dataset", [dataset] * frame.height, dtype=pl.String)))
        return (
            pl.concat(frames, how="diagonal_relaxed").to_arrow() if frames else pa.table({"dataset": pa.array([], pa.string())})
        )

    def sql(self, statement: str, limit: int | None = None) -> pa.Table:
        """Answer a query.

        Args:
            statement: DuckDB SQL: a query, maybe behind statements that prepare it (`SET`, `CREATE MACRO`).
            limit: rows at most.

        Raises:
            QueryError: it does not only read, or with the engine's words, and what to do when a table is only not loaded yet.
        """
        try:
            try:
                return self._answer(statement, limit, statement)
            except duckdb.CatalogException:
                # A table can be named in ways that are not seen, as by a function; and DuckDB suggests names only that it knows.
                return self._answer(statement, limit, "")
        except duckdb.Error as error:
            raise QueryError(f"{error}{self._hint(str(error))}") from error

    def _answer(self, statement: str, limit: int | None, prepare_for: str) -> pa.Table:
        with self.connect(prepare_for) as connection:
            _check_reads(connection.extract_statements(statement))
            relation = connection.sql(statement)
            if relation is None:
                return pa.table({})
            return (relation.limit(limit) if limit is not None else relation).to_arrow_table()

    def _hint(self, message: str) -> str:
        missing = re.search(r"Table with name (\w+) does not exist", message)
        if not missing:
            return ""
        name = missing[1]
        try:
            get_dataset(name, self._settings.datasets_folder)
        except DatasetError:
            return f"\nTables and views there are: {', '.join(self._names()) or 'none yet'}"
        return f"\nNothing is loaded into {name} yet: lakehouse load {name} FILE --site NAME"


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _with_what_is_read(words: set[str], datasets: Sequence[Dataset]) -> set[str]:
    """Words of a statement, with those of the views that it names and of what these are made from; and what ledgers are of."""
    found = words | ({dataset.name for dataset in datasets} if not words.isdisjoint(LEDGER_TABLES) else set())
    views = {view.name: _words(view.sql) for dataset in datasets for view in dataset.views}
    views |= {rollup.name: {rollup.of} for dataset in datasets for rollup in dataset.rollups if rollup.of}
    while new := set().union(*(read for name, read in views.items() if name in found)) - found:
        found |= new
    return found


def _newest(
    connection: duckdb.DuckDBPyConnection, tables: dict[str, Table], name: str, count: int
) -> tuple[list[date], str] | None:
    """The newest days of a table, and a view that opens their files alone where it is certain which these are."""
    table = tables.get(name)
    with storage_errors("reading table metadata"):
        days = newest_files(table, count) if table else None
        if not table or not days:
            return None
        files = [found for day in days.values() for found in day]
        if not are_own(table, files):
            return list(days), name
    view = f"{name}: the newest {count} days"
    rows = engine.files_sql(table, [found.file_path for found in files], table.schema().column_names)
    connection.execute(f"CREATE OR REPLACE VIEW {engine.identifier(view)} AS {rows}")
    return list(days), view


def _check_reads(statements: list[duckdb.Statement]) -> None:
    kinds = [statement.type for statement in statements]
    if not kinds or kinds[-1] not in _READING:
        raise QueryError("lakehouse sql only reads: give a SELECT; rows come and go by lakehouse load and unload")
    if not all(kind in _PREPARING for kind in kinds[:-1]):
        raise QueryError("lakehouse sql answers one query: give one SELECT, behind SET or CREATE statements if need be")


def _ledger_frame(name: str, ledger: Ledger, table: Table) -> pl.DataFrame:
    if name == "rejects":
        return read_rejects(ledger, table.io)
    if name == "loads":
        rows: list[dict[str, Any]] = [{"sequence": sequence, **asdict(load)} for sequence, load in ledger.loads.values()]
        frame = pl.DataFrame(rows, schema=_LOADS_SCHEMA)
        return frame.with_columns(pl.col("at").str.to_datetime(time_zone="UTC"), _DAYS)
    records = [{key: getattr(record, key) for key in _INPUTS_SCHEMA} for record in ledger.inputs.values()]
    return pl.DataFrame(records, schema=_INPUTS_SCHEMA).with_columns(_DAYS)


_DAYS = pl.col("days").list.eval(pl.element().str.to_date())
_LOADS_SCHEMA: dict[str, pl.DataType] = {
    "sequence": pl.Int64(),
    "id": pl.String(),
    "kind": pl.String(),
    "at": pl.String(),
    "days": pl.List(pl.String()),
    "inputs": pl.List(pl.String()),
    "rows_added": pl.Int64(),
    "rows_removed": pl.Int64(),
    "rejects": pl.Int64(),
    "code_version": pl.String(),
}
_INPUTS_SCHEMA: dict[str, pl.DataType] = {
    "id": pl.String(),
    "site": pl.String(),
    "source": pl.String(),
    "location": pl.String(),
    "length": pl.Int64(),
    "digest": pl.String(),
    "lines": pl.Int64(),
    "rows": pl.Int64(),
    "known_rejects": pl.Int64(),
    "unknown_rejects": pl.Int64(),
    "continuation_lines": pl.Int64(),
    "rows_replaced": pl.Int64(),
    "days": pl.List(pl.String()),
    "load_id": pl.String(),
}
