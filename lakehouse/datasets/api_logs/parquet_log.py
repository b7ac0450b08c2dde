"""The log as Parquet files with flattened columns such as "Response.1.code"."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.datasets.api_logs.columns import fields, split_rows
from lakehouse.datasets.base import Parsed
from lakehouse.datasets.json_records import read_objects, without_nulls
from lakehouse.errors import FormatError

FORMAT = "parquet"
MAGIC = b"PAR1"

_BATCH_ROWS = 50_000


class ParquetLogParser:
    """Parser of whole files; a row is a line.

    Args:
        zone: IANA time zone of timestamps without one.
    """

    def __init__(self, zone: str) -> None:
        self._zone = zone

    def state(self) -> Mapping[str, Any]:
        """The format."""
        return {"format": FORMAT}

    def parse_file(self, path: Path) -> Iterator[Parsed]:
        """See `FileParser.parse_file`.

        Raises:
            FormatError: the file is not Parquet, or damaged.
        """
        first_line = 1
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(_BATCH_ROWS):
                    yield self._parse(pl.DataFrame(pa.Table.from_batches([batch])), first_line)
                    first_line += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise FormatError(
                f"The Parquet file cannot be read ({error}); fetch it again, or write it again from its source."
            ) from error

    def _parse(self, batch: pl.DataFrame, first_line: int) -> Parsed:
        # As JSON, what no column knows needs no type of its own; absent and null are the same in a flattened file.
        text = (
            batch.select(
                cs.binary().cast(pl.String, strict=False),
                cs.temporal().cast(pl.String),
                cs.decimal().cast(pl.String),
                ~(cs.binary() | cs.temporal() | cs.decimal()),
            )
            .select(pl.struct(pl.all()).struct.json_encode())
            .to_series()
        )
        objects = without_nulls(read_objects(text)).fill_null("{}")
        lines = pl.DataFrame({"text": text}).with_row_index("_line", offset=first_line)
        rows, rejected = split_rows(lines.with_columns(pl.col("_line").cast(pl.Int64)), fields(objects, self._zone))
        return Parsed(rows, rejected, 0, batch.height)
