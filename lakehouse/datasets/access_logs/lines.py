"""Blocks of bytes as lines, and columns of strings as views into a block, without copying the text."""

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Positions = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]

NEWLINE, RETURN = 0x0A, 0x0D

_INLINE = 12
"""Strings up to this length live in their view itself (Arrow columnar format, variable-size binary view layout)."""
_ALL = 0xFFFFFFFF
_KEPT_BYTES = np.array(
    [
        # Of a longer string the view holds the first four bytes only.
        [(1 << 8 * min(max(length - 4 * word, 0), 4)) - 1 for length in range(_INLINE + 1)] + [0 if word else _ALL]
        for word in range(3)
    ],
    dtype="<u4",
)
"""Masks of the bytes that belong to a string in the first, second and third word of its view, by its length."""
_CACHED = 1 << 18
"""Bytes that are compared at once; more would leave the processor's cache before they are looked at again."""


class Block:
    """Text of whole lines, where strings are cut out by their positions.

    Bytes that are no UTF-8 become their escape `\\xNN`, as web servers write such bytes themselves; the rest of the
    text stays as it is, and no line is won or lost.

    Args:
        block: lines, each ending in \\n or \\r\\n, but maybe for the last one.
    """

    def __init__(self, block: bytes) -> None:
        text = block if block.isascii() else _valid_utf8(block)
        if text and not text.endswith(b"\n"):
            text += b"\n"
        self._text = text
        self.bytes = np.frombuffer(text, dtype=np.uint8)

    def positions_of(self, *characters: int) -> Positions:
        """Where any of these characters is."""
        found = []
        for start in range(0, len(self.bytes), _CACHED):
            part = self.bytes[start : start + _CACHED]
            hits = part == characters[0]
            for character in characters[1:]:
                hits |= part == character
            found.append(np.flatnonzero(hits) + start)
        return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)

    def words(self, at: Positions) -> Words:
        """The eight bytes from each position on as a number, the first one lowest."""
        return self._pieces(at, 8).view("<u8")

    def characters(self, at: Positions, count: int) -> Bytes:
        """The bytes from each position on: a row for the first ones, a row for the second ones, and so on."""
        return np.ascontiguousarray(self._pieces(at, count).view(np.uint8).reshape(-1, count).T)

    def strings(self, begin: Positions, end: Positions, *, blank_to_null: bool = False) -> pl.Series:
        """The text between positions, a string each.

        Args:
            begin: ascending positions on character boundaries.
            end: positions on character boundaries, each not before its begin.
            blank_to_null: null for "-" and "".
        """
        length = end - begin
        text = self._pieces(begin, _INLINE).view("<u4").reshape(-1, 3)
        views = np.empty((len(length), 4), dtype="<u4")
        views[:, 0] = length
        for word in range(3):
            np.bitwise_and(text[:, word], _KEPT_BYTES[word].take(length, mode="clip"), out=views[:, word + 1])
        # A longer string is found by the number of its buffer, which is 0, and its place there.
        views[:, 3] |= (begin * (length > _INLINE)).astype(np.uint32)
        validity = None
        if blank_to_null:
            valid = (length > 1) | ((length == 1) & (views[:, 1] != ord("-")))
            validity = pa.py_buffer(np.packbits(valid, bitorder="little"))
        buffers = [validity, pa.py_buffer(views), pa.py_buffer(self._text)]
        return pl.Series(pa.StringViewArray.from_buffers(pa.string_view(), len(length), buffers), dtype=pl.String)

    def _pieces(self, at: Positions, count: int) -> npt.NDArray[np.void]:
        """`count` bytes from each of ascending positions on, zeros behind the end of the text."""
        last = len(self._text) - count
        inside = int(np.searchsorted(at, last, side="right"))
        pieces = [_every(self._text, count)[at[:inside]]] if inside else []
        if inside < len(at) or not pieces:
            end = max(last, 0)
            pieces.append(_every(self._text[end:] + bytes(2 * count), count)[at[inside:] - end])
        return np.concatenate(pieces) if len(pieces) > 1 else pieces[0]

    def line_ends(self, begin: Positions, newline: Positions) -> Positions:
        """Where the text of lines ends: at the newline, or one carriage return before it."""
        returns: Flags = (newline > begin) & (self.bytes[newline - 1] == RETURN)
        return newline - returns

    def lines(self, first_line: int) -> pl.DataFrame:
        """All lines: `_line` from `first_line` on, and `text`."""
        newline = self.positions_of(NEWLINE)
        begin = line_begins(newline)
        numbers = pl.int_range(first_line, first_line + len(newline), dtype=pl.Int64, eager=True)
        return pl.DataFrame({"_line": numbers, "text": self.strings(begin, self.line_ends(begin, newline))})


def line_begins(newline: Positions) -> Positions:
    """Where lines begin, by the positions of their newlines."""
    begin = np.empty_like(newline)
    begin[:1] = 0
    begin[1:] = newline[:-1] + 1
    return begin


def _every(text: bytes, count: int) -> npt.NDArray[np.void]:
    """A view of `count` bytes from every position on."""
    return np.ndarray((len(text) - count + 1,), dtype=f"V{count}", buffer=text, strides=(1,))


def _valid_utf8(block: bytes) -> bytes:
    """The block with escapes for bytes that are no UTF-8; sequences of UTF-8 never cross a byte of ASCII."""
    if _is_utf8(block):
        return block
    high = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) >= 0x80)
    begins, ends = high[np.diff(high, prepend=-2) > 1], high[np.diff(high, append=len(block) + 1) > 1] + 1
    text = memoryview(block)
    pieces: list[bytes | memoryview] = []
    done = 0
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        try:
            block[begin:end].decode()
        except UnicodeDecodeError:
            pieces += [text[done:begin], block[begin:end].decode(errors="backslashreplace").encode()]
            done = end
    return b"".join([*pieces, text[done:]])


def _is_utf8(block: bytes) -> bool:
    offsets = np.array([0, len(block)], dtype=np.int64)
    text = pa.LargeStringArray.from_buffers(1, pa.py_buffer(offsets), pa.py_buffer(block))
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
