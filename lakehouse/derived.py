"""Replace days of a table that is made from others: rollups and load reports."""

import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime

import polars as pl
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

import lakehouse
from lakehouse.commit import CommitRaceError, StagedFiles, partition_day
from lakehouse.current import publish_current
from lakehouse.datasets.base import Column
from lakehouse.intents import Intents, discard_failed
from lakehouse.ledger import Changes, Ledger, LoadRecord, ledger_root, read_ledger
from lakehouse.ledger_commit import commit_with_ledger
from lakehouse.live import live_files, manifest_of_days
from lakehouse.stage import PartitionWriter
from lakehouse.storage import Store, storage_errors


def files_of_days(table: Table, days: Iterable[date]) -> dict[str, DataFile]:
    """Data files of these days by path, in a table whose partitions begin with the day."""
    wanted = set(days)
    found = live_files(table, lambda data_file: partition_day(data_file) in wanted, manifest_of_days(wanted))
    return {data_file.file_path: data_file for data_file in found}


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
        target: the table as it was looked at, partitioned by day.
        columns: of the table.
        days: whose rows are replaced.
        rows: of these days and no others.
        properties: of the table.
        snapshots_kept: see `Commit`.

    Raises:
        CommitRaceError, CommitAnswerLostError: see `commit`.
        StorageError, CatalogError: something cannot be written, or the catalog cannot be asked.
    """
    days = sorted(days)
    old = files_of_days(target, days)
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
        with PartitionWriter(target, columns, staged, partition_by=("date",)) as writer:
            for frame in rows:
                writer.write(frame)
        store.sync([stored.path for stored in store.files(staged.folder)])
        record = LoadRecord(
            load_id,
            "rollup",
            datetime.now(UTC).isoformat(timespec="seconds"),
            days=tuple(day.isoformat() for day in days),
            rows_added=staged.rows,
            rows_removed=sum(data_file.record_count for data_file in old.values()),
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
