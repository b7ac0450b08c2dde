"""PartitionWriter: what goes in comes out, in the right files, whatever the order and number of partitions."""

from ctypes import CDLL
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.manifest import DataFile

from lakehouse import spill, stage
from lakehouse.catalog import ensure_table, open_catalog, table_columns
from lakehouse.commit import StagedFiles, partition_day
from lakehouse.compiled import library
from lakehouse.datasets.access_logs.encoded import encode
from lakehouse.datasets.encoded_rows import EncodedRows
from lakehouse.derived import days_of_file
from lakehouse.errors import StorageError
from lakehouse.settings import load_settings
from tests.support.tiny import TINY

COLUMNS = table_columns(TINY.columns)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("stage")
    chosen = load_settings({"LAKEHOUSE_HOME": str(folder), "HOME": str(folder)})
    return ensure_table(open_catalog(chosen), chosen, "tiny", "doc", COLUMNS)


@pytest.fixture(scope="module")
def monthly(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("monthly")
    chosen = load_settings({"LAKEHOUSE_HOME": str(folder), "HOME": str(folder)})
    return ensure_table(open_catalog(chosen), chosen, "monthly", "doc", COLUMNS, partition_by=("month",))


def frame(rows: list[tuple[int, int]], first: int) -> pl.DataFrame:
    """Rows of (day, site), numbered from `first`."""
    days = [date(2025, 12, 20) + timedelta(days=day) for day, _ in rows]
    return pl.DataFrame(
        {
            "date": days,
            "site": [f"site{site}" for _, site in rows],
            "ts": [datetime(day.year, day.month, day.day, 12, tzinfo=UTC) for day in days],
            "text": [f"row{first + number}" for number in range(len(rows))],
            "_input": ["0123456789abcdef"] * len(rows),
            "_line": list(range(first, first + len(rows))),
        },
        schema_overrides={"ts": pl.Datetime("us", "UTC"), "_line": pl.Int64},
    )


class RecordedFiles(StagedFiles):
    """Keeps the data files themselves, which the real one writes into manifests."""

    def __init__(self, table: Any, load_id: str):
        super().__init__(table, load_id)
        self.added: list[DataFile] = []

    def add(self, data_file: DataFile, day: date) -> None:
        self.added.append(data_file)


BLOCKS = st.lists(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=30), min_size=1, max_size=5)


@settings(max_examples=25, deadline=None)
@given(
    by_month=st.booleans(),
    blocks=BLOCKS,
    merge_rows=st.integers(1, 50),
    rows_per_file=st.sampled_from([5, 1000]),
    small_bytes=st.sampled_from([1, 1000]),
)
def test_rows_in_are_rows_out(
    table: Any,
    monthly: Any,
    by_month: bool,
    blocks: list[list[tuple[int, int]]],
    merge_rows: int,
    rows_per_file: int,
    small_bytes: int,
) -> None:
    table = monthly if by_month else table
    staged = RecordedFiles(table, f"load-{id(blocks)}")
    frames = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spill, "MERGE_ROWS", merge_rows)
        patch.setattr(spill, "RUN_BATCH_ROWS", 7)
        patch.setattr(stage, "ROWS_PER_FILE", rows_per_file)
        patch.setattr(stage, "SMALL_BYTES", small_bytes)
        patch.setattr(stage, "DIRECT_PARTITIONS", 1 if by_month else 3)
        with stage.PartitionWriter(table, COLUMNS, staged) as writer:
            first = 1
            for block in blocks:
                frames.append(frame(block, first))
                first += len(block)
                writer.write(frames[-1])
    assert written(staged).equals(pl.concat(frames))


def written(staged: RecordedFiles) -> pl.DataFrame:
    """All rows in their order; what the manifests say of each file is checked."""
    found = []
    for data_file in staged.added:
        rows = pl.DataFrame(pl.from_arrow(pq.read_table(data_file.file_path)))
        if len(data_file.partition) == 1:
            assert rows.select(pl.col("date").dt.month_start().unique()).to_series().to_list() == [
                date(1970 + data_file.partition[0] // 12, 1 + data_file.partition[0] % 12, 1)
            ]
            days = days_of_file(staged.table, data_file)
            assert (days[0], days[-1]) == (rows["date"].min(), rows["date"].max())
        else:
            assert rows["date"].unique().to_list() == [partition_day(data_file)]
            assert rows["site"].unique().to_list() == [data_file.partition[1]]
        assert rows.height == data_file.record_count
        assert data_file.file_size_in_bytes == Path(data_file.file_path).stat().st_size
        found.append(rows)
    return pl.concat(found).sort("_line")


@settings(max_examples=50, deadline=None)
@given(
    blocks=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=30), min_size=1, max_size=5),
    native=st.sampled_from([library(), None]),
)
def test_encoded_rows_in_are_rows_out(table: Any, blocks: list[list[int]], native: CDLL | None) -> None:
    """Blocks of one day, of a few and of too many; a file holds no text that only rows of another day had.

    With the compiled library, where there is one, and without.
    """
    staged = RecordedFiles(table, f"load-{id(blocks)}")
    frames = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spill, "MERGE_ROWS", 10)
        patch.setattr(spill, "RUN_BATCH_ROWS", 2)
        patch.setattr(stage, "PIECE_ROWS", 4)
        patch.setattr(stage, "ENCODED_FROM_ROWS", 4)
        patch.setattr(stage, "library", lambda: native)
        patch.setattr(stage, "DIRECT_PARTITIONS", 3)
        with stage.PartitionWriter(table, COLUMNS, staged) as writer:
            first = 1
            for block in blocks:
                rows = frame([(day, 0) for day in block], first)
                frames.append(rows)
                first += len(block)
                writer.write_encoded(encoded_rows(rows))
    assert written(staged).equals(pl.concat(frames))
    for data_file in staged.added:
        texts = pq.read_table(data_file.file_path, read_dictionary=["text"])["text"]
        assert {text for chunk in texts.chunks for text in chunk.dictionary.to_pylist()} == set(texts.to_pylist())


def encoded_rows(rows: pl.DataFrame) -> EncodedRows:
    """The rows with their texts by number."""
    found = {name: encode(rows[name]) for name in ("site", "text", "_input")}
    frame = rows.with_columns(column.positions.alias(name) for name, column in found.items())
    return EncodedRows(frame, {name: column.values.to_arrow().cast(pa.string()) for name, column in found.items()})


class FullDisk(RecordedFiles):
    """Names the file that takes nothing."""

    def next_path(self) -> str:
        return "/dev/full"


@pytest.mark.parametrize("native", [library(), None])
def test_encoded_rows_on_a_full_disk_are_no_file(table: Any, native: CDLL | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "ENCODED_FROM_ROWS", 1)
    monkeypatch.setattr(stage, "library", lambda: native)
    staged = FullDisk(table, "load-full")
    with pytest.raises(StorageError, match="the disk is full"), stage.PartitionWriter(table, COLUMNS, staged) as writer:
        writer.write_encoded(encoded_rows(frame([(0, 0)] * 5, 1)))
    assert staged.added == []
