"""EncodedParquetWriter: its files hold what pyarrow's own writer would have written, for whoever reads them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.compiled import library
from lakehouse.encoded_parquet import EncodedParquetWriter

native = library()
pytestmark = pytest.mark.skipif(
    native is None,
    reason="The compiled library is not built, so only pyarrow's way of writing was tested: install Rust and run make native",
)

PAGE_ROWS = 50
OPTIONS = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": ["text", "words.list.element"],
    "dictionary_pagesize_limit": 64 * 2**20,
    "column_encoding": {"line": "DELTA_BINARY_PACKED"},
    "write_statistics": ["ts"],
    "write_batch_size": PAGE_ROWS,
    "max_rows_per_page": PAGE_ROWS,
    "store_schema": False,
}
BY_ARROW = frozenset({"ts", "line"})


def field(name: str, number: int, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, metadata={"PARQUET:field_id": str(number)})


TEXT = field("text", 1, pa.dictionary(pa.int32(), pa.string()))
SCHEMA = pa.schema(
    [
        TEXT,
        field("day", 2, pa.date32()),
        field("ts", 3, pa.timestamp("us", "UTC")),
        field("words", 4, pa.large_list(field("element", 12, pa.string_view()))),
        field("small", 5, pa.int32()),
        field("line", 6, pa.int64()),
        field("big", 7, pa.int64()),
        field("real", 8, pa.float64()),
        field("flag", 9, pa.bool_()),
        field("note", 10, pa.string_view()),
        field("nothing", 11, pa.string_view()),
    ]
)


def written(path: Path, row_groups: Sequence[pa.Table], by_arrow: frozenset[str] = BY_ARROW, **options: Any) -> None:
    assert native is not None
    with path.open("wb") as sink:
        writer = EncodedParquetWriter(native, sink, row_groups[0].schema, by_arrow, {**OPTIONS, **options})
        for rows in row_groups:
            writer.write_table(rows)
        writer.close()


def check(folder: Path, row_groups: Sequence[pa.Table], **options: Any) -> None:
    """Whether all readers find in the file what pyarrow writes of the same rows, and its footer says the same."""
    own, reference = folder / "own.parquet", folder / "reference.parquet"
    written(own, row_groups, **options)
    with pq.ParquetWriter(reference, row_groups[0].schema, **{**OPTIONS, **options}) as writer:
        for rows in row_groups:
            writer.write_table(rows)
    assert pq.read_table(own).equals(pq.read_table(reference))
    assert pl.read_parquet(own).equals(pl.read_parquet(reference))
    with duckdb.connect() as connection:
        found, expected = (connection.read_parquet(str(path)).to_arrow_table() for path in (own, reference))
        assert found.equals(expected)
    check_footers(pq.ParquetFile(own), pq.ParquetFile(reference))


def check_footers(own: pq.ParquetFile, reference: pq.ParquetFile) -> None:
    assert own.schema.equals(reference.schema)
    assert own.schema_arrow.equals(reference.schema_arrow, check_metadata=True)
    assert own.metadata.num_rows == reference.metadata.num_rows
    assert own.metadata.num_row_groups == reference.metadata.num_row_groups
    end = 4
    for place in range(own.metadata.num_row_groups):
        found, expected = own.metadata.row_group(place), reference.metadata.row_group(place)
        assert found.num_rows == expected.num_rows
        chunks = [found.column(number) for number in range(found.num_columns)]
        assert found.total_byte_size == sum(chunk.total_uncompressed_size for chunk in chunks)
        for number, chunk in enumerate(chunks):
            other = expected.column(number)
            assert chunk.path_in_schema == other.path_in_schema
            assert chunk.physical_type == other.physical_type
            assert chunk.compression == other.compression
            assert chunk.num_values == other.num_values
            assert chunk.statistics == other.statistics
            assert (chunk.dictionary_page_offset or chunk.data_page_offset) == end
            end += chunk.total_compressed_size


def text_rows(texts: Sequence[str], numbers: Sequence[int | None]) -> pa.Table:
    column = pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), pa.array(texts, pa.string()))
    return pa.Table.from_arrays([column], schema=pa.schema([TEXT]))


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Rows in runs of the same number, or of none; they may begin anywhere in their arrays."""
    texts = draw(st.lists(st.text(max_size=20), min_size=1, max_size=70, unique=True))
    values_in_runs = st.just(-1) | st.integers(0, 3) | st.integers(0, 10**6)
    runs = draw(st.lists(st.tuples(values_in_runs, st.integers(1, 40)), min_size=1, max_size=30))
    numbers = [number for number, length in runs for _ in range(length)]
    skipped = draw(st.integers(0, len(numbers) - 1))
    values = [None if number < 0 else number for number in numbers]
    codes = [None if value is None else value % len(texts) for value in values]
    columns = [
        pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(texts, pa.string())),
        pa.array([20000] * len(numbers), pa.int32()).cast(pa.date32()),
        pa.array(numbers, pa.int64()).cast(pa.timestamp("us", "UTC")),
        pa.array([None if code is None else texts[: code % 4] for code in codes], SCHEMA.field("words").type),
        pa.array(values, pa.int32()),
        pa.array(range(len(numbers)), pa.int64()),
        pa.array([-number * 2**40 for number in numbers], pa.int64()),
        pa.array([None if value is None else value / 7 for value in values], pa.float64()),
        pa.array([None if value is None else value % 3 == 0 for value in values], pa.bool_()),
        pa.array([texts[number % len(texts)] for number in numbers], pa.string_view()),
        pa.nulls(len(numbers), pa.string_view()),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA).slice(skipped)


@settings(max_examples=60, deadline=None)
@given(row_groups=st.lists(tables(), min_size=1, max_size=3), compression=st.sampled_from(["zstd", "snappy"]))
def test_a_file_holds_what_pyarrow_would_have_written(
    tmp_path_factory: pytest.TempPathFactory, row_groups: list[pa.Table], compression: str
) -> None:
    level = 1 if compression == "zstd" else None
    check(tmp_path_factory.mktemp("pages"), row_groups, compression=compression, compression_level=level)


def test_texts_of_any_kind(tmp_path: Path) -> None:
    texts = ["", "é", "日本語 🗺️", "a\x00b\n", "x" * 2**24]
    check(tmp_path, [text_rows(texts, [0, 1, None, 2, 3, 4, 4, 0])])


@pytest.mark.parametrize("numbers", [[0], [0] * 1000, [None] * 1000, [None, 0] * 60, [0, *[None] * 30]])
def test_one_text(tmp_path: Path, numbers: list[int | None]) -> None:
    check(tmp_path, [text_rows(["only"], numbers)])


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8, 9, 255, 256, 257, 65536, 65537])
def test_numbers_of_every_size(tmp_path: Path, count: int) -> None:
    texts = [f"text {number}" for number in range(count)]
    check(tmp_path, [text_rows(texts, [*range(count), *[count - 1] * 21, 0])], max_rows_per_page=2**17)


def test_runs_end_anywhere(tmp_path: Path) -> None:
    numbers = [length % 3 for length in range(1, 40) for _ in range(length)]
    check(tmp_path, [text_rows(["a", "b", "c"], numbers)])
    check(tmp_path, [text_rows(["a", "b", "c"], [None if number == 1 else number for number in numbers])])


def test_each_row_group_has_its_own_texts(tmp_path: Path) -> None:
    check(tmp_path, [text_rows([f"{group} {number}" for number in range(group)], range(group)) for group in range(1, 10)])


def test_rows_in_several_pieces_are_one_row_group(tmp_path: Path) -> None:
    pieces = [text_rows(["a", "b"], [0, None, 1]), text_rows(["c"], [0, 0]), text_rows(["b", "c"], [1, 0])]
    check(tmp_path, [pa.concat_tables(pieces)])


def test_more_rows_than_pyarrow_puts_into_a_row_group(tmp_path: Path) -> None:
    count = 2**20 + 1
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1] * (count // 2) + [0], pa.int32()), pa.array(["a", "b"], pa.string()))
    rows = pa.Table.from_arrays([column, pa.array(range(count))], schema=pa.schema([TEXT, SCHEMA.field("line")]))
    written(tmp_path / "own.parquet", [rows])
    found = pq.read_table(tmp_path / "own.parquet")
    assert found["line"].equals(rows["line"])
    assert found["text"].equals(rows["text"].cast(pa.string()))


def test_texts_that_are_too_much_for_a_dictionary_and_none_at_all(tmp_path: Path) -> None:
    """pyarrow writes them, as it always did."""
    check(tmp_path, [text_rows(["a" * 100, "b"], [0, 1, None])], dictionary_pagesize_limit=50)
    check(tmp_path, [text_rows([], [None, None])])


def test_the_footer_says_who_wrote_the_file(tmp_path: Path) -> None:
    written(tmp_path / "own.parquet", [text_rows(["a"], [0])])
    assert pq.read_metadata(tmp_path / "own.parquet").created_by.startswith("lakehouse version ")


@pytest.mark.parametrize("number", [2, -1, 2**31 - 1])
def test_a_number_without_a_text_is_refused(tmp_path: Path, number: int) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, number], pa.int32()), pa.array(["a", "b"]), safe=False)
    with pytest.raises(pa.ArrowInvalid, match="defect"):
        written(tmp_path / "own.parquet", [pa.Table.from_arrays([column], schema=pa.schema([TEXT]))])
