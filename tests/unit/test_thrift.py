"""Thrift's compact protocol: what another program wrote is read, and written in the same way."""

from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.thrift import Struct, i32, i64, read_struct, struct, struct_list, text, text_list, write_struct


def test_a_footer_of_pyarrow_is_written_as_it_was() -> None:
    columns = {f"column {number}": [number, None, -number * 2**40] for number in range(20)}
    flags, small, texts = pa.array([True, False, None]), pa.array([1, 2, 3], pa.uint8()), pa.array(["é" * 200, "", None])
    table = pa.table(columns | {"flag": flags, "small": small, "text": texts})
    file = BytesIO()
    pq.write_table(table, file, row_group_size=2)
    data = file.getvalue()
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]
    assert write_struct(read_struct(footer)) == footer


@pytest.mark.parametrize("value", [0, 1, -1, 63, 64, -64, -65, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)])
def test_numbers_of_every_size(value: int) -> None:
    fields = {1: i64(value), 15: i32(0), 40: i64(value)}
    assert read_struct(write_struct(fields)) == fields


@pytest.mark.parametrize("count", [0, 1, 14, 15, 200])
def test_lists_of_every_size(count: int) -> None:
    inner: Struct = {1: text("é"), 2: struct({})}
    fields = {1: text_list(["a", ""] * count), 2: struct_list([inner] * count)}
    assert read_struct(write_struct(fields)) == fields
    assert write_struct({1: struct_list([write_struct(inner)] * count)}) == write_struct({1: struct_list([inner] * count)})
