"""Rows whose texts are named by number, so that the Parquet writer need not look for equal ones."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pyarrow as pa


@dataclass(frozen=True)
class EncodedRows:
    """Rows with their distinct texts beside them.

    Args:
        frame: the rows; a column that has `values` holds the number of its text among them (Int32), null for none.
        values: distinct texts by column.
    """

    frame: pl.DataFrame
    values: Mapping[str, pa.StringArray]

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.frame.height

    def with_text(self, name: str, text: str) -> "EncodedRows":
        """The rows with one more column, which holds one text everywhere."""
        frame = self.frame.with_columns(pl.lit(0, pl.Int32()).alias(name))
        return replace(self, frame=frame, values={**self.values, name: pa.array([text], pa.string())})

    def decoded(self) -> pl.DataFrame:
        """The same rows with their texts in place."""
        texts = {name: pl.Series(values, dtype=pl.String()) for name, values in self.values.items()}
        return self.frame.with_columns(texts[name].gather(self.frame[name]).alias(name) for name in texts)

    def decoded_pieces(self, order_by: str, rows: int) -> Iterator[pl.DataFrame]:
        """The rows in the order of a column, with their texts in place, so many at a time."""
        ordered = self.frame.sort(order_by, maintain_order=True)
        for piece in ordered.iter_slices(rows):
            yield replace(self, frame=piece).decoded()

    def by(self, name: str, parts: int) -> "list[EncodedRows]":
        """The rows apart by a column, each part with its own texts only; whole when it has more than so many values."""
        if not 1 < self.frame[name].n_unique() <= parts:
            return [self]
        return [replace(self, frame=part)._with_texts_in_use() for part in self.frame.partition_by(name, maintain_order=True)]

    def _with_texts_in_use(self) -> "EncodedRows":
        """The same rows without the texts that none of them names: a file must not hold what only rows elsewhere had."""
        positions: list[pl.Series] = []
        values: dict[str, pa.StringArray] = {}
        for name, texts in self.values.items():
            used = self.frame[name].drop_nulls().unique().sort().to_numpy()
            renumbered = np.zeros(len(texts), np.int32)
            renumbered[used] = np.arange(len(used))
            positions.append(pl.Series(name, renumbered).gather(self.frame[name]))
            values[name] = texts.take(pa.array(used))
        return EncodedRows(self.frame.with_columns(positions), values)
