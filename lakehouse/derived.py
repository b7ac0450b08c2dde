"""Replace days of a table that is made from others: rollups and load reports.

Most of them are partitioned by month and have a few files in each instead of thirty: dashboards ask for weeks, and a small file
costs an engine as much as one thirty times as large. A commit writes its days into a file of their own, so that a load a minute
does not write the month each minute. It carries over the other days of files that it replaces, and all of a month's files once
some have gathered.
"""

import secrets
from calendar import monthrange
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

import lakehouse
from lakehouse.catalog import is_by_month
from lakehouse.commit import EPOCH, CommitRaceError, StagedFiles, month_number, partition_day
from lakehouse.current import publish_current
from lakehouse.datasets.base import Column
from lakehouse.intents import Intents, discard_failed
from lakehouse.ledger import Changes, Ledger, LoadRecord, ledger_root, read_ledger
from lakehouse.ledger_commit import commit_with_ledger
from lakehouse.live import live_files, manifest_of_partitions
from lakehouse.rewriting import refuse_row_level_deletes, rows_of
from lakehouse.stage import PartitionWriter
from lakehouse.storage import Store, storage_errors

FILES_PER_MONTH = 4
"""Files of a month, beside those that a commit replaces, from which on it writes them into one."""


def files_of_days(table: Table, days: Iterable[date]) -> dict[str, DataFile]:
    """Data files by path that may hold rows of these days; in a table by day, of no others."""
    wanted = set(days)
    found = _files_of_partitions(table, wanted)
    return {data_file.file_path: data_file for data_file in found if not wanted.isdisjoint(days_of_file(table, data_file))}


def days_of_file(table: Table, data_file: DataFile) -> list[date]:
    """Days that a file may hold rows of: in a table by month, from its first to its last."""
    if not is_by_month(table):
        return [partition_day(data_file)]
    field_id = table.schema().find_field("date").field_id
    lower, upper = ((bounds or {}).get(field_id) for bounds in (data_file.lower_bounds, data_file.upper_bounds))
    if lower is not None and upper is not None:
        first, last = (int.from_bytes(bound, "little", signed=True) for bound in (lower, upper))
        return [EPOCH + timedelta(days=number) for number in range(first, last + 1)]
    # Another program wrote it and does not say.
    year, month = EPOCH.year + data_file.partition[0] // 12, 1 + data_file.partition[0] % 12
    return [date(year, month, 1 + number) for number in range(monthrange(year, month)[1])]


def _files_of_partitions(table: Table, days: Iterable[date]) -> Iterator[DataFile]:
    """Data files of the partitions that these days lie in."""
    numbers = {month_number(day) if is_by_month(table) else (day - EPOCH).days for day in days}
    return live_files(table, lambda data_file: data_file.partition[0] in numbers, manifest_of_partitions(numbers))


def _carried_files(table: Table, days: set[date], replaced: Mapping[str, DataFile]) -> dict[str, DataFile]:
    """Files by path whose rows of other days than these are to be written anew."""
    if not is_by_month(table):
        return {}
    carried = {path: data_file for path, data_file in replaced.items() if not days.issuperset(days_of_file(table, data_file))}
    others: dict[int, dict[str, DataFile]] = {}
    for data_file in _files_of_partitions(table, days):
        if data_file.file_path not in replaced:
            others.setdefault(data_file.partition[0], {})[data_file.file_path] = data_file
    for gathered in others.values():
        if len(gathered) >= FILES_PER_MONTH:
            carried |= gathered
    return carried


def _carried_rows(
    table: Table, carried: Mapping[str, DataFile], columns: tuple[Column, ...], days: set[date]
) -> Iterator[pl.DataFrame]:
    if carried:
        refuse_row_level_deletes(table)
    for path in carried:
        with storage_errors(f"reading {path}"), table.io.new_input(path).open() as stream:
            for rows in rows_of(pq.ParquetFile(stream), columns):
                yield rows.filter(~pl.col("date").is_in(sorted(days)))


def ledger_of(table: Table) -> Ledger:
    """The ledger of a table's version; raises StorageError."""
    with storage_errors("reading the ledger"):
        return read_ledger(table.io, table.location(), table.properties)


def replace_days(
    store: Store,
    target: Table,
    columns: tuple[Column, ...],
    days: Iterable[date],
    rows: Iterable[pl.DataFrame],
    properties: Mapping[str, str],
    snapshots_kept: int,
) -> None:
    """Commit rows in place of what a table holds of some days, with properties that say what they are made from; tell readers.

    Args:
        store: of the table's files.
        target: the table as it was looked at, partitioned by day or by month.
        columns: of the table.
        days: whose rows are replaced.
        rows: of these days and no others.
        properties: of the table.
        snapshots_kept: see `Commit`.

    Raises:
        CommitRaceError, CommitAnswerLostError: see `commit`.
        StorageError, CatalogError: something cannot be read or written, the catalog cannot be asked, or another engine has
            deleted single rows.
    """
    days = set(days)
    replaced = files_of_days(target, days)
    carried = _carried_files(target, days, replaced)
    old = {**replaced, **carried}
    load_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(6)}"
    staged = StagedFiles(target, load_id)
    intents = Intents(store, ledger_root(target.location()))
    with storage_errors(f"writing {target.location()}"):
        intents.declare(load_id, staged.folder)
    submitted = False

    def about_to_publish() -> None:
        nonlocal submitted
        submitted = True

    try:
        with PartitionWriter(target, columns, staged) as writer:
            for frame in rows:
                writer.write(frame)
        rows_added = staged.rows
        with PartitionWriter(target, columns, staged) as writer:
            for frame in _carried_rows(target, carried, columns, days):
                writer.write(frame)
        rows_carried = staged.rows - rows_added
        store.sync([stored.path for stored in store.files(staged.folder)])
        record = LoadRecord(
            load_id,
            "rollup",
            datetime.now(UTC).isoformat(timespec="seconds"),
            days=tuple(day.isoformat() for day in sorted(days)),
            rows_added=rows_added,
            rows_removed=sum(data_file.record_count for data_file in old.values()) - rows_carried,
            code_version=lakehouse.__version__,
        )
        committed = commit_with_ledger(
            store,
            target,
            ledger_of(target),
            Changes(record),
            load_id,
            snapshots_kept=snapshots_kept,
            staged=staged if staged.files else None,
            deleted=old,
            properties=properties,
            before_publish=about_to_publish,
        )
    except CommitRaceError:
        discard_failed(store, intents, target, load_id)
        raise
    except BaseException:
        # After the catalog was asked, the files stay for a clean-up: they may have been committed.
        if not submitted:
            discard_failed(store, intents, target, load_id)
        raise
    intents.withdraw(load_id)
    publish_current(store, committed)
