"""Bring the aggregates of a dataset up to date: the days that changed, recomputed in the run that changed them.

A rollup's table remembers the ledger's sequence up to which it holds, in the very commit that changes its rows. A crash
between a load and its rollups so leaves days that are known to be due. The same holds of a rollup that is made from another
one, whose table has a ledger, too.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import chain

import duckdb
import polars as pl
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.types import TimestamptzType

from lakehouse.catalog import ensure_table, find_table, is_by_month, rollup_columns
from lakehouse.commit import CommitAnswerLostError, CommitRaceError, partition_day
from lakehouse.current import publish_current
from lakehouse.datasets.base import COLUMN_TYPES, Dataset, Rollup
from lakehouse.derived import days_of_file, files_of_days, ledger_of, replace_days
from lakehouse.engines import duckdb as engine
from lakehouse.errors import QueryError
from lakehouse.ledger import Ledger
from lakehouse.ledger_commit import attempts
from lakehouse.live import are_own, live_files
from lakehouse.observer import Count, count_silently
from lakehouse.settings import Settings
from lakehouse.storage import Store, uses_s3

SEQUENCE = "lakehouse.rollup-sequence"
DEFINITION = "lakehouse.rollup-definition"
SNAPSHOTS_KEPT = 5
"""Nobody goes back in what can be made anew, and each snapshot makes every commit and every look at the table slower."""
DAYS_PER_QUERY = 32
ROWS_PER_QUERY = 1_000_000
"""Days, and rows unless one day has more, that one query aggregates: they bound memory, not the answer."""
FEW_ROWS = 50_000
"""Rows up to which they are read once for all rollups: opening the files takes longer than aggregating their rows then."""
MEMORY_LIMIT = "256MB"
Connect = Callable[[bool, bool], duckdb.DuckDBPyConnection]
"""Gives a connection, with the Iceberg extension or without it, for few rows or for many."""


@dataclass(frozen=True)
class Updated:
    """What became of a rollup: its name and the days that were computed anew."""

    name: str
    days: tuple[date, ...]


def update_rollups(
    catalog: Catalog, settings: Settings, dataset: Dataset, rebuild: bool = False, count: Count = count_silently
) -> list[Updated]:
    """Bring all rollups of a dataset up to date with its table.

    Args:
        catalog, settings: in force.
        dataset: whose rollups.
        rebuild: compute every day anew, also those that no load of this package has changed.
        count: is told of the days of each rollup that are computed.

    Raises:
        LakehouseError: one of its kinds; what is due stays due.
    """
    if not dataset.rollups:
        return []
    table = find_table(catalog, settings, dataset.name)
    if table is None:
        return []
    sources = {dataset.name: _Source(catalog, settings, dataset, table)}
    store = Store(settings)
    with ExitStack() as stack:
        # Once for all rollups, and only when something is due: loading DuckDB's Iceberg extension takes half a second.
        @cache
        def connect(iceberg: bool, few_rows: bool) -> duckdb.DuckDBPyConnection:
            extensions = engine.EXTENSIONS if iceberg else engine.EXTENSIONS[:1] if uses_s3(settings) else ()
            connection = stack.enter_context(closing(engine.connect(settings, MEMORY_LIMIT, extensions=extensions)))
            if few_rows:  # threads wait for each other longer than they work
                connection.execute("SET threads = 1")
            return connection

        updated = []
        for rollup in dataset.rollups:
            if rollup.of and rollup.of not in sources:  # has been brought up to date just now
                made = find_table(catalog, settings, rollup.of)
                assert made is not None, f"{rollup.of} stands behind {rollup.name}, which is made from it"
                sources[rollup.of] = _Source(catalog, settings, dataset, made)
            source = sources[rollup.of or dataset.name]
            updated.append(_update(settings, source, store, rollup, rebuild, connect, count))
        return updated


def ensure_rollup(catalog: Catalog, settings: Settings, dataset: Dataset, rollup: Rollup) -> Table:
    """A rollup's table, made when there is none: by day, as the dataset's own, if others are made from it, and else by month.

    Raises:
        CatalogError, DatasetError: see `ensure_table`.
    """
    by = "date" if any(other.of == rollup.name for other in dataset.rollups) else "month"
    return ensure_table(catalog, settings, rollup.name, rollup.doc, rollup_columns(rollup.columns), partition_by=(by,))


class _Source:
    """A table as the rollups that are made from it see it: looked at once for all, and again when one of them knows more."""

    def __init__(self, catalog: Catalog, settings: Settings, dataset: Dataset, table: Table) -> None:
        self.catalog = catalog
        self.dataset = dataset
        self.name = table.name()[-1]
        self._settings = settings
        self._rollups = [rollup for rollup in dataset.rollups if (rollup.of or dataset.name) == self.name]
        self._take(table)

    def query(self, rollup: Rollup) -> str:
        """A rollup's query in DuckDB's dialect."""
        return _truncating(self.table, rollup.duckdb_sql_in(self._settings["zone"]))

    def _take(self, table: Table) -> None:
        self.table = table
        self.ledger = ledger_of(table)
        self._files: tuple[list[date], dict[date, list[DataFile]]] = ([], {})
        self._in_memory: list[str] = []

    def look_again(self) -> None:
        """Take the version that is current now."""
        table = find_table(self.catalog, self._settings, self.name)
        assert table is not None, "tables are never dropped by this package"
        self._take(table)

    def files_by_day(self, days: list[date]) -> dict[date, list[DataFile]]:
        """The data files of each of these days, in their order; the last answer is remembered, for the next rollup."""
        if self._files[0] != days:
            files: dict[date, list[DataFile]] = {day: [] for day in days}
            for found in files_of_days(self.table, days).values():
                for day in files.keys() & days_of_file(self.table, found):
                    files[day].append(found)
            self._files = (days, files)
        return self._files[1]

    def rows_in_memory(self, connection: duckdb.DuckDBPyConnection, files: list[DataFile]) -> str:
        """A SELECT of the rows of these files, which are read unless they were for the last rollup."""
        paths = [found.file_path for found in files]
        rows = engine.identifier(f"few rows of {self.name}")
        if self._in_memory != paths:
            columns = set().union(*(_named_columns(self.table, self.query(rollup)) for rollup in self._rollups))
            connection.execute(f"CREATE OR REPLACE TEMP TABLE {rows} AS {engine.files_sql(self.table, paths, columns)}")
            self._in_memory = paths
        return f"SELECT * FROM {rows}"


def _update(
    settings: Settings, source: _Source, store: Store, rollup: Rollup, rebuild: bool, connect: Connect, count: Count
) -> Updated:
    columns = rollup_columns(rollup.columns)
    for attempt in attempts(settings, CommitRaceError, CommitAnswerLostError):
        with attempt:
            target = ensure_rollup(source.catalog, settings, source.dataset, rollup)
            known = int(target.properties.get(SEQUENCE, "-1"))
            if known > source.ledger.sequence:  # a rival has loaded and aggregated: an older state must not replace its rows
                source.look_again()
            definition = definition_digest(rollup, settings["zone"])
            due = None if rebuild else _due(source.ledger, known, target, definition)
            if due is not None and not due and known >= source.ledger.sequence:
                publish_current(store, target)  # who committed this may have died before it told
                return Updated(rollup.name, ())
            days = sorted(_all_days(source.table, target) if due is None else due)
            properties = {SEQUENCE: str(source.ledger.sequence), DEFINITION: definition}
            rows = _aggregate(connect, source, rollup, days, count) if days else ()
            replace_days(store, target, columns, days, rows, properties, SNAPSHOTS_KEPT)
            return Updated(rollup.name, tuple(days))
    raise AssertionError("unreachable")


def _due(source: Ledger, known: int, target: Table, definition: str) -> set[date] | None:
    """Days whose rows changed since the sequence that the rollup knows; None: all, because that cannot be told."""
    if target.properties.get(DEFINITION) != definition or known < source.oldest_load_sequence:
        return None
    return source.days_changed_since(known)


def definition_digest(rollup: Rollup, zone: str) -> str:
    """Changes when a rollup's query or columns change, or the days that it tells, so that it is made anew."""
    text = repr((rollup.sql_in(zone), [(column.name, column.type) for column in rollup.columns]))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _all_days(source: Table, target: Table) -> set[date]:
    tables = (source, target)
    return {day for table in tables for data_file in live_files(table, lambda _: True) for day in days_of_file(table, data_file)}


def _aggregate(connect: Connect, source: _Source, rollup: Rollup, days: list[date], count: Count) -> Iterator[pl.DataFrame]:
    """The rollup's rows for the given days, from one snapshot of the table that it is made from."""
    table = source.table
    query = source.query(rollup)
    names = [column.name for column in rollup_columns(rollup.columns)]
    for start in range(0, len(days), DAYS_PER_QUERY):
        window = days[start : start + DAYS_PER_QUERY]
        files = source.files_by_day(window)
        # Files that hold no other days, so that nobody need look for these in them.
        own = not is_by_month(table) and are_own(table, chain.from_iterable(files.values()))
        for chosen in _batches(window, files):
            read = [found for day in chosen for found in files[day]]
            if own and not read:
                continue
            few = own and len(days) <= DAYS_PER_QUERY and sum(found.record_count for found in read) <= FEW_ROWS
            connection = connect(not own, few)
            try:
                if few:
                    rows = source.rows_in_memory(connection, read)
                elif own:
                    rows = engine.files_sql(table, [found.file_path for found in read], _named_columns(table, query))
                    rows = f"SELECT * {_in_common(read)} FROM ({rows})"
                else:
                    listed = ", ".join(f"DATE '{day}'" for day in chosen)
                    rows = f"SELECT * FROM ({engine.scan_sql(table)}) WHERE date IN ({listed})"
                # Not as a view, which would open the files once to be made and once to be read.
                asked = f"WITH {engine.identifier(source.name)} AS NOT MATERIALIZED ({rows}) SELECT * FROM ({query}\n)"
                for batch in connection.execute(asked).to_arrow_reader(100_000):
                    frame = pl.DataFrame(pl.from_arrow(batch))
                    yield frame.select(
                        pl.col(column.name).cast(COLUMN_TYPES[column.type]) for column in rollup_columns(rollup.columns)
                    ).select(names)
            except (duckdb.Error, pl.exceptions.PolarsError) as error:
                raise QueryError(f"rollup {rollup.name}: {error}") from error
        count(rollup.name, start + len(window), len(days))


def _batches(days: list[date], files: dict[date, list[DataFile]]) -> Iterator[list[date]]:
    """The days in turn, as many at a time as have ROWS_PER_QUERY rows together, but at least one."""
    batch: list[date] = []
    total = 0
    for day in days:
        rows = sum(found.record_count for found in files[day])
        if batch and total + rows > ROWS_PER_QUERY:
            yield batch
            batch, total = [], 0
        batch.append(day)
        total += rows
    yield batch


_TRUNCATED = re.compile(r"date_trunc\('(minute|hour|day)', (\w+)\)", re.IGNORECASE)
_MICROSECONDS = {"minute": 60_000_000, "hour": 3_600_000_000, "day": 86_400_000_000}
_WHOLE_DAYS = 2**62 // _MICROSECONDS["day"] * _MICROSECONDS["day"]
"""Added to a timestamp, since remainders of negative ones, before 1970, are negative; 146,000 years before and after do."""


def _truncating(table: Table, query: str) -> str:
    """The query with timestamps in UTC truncated by arithmetic, which takes DuckDB a fraction of the time."""
    zoned = {field.name for field in table.schema().fields if isinstance(field.field_type, TimestamptzType)}

    def arithmetic(found: re.Match[str]) -> str:
        unit, name = found.groups()
        if name not in zoned:
            return found[0]
        moment = f"epoch_us({engine.identifier(name)})"
        return f"make_timestamp({moment} - ({moment} + {_WHOLE_DAYS}) % {_MICROSECONDS[unit.lower()]})"

    return _TRUNCATED.sub(arithmetic, query)


def _in_common(files: list[DataFile]) -> str:
    """A clause with what all rows of a dataset's files have in common by their partition: to group by it costs nothing then."""
    days = {partition_day(found) for found in files}
    sites = {found.partition[1] for found in files if len(found.partition) > 1}  # a rollup's partition is the day alone
    common = [f"DATE '{days.pop()}' AS date"] if len(days) == 1 else []
    common += [f"{engine.quote(sites.pop())} AS site"] if len(sites) == 1 else []
    return f"REPLACE ({', '.join(common)})" if common else ""


def _named_columns(table: Table, query: str) -> set[str]:
    """Columns that a query may name, and those of the partition."""
    words = {"date", "site", *re.findall(r"\w+", query)}
    return {field.name for field in table.schema().fields if field.name in words}
