"""Sort more rows than fit into memory: sorted runs on local disk, merged a range of keys at a time.

External merge sort (Knuth, The Art of Computer Programming 3, 5.4), without the tournament: how many rows each key has is
known when merging begins, so keys are taken in ranges that fit into memory, and of each run only the record batches that
touch the range are read.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

RUN_BATCH_ROWS = 512
"""Rows in a record batch of a run: what is read in vain at both ends of a range, times the number of runs."""
PIECE_ROWS = 16 * RUN_BATCH_ROWS
"""Rows handed over at a time, so that only these need their texts in place."""
MERGE_ROWS = 20_000
"""Rows held in memory while runs are merged."""
_KEY = "_key"


@dataclass(frozen=True)
class _Run:
    """A sorted block on disk: the first and the last key of each of its record batches."""

    path: Path
    first: np.ndarray
    last: np.ndarray


class SpilledRows:
    """Rows by key, on disk until they are merged; close it to delete the files.

    Args:
        schema: of the rows.
    """

    def __init__(self, schema: pa.Schema):
        self._schema = schema.append(pa.field(_KEY, pa.int64()))
        self._folder = tempfile.TemporaryDirectory(prefix="lakehouse-")
        self._runs: list[_Run] = []
        # Rows of each key so far: as many entries as there are keys, not keys times runs.
        self._keys = np.empty(0, np.int64)
        self._counts = np.empty(0, np.int64)

    def add(self, rows: Iterable[pa.Table], keys: np.ndarray) -> None:
        """Take a block.

        Args:
            rows: sorted by key, in pieces of PIECE_ROWS rows, of which the last may be of any size.
            keys: of all rows, ascending 64-bit integers.
        """
        path = Path(self._folder.name) / f"{len(self._runs):06d}.arrow"
        written = 0
        with pa.ipc.new_file(path, self._schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            for piece in rows:
                own = pa.array(keys[written : written + len(piece)])
                keyed = piece.append_column(self._schema.field(_KEY), own).combine_chunks()
                writer.write_table(keyed, max_chunksize=RUN_BATCH_ROWS)
                written += len(piece)
        ends = np.minimum(np.arange(RUN_BATCH_ROWS, len(keys) + RUN_BATCH_ROWS, RUN_BATCH_ROWS), len(keys)) - 1
        self._runs.append(_Run(path, keys[::RUN_BATCH_ROWS].copy(), keys[ends]))
        distinct, counts = np.unique(keys, return_counts=True)
        self._keys, place = np.unique(np.concatenate([self._keys, distinct]), return_inverse=True)
        self._counts = np.bincount(place, weights=np.concatenate([self._counts, counts])).astype(np.int64)

    def merged(self, schema: pa.Schema) -> Iterator[tuple[int, pa.Table]]:
        """Rows by ascending key, in the order in which they were added; a key with many rows comes in several tables.

        Args:
            schema: that the rows are cast to, many keys at a time.
        """
        for low, high in self._ranges():
            slices = (part for run in self._runs for part in self._slices(run, low, high))
            if low == high:
                yield from ((low, rows.cast(schema)) for rows, _ in slices)
                continue
            parts = list(slices)
            rows = pa.concat_tables([rows for rows, _ in parts])
            keys = np.concatenate([keys for _, keys in parts])
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
            del slices, parts  # or there would be three copies of these rows at once
            rows = rows.take(pa.array(order))
            rows = rows.cast(schema)
            starts = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1))
            for start, end in zip(starts, [*starts[1:], len(keys)], strict=True):
                yield int(keys[start]), rows.slice(int(start), int(end - start))

    def _ranges(self) -> Iterator[tuple[int, int]]:
        """Ranges of keys with at most MERGE_ROWS rows each; a key that alone has more is a range of its own."""
        keys, counts = self._keys, self._counts
        first, total = 0, 0
        for index, count in enumerate(counts):
            if index > first and total + count > MERGE_ROWS:
                yield int(keys[first]), int(keys[index - 1])
                first, total = index, 0
            total += int(count)
        yield int(keys[first]), int(keys[-1])

    def _slices(self, run: _Run, low: int, high: int) -> Iterator[tuple[pa.Table, np.ndarray]]:
        """A run's rows of a range of keys, copied so that no more of its record batches stays in memory."""
        wanted = np.flatnonzero((run.first <= high) & (run.last >= low))
        if not len(wanted):
            return
        with pa.OSFile(str(run.path)) as source, pa.ipc.open_file(source) as reader:
            rows = pa.Table.from_batches([reader.get_batch(index) for index in wanted])
        keys = rows[_KEY].to_numpy()
        begin, end = np.searchsorted(keys, low), np.searchsorted(keys, high, side="right")
        if begin < end:
            yield rows.drop_columns(_KEY).take(pa.array(np.arange(begin, end))), keys[begin:end].copy()

    def close(self) -> None:
        """Delete the files."""
        self._folder.cleanup()
