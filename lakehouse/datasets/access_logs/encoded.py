"""Columns as their distinct values: what is computed of a value is computed once a block, not once a row."""

from dataclasses import dataclass

import polars as pl
import pyarrow as pa


@dataclass(frozen=True)
class Encoded:
    """A column as its distinct values (none is null) and, by row, the position of its value among them."""

    values: pl.Series
    positions: pl.Series


def encode(column: pl.Series) -> Encoded:
    """Find the distinct values of a column of strings or integers."""
    encoded = column.rechunk().to_arrow(compat_level=pl.CompatLevel.newest()).dictionary_encode()
    assert isinstance(encoded, pa.DictionaryArray)
    return Encoded(pl.Series(encoded.dictionary, dtype=column.dtype), pl.Series(encoded.indices, dtype=pl.Int32()))
