"""Read data files whose rows go into new ones."""

from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.manifest import ManifestContent
from pyiceberg.table import Table

from lakehouse.datasets.base import COLUMN_TYPES, Column
from lakehouse.errors import CatalogError
from lakehouse.manifests import manifests

BATCH_ROWS = 65_536
"""Rows in memory at a time."""


def refuse_row_level_deletes(table: Table) -> None:
    """Raise CatalogError when another engine has deleted single rows, which would come back with the rest of their files."""
    if any(manifest.content == ManifestContent.DELETES for manifest in manifests(table)):
        name = ".".join(table.name())
        raise CatalogError(
            f"{name} holds row-level deletes by another engine, which rewriting its files here would undo: run this there first: "
            f"ALTER TABLE {name} EXECUTE optimize"
        )


def rows_of(parquet: pq.ParquetFile, columns: tuple[Column, ...]) -> Iterator[pl.DataFrame]:
    """All rows of a file, with the table's columns of today."""
    for batch in parquet.iter_batches(batch_size=BATCH_ROWS):
        rows = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch])))
        yield rows.select(
            pl.col(column.name).cast(COLUMN_TYPES[column.type])
            if column.name in rows.columns
            else pl.lit(None, COLUMN_TYPES[column.type]).alias(column.name)
            for column in columns
        )
