"""Thrift's compact protocol, as far as Parquet's footers and page headers need it.

The format is Apache Thrift's `doc/specs/thrift-compact-protocol.md`. A struct is a dict from the numbers of its fields to these:
one can be read, changed and written again whatever else it holds.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_LONG_LIST = 15
"""What stands for the number of a list's elements if there are so many or more."""


class Field(NamedTuple):
    """A value and its type, of a list also the type of its elements; what a boolean is, its type says."""

    type: int
    value: Any
    element: int = 0


Struct = dict[int, Field]


def i32(value: int) -> Field:
    """A field of 32 bits, or an enumeration."""
    return Field(_I32, value)


def i64(value: int) -> Field:
    """A field of 64 bits."""
    return Field(_I64, value)


def text(value: str) -> Field:
    """A field of text."""
    return Field(_BINARY, value.encode())


def struct(value: Struct) -> Field:
    """A field that is a struct."""
    return Field(_STRUCT, value)


def i32_list(values: Sequence[int]) -> Field:
    """A list of numbers of 32 bits, or of enumerations."""
    return Field(_LIST, values, _I32)


def text_list(values: Sequence[str]) -> Field:
    """A list of texts."""
    return Field(_LIST, [value.encode() for value in values], _BINARY)


def struct_list(values: Sequence[Struct] | Sequence[bytes]) -> Field:
    """A list of structs, or of such as `write_struct` has written already."""
    return Field(_LIST, values, _STRUCT)


def write_struct(fields: Struct) -> bytes:
    """The bytes of a struct."""
    out = bytearray()
    _write_struct(out, fields)
    return bytes(out)


def read_struct(data: bytes) -> Struct:
    """The struct that bytes begin with."""
    return _Reader(data).struct()


def _write_struct(out: bytearray, fields: Struct) -> None:
    last = 0
    for number in sorted(fields):
        field = fields[number]
        if number - last < 16:
            out.append((number - last) << 4 | field.type)
        else:
            out.append(field.type)
            _write_integer(out, number)
        last = number
        if field.type == _LIST:
            _write_list(out, field.element, field.value)
        else:
            _write(out, field.type, field.value)
    out.append(0)


def _write_list(out: bytearray, element: int, values: Sequence[Any]) -> None:
    out.append(min(len(values), _LONG_LIST) << 4 | element)
    if len(values) >= _LONG_LIST:
        _write_size(out, len(values))
    for value in values:
        _write(out, element, value)


def _write(out: bytearray, kind: int, value: Any) -> None:
    if kind in (_I16, _I32, _I64):
        _write_integer(out, value)
    elif kind == _BINARY:
        _write_size(out, len(value))
        out += value
    elif kind == _STRUCT and isinstance(value, bytes):
        out += value
    elif kind == _STRUCT:
        _write_struct(out, value)
    elif kind == _BYTE:
        out.append(value)
    elif kind not in (_TRUE, _FALSE):
        raise ValueError(f"a Thrift type that Parquet does not use here: {kind}")


def _write_integer(out: bytearray, value: int) -> None:
    _write_size(out, value << 1 if value >= 0 else ~(value << 1))


def _write_size(out: bytearray, value: int) -> None:
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def struct(self) -> Struct:
        fields: Struct = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            fields[number] = self._list() if head & 0x0F == _LIST else Field(head & 0x0F, self._value(head & 0x0F))
        return fields

    def _list(self) -> Field:
        head = self._byte()
        count = head >> 4 if head >> 4 < _LONG_LIST else self._size()
        return Field(_LIST, [self._value(head & 0x0F) for _ in range(count)], head & 0x0F)

    def _value(self, kind: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return None
        if kind in (_I16, _I32, _I64):
            return self._integer()
        if kind == _BINARY:
            size = self._size()
            self._at += size
            return self._data[self._at - size : self._at]
        if kind == _STRUCT:
            return self.struct()
        if kind == _BYTE:
            return self._byte()
        raise ValueError(f"a Thrift type that Parquet does not use here: {kind}")

    def _integer(self) -> int:
        value = self._size()
        return (value >> 1) ^ -(value & 1)

    def _size(self) -> int:
        value = shift = 0
        while (byte := self._byte()) >= 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | byte << shift

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]
