"""Cut blocks of an input into whole lines, in bounded memory whatever is in them."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from lakehouse.inputs import BLOCK_BYTES

MAX_LINE_BYTES = BLOCK_BYTES
"""Bytes of a line without its newline; a longer one is never in memory as a whole. No block is longer."""
_NULS = re.compile(rb"\0+")


class Piece(NamedTuple):
    """Bytes of an input of lines.

    Args:
        data: whole lines; or a part of one that is longer than MAX_LINE_BYTES, which ends where data ends in a newline.
        too_long: it is such a part.
        last: it is what stands behind the last newline, and may be empty.
    """

    data: bytes
    too_long: bool = False
    last: bool = False


def whole_lines(blocks: Iterator[bytes]) -> Iterator[Piece]:
    """Cut blocks, none of them longer than MAX_LINE_BYTES, behind their last newline; the last piece is `last`."""
    begun: list[bytes] = []
    size = 0
    too_long = False
    for block in blocks:
        end = block.find(b"\n")
        if too_long or size + (len(block) if end < 0 else end) > MAX_LINE_BYTES:
            yield from (Piece(part, too_long=True) for part in begun)
            begun, size = [], 0
            too_long = end < 0
            yield Piece(block if too_long else block[: end + 1], too_long=True)
            if too_long:
                continue
            block = block[end + 1 :]
        cut = block.rfind(b"\n") + 1
        if cut:
            whole = b"".join((*begun, memoryview(block)[:cut])) if begun or cut < len(block) else block
            begun, size = [], 0
        rest = block[cut:]
        del block  # nobody needs it while the lines are dealt with, nor these while the next block is read
        if cut:
            yield Piece(whole)
            del whole
        if rest:
            begun.append(rest)
            size += len(rest)
    yield Piece(b"".join(begun), too_long, last=True)


class LongLine:
    """A line that is too long, gathered from its pieces with one NUL for each run of them.

    A crash, or a log that was emptied under a program's hands, leaves any number of NULs within a line: what stands before
    and behind them may be whole lines.
    """

    def __init__(self) -> None:
        self._gathered: bytearray | None = bytearray()

    def add(self, data: bytes) -> None:
        """Take the next piece."""
        if self._gathered is None:
            return
        if b"\0" in data:
            data = _NULS.sub(b"\0", data)
        self._gathered += data[1:] if data.startswith(b"\0") and self._gathered.endswith(b"\0") else data
        if len(self._gathered) - self._gathered.endswith(b"\n") > MAX_LINE_BYTES:
            self._gathered = None

    @property
    def text(self) -> bytes:
        """The line, if that is not too long and there is anything but NULs in it; else nothing."""
        return bytes(self._gathered) if self._gathered and self._gathered.strip(b"\0\r\n") else b""
