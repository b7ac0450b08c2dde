"""Rows whose texts are named by number, so that the Parquet writer need not look for equal ones."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

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
