"""Parquet files of rows that come encoded, in which most columns are written without looking for equal texts again.

pyarrow looks each text up once more, and each value costs it many times what packing its bits does. Here the compiled library
makes the pages of columns of text, and of those that are numbers as they are; the others pyarrow writes into memory, from where
their column chunks are copied. The footer is that of pyarrow for the same schema, with these row groups.

The format is that of the Apache Parquet specification: field numbers and enumerations are those of its `parquet.thrift`.
"""

import ctypes
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse import __version__
from lakehouse.thrift import Struct, i32, i32_list, i64, read_struct, struct, struct_list, text, text_list, write_struct

_MAGIC = b"PAR1"
_CREATED_BY = f"lakehouse version {__version__} (build parquet-cpp-arrow version {pa.__version__})"
"""In the form that readers take apart, to look for what certain versions of certain programs wrote wrongly."""
_CODECS = {"snappy": 1, "zstd": 6}
_BYTE_ARRAY = 6
_PLAIN, _RLE, _RLE_DICTIONARY = 0, 3, 8
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_NUMBERS = {
    pa.bool_(): (1, 0),
    pa.int32(): (4, 1),
    pa.date32(): (4, 1),
    pa.int64(): (8, 2),
    pa.timestamp("us", "UTC"): (8, 2),
    pa.float64(): (8, 5),
}
"""What is written as it is: the library's kind (1 is bits, others are bytes), and Parquet's type."""
_TEXTS = 0
"""The library's kind of numbers of texts."""


class _Footer:
    """Fields of a FileMetaData."""

    ROWS, ROW_GROUPS, CREATED_BY = 3, 4, 6


class _RowGroup:
    """Fields of a RowGroup."""

    CHUNKS, UNCOMPRESSED, ROWS, OFFSET, COMPRESSED = 1, 2, 3, 5, 6


class _Chunk:
    """Fields of a ColumnChunk; the offset is required and means nothing any more."""

    OFFSET, COLUMN = 2, 3


class _Column:
    """Fields of a ColumnMetaData."""

    TYPE, ENCODINGS, PATH, CODEC, VALUES, UNCOMPRESSED, COMPRESSED = 1, 2, 3, 4, 5, 6, 7
    DATA_PAGE, DICTIONARY_PAGE, PAGES = 9, 11, 13


class _PageHeader:
    """Fields of a PageHeader; one is that of its kind."""

    TYPE, UNCOMPRESSED, COMPRESSED, DATA, DICTIONARY = 1, 2, 3, 5, 7


@dataclass(frozen=True)
class _Values:
    """A column whose pages the library makes: of its kind and Parquet's type, and the texts that it numbers."""

    array: pa.Array
    kind: int
    type: int
    texts: pa.StringArray | None = None


class EncodedParquetWriter:
    """Writes tables as row groups, as pyarrow's ParquetWriter does.

    Args:
        native: see `compiled.library`.
        sink: the file, open for writing; stays open.
        schema: columns of text that come encoded are dictionaries of strings, numbered by Int32.
        by_arrow: columns that only pyarrow writes as wanted: with statistics, or with an encoding of their own.
        options: those of pyarrow's ParquetWriter.
    """

    def __init__(
        self, native: ctypes.CDLL, sink: Any, schema: pa.Schema, by_arrow: frozenset[str], options: Mapping[str, Any]
    ) -> None:
        self._sink = sink
        self._by_arrow = by_arrow
        self._options = options
        self._codec = pa.Codec(options["compression"], options["compression_level"])
        self._pages = _Pages(native)
        self._size = 0
        self._rows = 0
        self._row_groups: list[bytes] = []
        self._footer = _read_footer(_written_by_arrow(schema.empty_table(), options))
        self._write(_MAGIC)

    def write_table(self, rows: pa.Table) -> None:
        """Write a row group; raises OSError and pyarrow's errors."""
        begin = self._size
        own = {name: values for name in rows.schema.names if (values := self._own(name, rows[name])) is not None}
        file = _written_by_arrow(rows.select([name for name in rows.schema.names if name not in own]), self._options)
        copied = _columns_by_name(_read_footer(file))
        columns: list[Struct] = []
        for name in rows.schema.names:
            if name in own:
                columns.append(self._write_column(name, own[name]))
            else:
                columns.extend(self._copy_column(file, column) for column in copied[name])
        row_group = {
            _RowGroup.CHUNKS: struct_list([{_Chunk.OFFSET: i64(0), _Chunk.COLUMN: struct(column)} for column in columns]),
            _RowGroup.UNCOMPRESSED: i64(sum(column[_Column.UNCOMPRESSED].value for column in columns)),
            _RowGroup.ROWS: i64(rows.num_rows),
            _RowGroup.OFFSET: i64(begin),
            _RowGroup.COMPRESSED: i64(self._size - begin),
        }
        self._row_groups.append(write_struct(row_group))
        self._rows += rows.num_rows

    def close(self) -> None:
        """Write the footer; raises OSError."""
        own = {
            _Footer.ROWS: i64(self._rows),
            _Footer.ROW_GROUPS: struct_list(self._row_groups),
            _Footer.CREATED_BY: text(_CREATED_BY),
        }
        footer = write_struct(self._footer | own)
        self._write(footer + len(footer).to_bytes(4, "little") + _MAGIC)

    def _own(self, name: str, column: pa.ChunkedArray) -> _Values | None:
        """The column if the library makes its pages."""
        if name in self._by_arrow:
            return None
        array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        if pa.types.is_dictionary(array.type):
            texts = array.dictionary
            fit = len(texts) > 0 and texts.nbytes <= self._options["dictionary_pagesize_limit"] and texts.null_count == 0
            return _Values(array.indices, _TEXTS, _BYTE_ARRAY, texts) if fit else None
        if array.type in _NUMBERS:
            return _Values(array, *_NUMBERS[array.type])
        if pa.types.is_string_view(array.type) and array.null_count == len(array):
            nothing = pa.int32()
            return _Values(pa.nulls(len(array), nothing), _NUMBERS[nothing][0], _BYTE_ARRAY)
        return None

    def _write_column(self, name: str, values: _Values) -> Struct:
        """Write a column chunk; returns what the footer says of it."""
        begin, uncompressed = self._size, 0
        encoding, encodings, pages = _PLAIN, [_RLE, _PLAIN], []
        column: Struct = {}
        if values.texts is not None:
            encoding, encodings = _RLE_DICTIONARY, [_PLAIN, _RLE, _RLE_DICTIONARY]
            column[_Column.DICTIONARY_PAGE] = i64(self._size)
            header = {_PageHeader.DICTIONARY: struct({1: i32(len(values.texts)), 2: i32(_PLAIN)})}
            uncompressed += self._write_page(_DICTIONARY_PAGE, self._pages.dictionary(values.texts), header)
            pages.append({1: i32(_DICTIONARY_PAGE), 2: i32(_PLAIN), 3: i32(1)})
        column[_Column.DATA_PAGE] = i64(self._size)
        starts = range(0, len(values.array), self._options["max_rows_per_page"])
        for start in starts:
            rows = min(starts.step, len(values.array) - start)
            header = {_PageHeader.DATA: struct({1: i32(rows), 2: i32(encoding), 3: i32(_RLE), 4: i32(_RLE)})}
            uncompressed += self._write_page(_DATA_PAGE, self._pages.data(values.kind, values.array, start, rows), header)
        pages.append({1: i32(_DATA_PAGE), 2: i32(encoding), 3: i32(len(starts))})
        return column | {
            _Column.TYPE: i32(values.type),
            _Column.ENCODINGS: i32_list(encodings),
            _Column.PATH: text_list([name]),
            _Column.CODEC: i32(_CODECS[self._codec.name]),
            _Column.VALUES: i64(len(values.array)),
            _Column.UNCOMPRESSED: i64(uncompressed),
            _Column.COMPRESSED: i64(self._size - begin),
            _Column.PAGES: struct_list(pages),
        }

    def _write_page(self, kind: int, body: pa.Buffer, header: Struct) -> int:
        """Write a page; returns its size without compression."""
        compressed = self._codec.compress(body)
        sizes = {
            _PageHeader.TYPE: i32(kind),
            _PageHeader.UNCOMPRESSED: i32(body.size),
            _PageHeader.COMPRESSED: i32(compressed.size),
        }
        head = write_struct(sizes | header)
        self._write(head)
        self._write(compressed)
        return len(head) + int(body.size)

    def _copy_column(self, file: pa.Buffer, column: Struct) -> Struct:
        """Write a column chunk of another file; returns what the footer says of it here."""
        begin = column.get(_Column.DICTIONARY_PAGE, column[_Column.DATA_PAGE]).value
        places = [place for place in (_Column.DICTIONARY_PAGE, _Column.DATA_PAGE) if place in column]
        moved = {place: i64(column[place].value - begin + self._size) for place in places}
        self._write(file.slice(begin, column[_Column.COMPRESSED].value))
        return column | moved

    def _write(self, data: bytes | pa.Buffer) -> None:
        self._sink.write(data)
        self._size += len(data)


class _Pages:
    """Makes bodies of pages, each of which is valid until the next one."""

    def __init__(self, native: ctypes.CDLL) -> None:
        self._native = native
        self._made = native.lakehouse_pages_open()

    def __del__(self) -> None:
        self._native.lakehouse_pages_close(self._made)

    def dictionary(self, texts: pa.StringArray) -> pa.Buffer:
        """A dictionary page."""
        _, offsets, data = texts.buffers()
        first = offsets.address + texts.offset * pa.int32().byte_width
        address, size = (data.address, data.size) if data else (None, 0)
        return self._body(self._native.lakehouse_pages_dictionary(self._made, first, len(texts), address, size))

    def data(self, kind: int, values: pa.Array, start: int, rows: int) -> pa.Buffer:
        """A data page of so many rows."""
        validity, data = values.buffers()
        bits = validity.address if values.null_count else None
        begin = values.offset + start
        return self._body(self._native.lakehouse_pages_data(self._made, kind, data.address, bits, begin, rows))

    def _body(self, answer: int) -> pa.Buffer:
        if answer < 0:
            raise pa.ArrowInvalid("the compiled library does not take a column; this is a defect, please report it")
        size = ctypes.c_size_t()
        address = self._native.lakehouse_pages_body(self._made, ctypes.byref(size))
        return pa.foreign_buffer(address, size.value, self)


def _written_by_arrow(rows: pa.Table, options: Mapping[str, Any]) -> pa.Buffer:
    """The file that pyarrow writes of the rows, in memory."""
    stream = pa.BufferOutputStream()
    with pq.ParquetWriter(stream, rows.schema, **options) as writer:
        if rows.num_rows:
            writer.write_table(rows, rows.num_rows)
    return stream.getvalue()


def _read_footer(file: pa.Buffer) -> Struct:
    tail = 4 + len(_MAGIC)
    size = int.from_bytes(file.slice(file.size - tail, 4).to_pybytes(), "little")
    return read_struct(file.slice(file.size - tail - size, size).to_pybytes())


def _columns_by_name(footer: Struct) -> Mapping[str, list[Struct]]:
    """What the footer of a file of one row group says of each column's chunks: a list of texts is one, as they are."""
    columns: dict[str, list[Struct]] = defaultdict(list)
    (row_group,) = footer[_Footer.ROW_GROUPS].value
    for chunk in row_group[_RowGroup.CHUNKS].value:
        column = chunk[_Chunk.COLUMN].value
        columns[column[_Column.PATH].value[0].decode()].append(column)
    return columns
