"""Lines that did not parse: written before the commit under the load's id, visible through the ledger once it counts."""

from collections.abc import Iterable
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO

from lakehouse.ledger import Ledger
from lakehouse.storage import read_parquet, storage_errors

SCHEMA = pa.schema(
    [
        ("site", pa.large_string()),
        ("source", pa.large_string()),
        ("location", pa.large_string()),
        ("_input", pa.large_string()),
        ("_line", pa.int64()),
        ("reason", pa.large_string()),
        ("text", pa.large_string()),
        ("known", pa.bool_()),
    ]
)


class RejectWriter:
    """Writes one Parquet file of rejects for a load; no file when there are none."""

    def __init__(self, io: FileIO, ledger_root: str, load_id: str):
        self._io = io
        self.path = f"{ledger_root}/rejects/{load_id}.parquet"
        self._sink: Any = None
        self._writer: pq.ParquetWriter | None = None

    def write(self, rejects: pl.DataFrame, site: str, source: str, location: str, input_id: str) -> None:
        """Take rejects of an input, as a parser gives them; raises StorageError."""
        if rejects.is_empty():
            return
        rows = rejects.select(
            pl.lit(site).alias("site"),
            pl.lit(source).alias("source"),
            pl.lit(location).alias("location"),
            pl.lit(input_id).alias("_input"),
            "_line",
            "reason",
            "text",
            "known",
        )
        with storage_errors(f"writing {self.path}"):
            if self._writer is None:
                self._sink = self._io.new_output(self.path).create(overwrite=True)
                self._writer = pq.ParquetWriter(self._sink, SCHEMA, compression="zstd")
            self._writer.write_table(rows.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(SCHEMA))

    @property
    def used(self) -> bool:
        """Whether there were rejects."""
        return self._writer is not None

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            with storage_errors(f"writing {self.path}"):
                self._writer.close()
                self._sink.close()


def reasons_of_load(io: FileIO, ledger_root: str, load_id: str) -> list[tuple[str, str, int]]:
    """Site, reason and number of the lines that a load rejected; none once its file is cleaned up; raises StorageError."""
    path = f"{ledger_root}/rejects/{load_id}.parquet"
    with storage_errors(f"reading {path}"):
        if not io.new_input(path).exists():
            return []
    rows = pl.DataFrame(pl.from_arrow(read_parquet(io, path, ["site", "reason"])))
    counted = rows.group_by("site", "reason").len().sort("site", "reason")
    return [(site, reason, rejects) for site, reason, rejects in counted.iter_rows()]


def read_rejects(ledger: Ledger, io: FileIO, input_ids: Iterable[str] | None = None) -> pl.DataFrame:
    """Rejects of the inputs that are loaded, ordered by input and line.

    Args:
        ledger: says which files and inputs count.
        io: reads the files.
        input_ids: only these inputs; None: all.
    """
    wanted = set(ledger.inputs) if input_ids is None else set(input_ids)
    paths = sorted({path for input_id in wanted for path in ledger.inputs[input_id].reject_files})
    frames = [pl.DataFrame(schema=pl.Schema(pl.DataFrame(pl.from_arrow(SCHEMA.empty_table())).schema))]
    for path in paths:
        frame = pl.DataFrame(pl.from_arrow(read_parquet(io, path)))
        frames.append(frame.filter(pl.col("_input").is_in(list(wanted))))
    return pl.concat(frames).sort("_input", "_line")
