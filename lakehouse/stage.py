"""Write parsed rows as Parquet files, one set per partition, in bounded memory however many partitions there are.

Rows that come nearly in order, as in a log, go straight into the files of their few partitions. A block that touches many
partitions is sorted and spilled to local disk instead, and merged at the end.
"""

import datetime
import math
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.table import Table

from lakehouse.catalog import LINE, arrow_schema, is_by_month
from lakehouse.commit import EPOCH, StagedFiles, data_file, month_number
from lakehouse.compiled import library
from lakehouse.datasets.base import Column
from lakehouse.datasets.encoded_rows import EncodedRows
from lakehouse.encoded_parquet import EncodedParquetWriter
from lakehouse.spill import PIECE_ROWS, SpilledRows
from lakehouse.storage import storage_errors

DIRECT_PARTITIONS = 8
"""Partitions in a block up to which its rows go straight to files; also the number of files kept open."""
SMALL_BYTES = 4 * 2**20
"""Frames smaller than this are gathered first: thousands of tiny inputs would make as many row groups, or files."""
ROWS_PER_FILE = 4_000_000
ZSTD_FROM_ROWS = 1000
"""Rows from which a file is worth zstd: making its context for each column costs more than writing a smaller file."""
DICTIONARY_BYTES = 4 * 2**20
"""Distinct text of a column up to which a row group names values by number: all agents of a block, and all addresses."""
BATCH_ROWS = 2**17
"""Rows of a column that are handed to its encoder at once, and that a page may have: writer and readers do much once each."""
ENCODED_FROM_ROWS = 10_000
"""Rows that come encoded and are written as they are; fewer would make many small row groups."""
ENCODED_BYTES = 64 * 2**20
"""The same limit for columns that come encoded: their texts are those of a block, which is smaller."""
_PACKED = (LINE.name, "bytes")
"""Small numbers, written as bits of their distances: next to nothing is left of lines in their order, and sizes, which nearly
every rollup adds up, are read in a third of the time."""
SITES_PER_DAY = 2**20
"""A partition's sort key is its day times this plus a number for its site."""
_KEY = "_partition"

Partition = tuple[Any, ...]
"""The first day, and the site in a table that is partitioned by site."""


@dataclass
class _OpenFile:
    path: str
    sink: Any
    writer: pq.ParquetWriter | EncodedParquetWriter
    schema: pa.Schema
    rows: int = 0
    bounds: dict[str, tuple[Any, Any]] = field(default_factory=dict)


class PartitionWriter:
    """Takes frames of rows with `date` and `site` and leaves data files listed in `staged`; a context manager.

    Args:
        table: the Iceberg table.
        columns: all of its columns, in the order of the frames.
        staged: where finished files are listed; names them too.
    """

    BOUNDED = ("date", "ts", "hour", "day", "_input")
    """Columns whose lowest and highest value a manifest tells: those that queries and this package filter on. Of their types: a
    user's own dataset may have a number that is called so."""

    def __init__(
        self,
        table: Table,
        columns: tuple[Column, ...],
        staged: StagedFiles,
    ):
        self._table = table
        self._staged = staged
        self._columns = columns
        self._by_site = any(field.name == "site" for field in table.spec().fields)
        self._by_month = is_by_month(table)
        self._day = pl.col("date").dt.month_start() if self._by_month else pl.col("date")
        self._schema = arrow_schema(table, columns)
        self._bounded = [
            (column.name, table.schema().find_field(column.name).field_id, column.type)
            for column in columns
            if column.name in self.BOUNDED and column.type in ("date", "timestamp", "string")
        ]
        self._dictionary = [
            column.name if column.type == "string" else f"{column.name}.list.element"
            for column in columns
            if column.type in ("string", "list<string>") and column.name not in ("url", "query", "extra")
        ]
        packed = [column.name for column in columns if column.type == "long" and column.name in _PACKED]
        self._packed = dict.fromkeys(packed, "DELTA_BINARY_PACKED") or None
        self._open: dict[Partition, _OpenFile] = {}
        self._sites: dict[str, int] = {}
        self._spilled: SpilledRows | None = None
        self._small: list[pl.DataFrame] = []
        self._small_bytes = 0

    def __enter__(self) -> "PartitionWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            for opened in self._open.values():
                # The load has failed and its files will be deleted: what closing them says does not matter any more.
                with suppress(OSError, pa.ArrowException):
                    opened.writer.close()
                    opened.sink.close()
            if self._spilled is not None:
                self._spilled.close()

    def write(self, rows: pl.DataFrame) -> None:
        """Take rows: exactly the table's columns; raises StorageError."""
        size = int(rows.estimated_size())
        if size >= SMALL_BYTES:
            self._take(rows)
        elif not rows.is_empty():
            self._small.append(rows)
            self._small_bytes += size
            if self._small_bytes >= SMALL_BYTES:
                self._take_small()

    def write_encoded(self, rows: EncodedRows) -> None:
        """Take rows whose texts are encoded, of one site; raises StorageError.

        Those of a few days are written as they are: nobody needs to look for equal texts again.
        """
        if rows.height < ENCODED_FROM_ROWS:
            self.write(rows.decoded())
            return
        for part in rows.by("date", DIRECT_PARTITIONS):
            if part.frame["date"].n_unique() == 1:
                self._append_encoded(part)
            else:
                self._spill_encoded(part)

    def _append_encoded(self, rows: EncodedRows) -> None:
        fields = [_encoded_field(field) if field.name in rows.values else field for field in self._schema]
        columns = [
            pa.chunked_array([pa.DictionaryArray.from_arrays(_to_array(column), rows.values[column.name])])
            if column.name in rows.values
            else pa.chunked_array([_to_array(column)])
            for column in rows.frame
        ]
        partition = (rows.frame["date"][0], rows.values["site"][0].as_py())
        with storage_errors(f"writing to {self._staged.folder}"):
            self._append(partition, _with_schema(columns, pa.schema(fields)))

    def _take_small(self) -> None:
        """Deal with the frames that were too small to be worth a piece of a file each."""
        if self._small:
            gathered = pl.concat(self._small)
            self._small, self._small_bytes = [], 0
            self._take(gathered)

    def _take(self, rows: pl.DataFrame) -> None:
        keys = [self._day, pl.col("site")] if self._by_site else [self._day]
        counts = rows.select(key.n_unique() for key in keys).row(0)
        with storage_errors(f"writing to {self._staged.folder}"):
            if max(counts) == 1:
                self._append(rows.head(1).select(keys).row(0), _to_arrow(rows, self._schema))
            elif math.prod(counts) <= DIRECT_PARTITIONS:
                for partition, part in rows.group_by(keys, maintain_order=True):
                    self._append(partition, _to_arrow(part, self._schema))
            else:
                self._spill(rows)

    def finish(self) -> None:
        """Merge what was spilled and close all files; raises StorageError."""
        self._take_small()
        with storage_errors(f"writing to {self._staged.folder}"):
            if self._spilled is not None:
                for key, part in self._spilled.merged(self._schema):
                    self._append(self._partition_of(key), part)
            for partition in list(self._open):
                self._close(partition)

    def _append(self, partition: Partition, rows: pa.Table) -> None:
        opened = self._open.pop(partition, None)
        if opened is None:
            if len(self._open) >= DIRECT_PARTITIONS:
                self._close(next(iter(self._open)))
            opened = self._create("snappy" if rows.num_rows < ZSTD_FROM_ROWS else "zstd", rows.schema)
        self._open[partition] = opened
        opened.writer.write_table(rows if rows.schema == opened.schema else _with_schema(rows.columns, opened.schema))
        opened.rows += rows.num_rows
        for name, _, _ in self._bounded:
            column = pl.Series(_distinct(rows[name]))
            low, high = column.min(), column.max()
            if low is not None:
                known = opened.bounds.get(name, (low, high))
                opened.bounds[name] = (min(known[0], low), max(known[1], high))
        if opened.rows >= ROWS_PER_FILE:
            self._close(partition)

    def _create(self, compression: str, schema: pa.Schema) -> _OpenFile:
        """A file; what is encoded in its first rows is in all of them."""
        encoded = [field.name for field in schema if pa.types.is_dictionary(field.type)]
        path = self._staged.next_path()
        sink = self._table.io.new_output(path).create(overwrite=True)
        options = {
            "compression": compression,
            "compression_level": 1 if compression == "zstd" else None,
            "use_dictionary": sorted({*self._dictionary, *encoded}),
            "dictionary_pagesize_limit": ENCODED_BYTES if encoded else DICTIONARY_BYTES,
            "column_encoding": self._packed,
            "write_statistics": ["ts"] if "ts" in self._schema.names else True,
            "write_batch_size": BATCH_ROWS,
            "max_rows_per_page": BATCH_ROWS,
            "store_schema": False,
        }
        native = library() if encoded else None
        writer = (
            EncodedParquetWriter(native, sink, schema, frozenset({"ts", *(self._packed or ())}), options)
            if native
            else pq.ParquetWriter(sink, schema, **options)
        )
        return _OpenFile(path, sink, writer, schema)

    def _close(self, partition: Partition) -> None:
        opened = self._open.pop(partition)
        opened.writer.close()
        size = opened.sink.tell()
        opened.sink.close()
        bounds = {
            field_id: (_single_value(kind, opened.bounds[name][0]), _single_value(kind, opened.bounds[name][1]))
            for name, field_id, kind in self._bounded
            if name in opened.bounds
        }
        day, *site = partition
        number = month_number(day) if self._by_month else (day - EPOCH).days
        self._staged.add(data_file(opened.path, size, opened.rows, (number, *site), bounds), day)

    def _spill(self, rows: pl.DataFrame) -> None:
        for site in rows["site"].unique() if self._by_site else ():
            self._sites.setdefault(site, len(self._sites))
        key = self._day.to_physical().cast(pl.Int64) * SITES_PER_DAY
        if self._by_site:
            key = key + pl.col("site").replace_strict(self._sites, return_dtype=pl.Int64)
        rows = rows.with_columns(key.alias(_KEY)).sort(_KEY, maintain_order=True)
        self._spill_sorted(rows.drop(_KEY).iter_slices(PIECE_ROWS), rows[_KEY])

    def _spill_encoded(self, rows: EncodedRows) -> None:
        """The same of one site's rows, of which few have their texts in place at any moment."""
        site = self._sites.setdefault(rows.values["site"][0].as_py(), len(self._sites)) if self._by_site else 0
        keys = rows.frame["date"].to_physical().cast(pl.Int64).sort() * SITES_PER_DAY + site
        with storage_errors(f"writing to {self._staged.folder}"):
            self._spill_sorted(rows.decoded_pieces("date", PIECE_ROWS), keys)

    def _spill_sorted(self, pieces: Iterable[pl.DataFrame], keys: pl.Series) -> None:
        schema = _spill_schema(self._schema)
        if self._spilled is None:
            self._spilled = SpilledRows(schema)
        self._spilled.add((_to_arrow(piece, schema) for piece in pieces), keys.to_numpy())

    def _partition_of(self, key: int) -> Partition:
        day = EPOCH + datetime.timedelta(days=key // SITES_PER_DAY)
        return (day, list(self._sites)[key % SITES_PER_DAY]) if self._by_site else (day,)


def _to_arrow(rows: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    return _with_schema(rows.to_arrow(compat_level=pl.CompatLevel.newest()).columns, schema)


def _to_array(column: pl.Series) -> pa.Array:
    return column.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())


def _with_schema(columns: Iterable[pa.ChunkedArray], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_arrays(
        [_retyped(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def _encoded_field(field: pa.Field) -> pa.Field:
    return field.with_type(pa.dictionary(pa.int32(), pa.string()))


def _distinct(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The texts of an encoded column, or the column itself."""
    return pa.chunked_array([chunk.dictionary for chunk in column.chunks]) if pa.types.is_dictionary(column.type) else column


def _spill_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with strings that are whole: views of strings would take all the text that they were cut from to disk."""
    whole = pa.large_string()

    def kind(field: pa.Field) -> pa.DataType:
        if pa.types.is_string_view(field.type):
            return whole
        return pa.large_list(whole) if pa.types.is_large_list(field.type) else field.type

    return pa.schema([field.with_type(kind(field)) for field in schema])


def _retyped(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type).dictionary_encode()
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(kind)


def _single_value(kind: str, value: Any) -> bytes:
    """Iceberg's single-value serialization of a bound (specification, appendix D)."""
    if kind == "string":
        return str(value).encode()
    if kind == "date":
        return struct.pack("<i", (value - EPOCH).days)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return struct.pack("<q", (value - epoch) // datetime.timedelta(microseconds=1))
