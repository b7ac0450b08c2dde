"""Take rows out again: rewrite the data files that hold them, without them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

import polars as pl
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from lakehouse.commit import partition_day
from lakehouse.datasets.base import Column
from lakehouse.live import live_files, manifest_of_days
from lakehouse.rewriting import refuse_row_level_deletes, rows_of
from lakehouse.stage import PartitionWriter
from lakehouse.storage import storage_errors


@dataclass(frozen=True)
class Removal:
    """Which rows go.

    Args:
        inputs: rows of these inputs, which lie in `input_days`.
        days: all rows of these days of these sites.
    """

    inputs: frozenset[str] = frozenset()
    input_days: frozenset[date] = frozenset()
    days: frozenset[tuple[date, str]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.inputs or self.days)


@dataclass
class Removed:
    """What was taken out.

    Args:
        files: data files that the commit must delete, by path.
        rows: rows gone, by input id and day.
    """

    files: dict[str, DataFile] = field(default_factory=dict)
    rows: dict[tuple[str, date], int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Rows gone."""
        return sum(self.rows.values())


def remove_rows(table: Table, columns: tuple[Column, ...], removal: Removal, writer: PartitionWriter) -> Removed:
    """Write what remains of the files that hold rows to remove; files without such rows are left alone.

    Args:
        table: at the version that the commit will be conditional on.
        columns: all of the table.
        removal: which rows.
        writer: takes the remaining rows.

    Raises:
        CatalogError: another engine has deleted single rows, which would come back.
        StorageError: a file cannot be read or written.
    """
    removed = Removed()
    if not removal:
        return removed
    refuse_row_level_deletes(table)
    for data_file in live_files(
        table, _may_hold(table, removal), manifest_of_days(removal.input_days | {day for day, _ in removal.days})
    ):
        with storage_errors(f"reading {data_file.file_path}"):
            _rewrite(table, columns, data_file, removal, writer, removed)
    return removed


def _rewrite(
    table: Table,
    columns: tuple[Column, ...],
    data_file: DataFile,
    removal: Removal,
    writer: PartitionWriter,
    removed: Removed,
) -> None:
    with table.io.new_input(data_file.file_path).open() as stream:
        parquet = pq.ParquetFile(stream)
        if "_input" in parquet.schema_arrow.names and not _holds(parquet, removal, data_file):
            return
        removed.files[data_file.file_path] = data_file
        for rows in rows_of(parquet, columns):
            gone = rows.filter(_matches(removal))
            for input_id, day, count in gone.group_by("_input", "date").len().iter_rows():
                removed.rows[input_id, day] = removed.rows.get((input_id, day), 0) + count
            writer.write(rows.filter(~_matches(removal)))


def _holds(parquet: pq.ParquetFile, removal: Removal, data_file: DataFile) -> bool:
    if (partition_day(data_file), data_file.partition[1]) in removal.days:
        return True
    for group in range(parquet.num_row_groups):
        present = parquet.read_row_group(group, columns=["_input"]).column(0).unique().to_pylist()
        if not removal.inputs.isdisjoint(present):
            return True
    return False


def _matches(removal: Removal) -> pl.Expr:
    condition = pl.col("_input").is_in(list(removal.inputs)).fill_null(False)
    for day, site in removal.days:
        condition = condition | ((pl.col("date") == day) & (pl.col("site") == site))
    return condition


def _may_hold(table: Table, removal: Removal) -> Callable[[DataFile], bool]:
    input_field = table.schema().find_field("_input").field_id
    days = removal.input_days | {day for day, _ in removal.days}

    def wanted(data_file: DataFile) -> bool:
        day = partition_day(data_file)
        if day not in days:
            return False
        if (day, data_file.partition[1]) in removal.days:
            return True
        low, high = (data_file.lower_bounds or {}).get(input_field), (data_file.upper_bounds or {}).get(input_field)
        if low is None or high is None:
            return bool(removal.inputs)
        # A bound may be cut short by another writer: compare on the common length.
        return any(low[:16] <= name.encode()[: len(low)] and name.encode()[: len(high)] <= high for name in removal.inputs)

    return wanted
