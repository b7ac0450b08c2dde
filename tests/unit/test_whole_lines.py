"""Blocks of an input as whole lines, in memory that a line without end cannot exceed."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.whole_lines import Piece, whole_lines

MOST = 20
TEXT = st.lists(st.sampled_from([b"\n", b"a\n", b"b" * 7, b"c" * MOST, b"d" * MOST + b"\n", b"\r\n", b"\0" * 3])).map(b"".join)


@pytest.fixture(autouse=True, scope="module")
def short_lines() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lakehouse.whole_lines.MAX_LINE_BYTES", MOST)
        yield


def lines_of(pieces: list[Piece]) -> list[tuple[bytes, bool]]:
    """Every line, and whether it was told to be too long."""
    lines: list[tuple[bytes, bool]] = []
    begun = b""
    for data, too_long, last in pieces:
        if not too_long:
            lines += [(line, False) for line in data.splitlines(keepends=True)]
        elif (begun := begun + data).endswith(b"\n") or last:
            lines.append((begun, True))
            begun = b""
    return lines


@given(TEXT, st.lists(st.integers(1, MOST)))
def test_lines_are_told_apart_however_they_are_cut(content: bytes, sizes: list[int]) -> None:
    ends = [0]
    for size in [*sizes, *[MOST] * len(content)]:
        ends.append(min(ends[-1] + size, len(content)))
    pieces = list(whole_lines(content[start:end] for start, end in pairwise(ends)))
    expected = [line + b"\n" for line in content.split(b"\n")]
    expected[-1] = expected[-1][:-1]
    assert lines_of(pieces) == [(line, len(line.removesuffix(b"\n")) > MOST) for line in expected if line]
    assert b"".join(piece.data for piece in pieces) == content
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert all(piece.data.endswith(b"\n") for piece in pieces if not (piece.too_long or piece.last))


def test_a_line_without_end_is_never_gathered() -> None:
    given = taken = 0

    def blocks() -> Iterator[bytes]:
        nonlocal given
        for _ in range(1000):
            given += MOST
            yield b"\0" * MOST

    for piece in whole_lines(blocks()):
        taken += len(piece.data)
        assert len(piece.data) <= MOST
        assert given - taken <= 2 * MOST
    assert taken == 1000 * MOST
