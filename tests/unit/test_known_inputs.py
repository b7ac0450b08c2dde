"""The index of known inputs finds what a comparison with every record would find."""

import hashlib
from collections.abc import Iterable
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.identity import LINE_ENDS, Hasher, KnownInputs, candidates, in_scope
from lakehouse.inputs import HEAD_BYTES
from lakehouse.ledger import InputRecord

STARTS = st.sampled_from([b"", b"\n", b"a\na\n", b"a" * 10, b"a" * 31, b"a" * 32, b"a" * 33, b"a" * 64, b"b" * 40])
CONTENT = st.builds(lambda start, rest: start + rest, STARTS, st.binary(max_size=40)).filter(bool)
SITES, SOURCES = st.sampled_from(["rennes", "paris"]), st.sampled_from(["", "web1", "/var/log", "s3://logs/web"])


def record(number: int, content: bytes, site: str, source: str) -> InputRecord:
    hasher = Hasher()
    hasher.update(content)
    return InputRecord(
        id=str(number),
        site=site,
        source=source,
        location="",
        length=hasher.length,
        digest=hasher.digest,
        checkpoints=tuple(hasher.checkpoints),
        lines=1,
        rows=1,
        known_rejects=0,
        unknown_rejects=0,
        days=(),
        parser_state={},
        load_id="",
        line_ends=tuple(hasher.line_ends),
    )


def beginnings(records: Iterable[InputRecord]) -> pl.DataFrame:
    schema = {"id": pl.String(), "site": pl.String(), "length": pl.Int64(), "digest": pl.String(), "trail": pl.String()}
    return pl.DataFrame([found.beginning for found in records], schema, orient="row")


@given(st.lists(st.tuples(CONTENT, SITES, SOURCES)), CONTENT, SITES, SOURCES, st.sets(st.integers(0, 9)))
def test_the_same_candidates_as_by_comparing_all(
    inputs: list[tuple[bytes, str, str]], head: bytes, site: str, source: str, removed: set[int]
) -> None:
    records = [record(number, *values) for number, values in enumerate(inputs)]
    stored = records[::2]
    known = KnownInputs({found.id: found for found in stored}, beginnings(stored), {"4"} if len(records) > 4 else ())
    for added in [*records[1::2], *records[::4]]:
        known.add(added)
    for number in removed:
        known.remove(str(number))
    left = [record for number, record in enumerate(records) if number not in removed]
    expected = candidates(head, [record for record in left if in_scope(record, site, source)])
    assert sorted(record.id for record in known.candidates(head, site, source)) == sorted(record.id for record in expected)
    for kept in left:
        assert kept in known.with_digest(kept.digest)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)), st.integers(1, 200))
def test_pieces_of_a_stream_make_no_difference(content: bytes, cuts: list[int], prefix: int) -> None:
    content = content.replace(b"\0", b"\n")  # many lines among the examples
    whole, pieces, begun = Hasher((prefix,)), Hasher((prefix,)), Hasher()
    whole.update(content)
    for first, last in pairwise([0, *sorted(cut for cut in cuts if cut <= len(content)), len(content)]):
        pieces.update(content[first:last])
    begun.update(content[:prefix])
    for hasher in (whole, pieces):
        assert hasher.digest == hashlib.sha256(content).hexdigest()
        assert hasher.line_ends[: len(begun.line_ends)] == begun.line_ends
        assert hasher.checkpoints[: len(begun.checkpoints)] == begun.checkpoints
        assert hasher.digest_at == ({prefix: begun.digest} if prefix <= len(content) else {})
    assert (whole.line_ends, whole.checkpoints) == (pieces.line_ends, pieces.checkpoints)
    assert len(whole.line_ends) == min(LINE_ENDS, content.count(b"\n"))


@pytest.mark.parametrize("header", [b"", b"#Software: a server that begins each of its logs so\n" * 30])
@pytest.mark.parametrize("rest", [b"", b"GET / HTTP/1.1 200\n" * 10, b"GET / HTTP/1.1 200\n" * 10_000])
def test_among_many_records_only_the_right_one_is_decoded(header: bytes, rest: bytes) -> None:
    contents = [
        header + f"192.0.2.1 - - [21/Nov/2026:06:{number // 60:02}:{number % 60:02} +0000] ...\n".encode() + rest
        for number in range(900)
    ]
    records = {str(number): record(number, content, "rennes", "") for number, content in enumerate(contents)}
    known = KnownInputs({"17": records["17"]}, beginnings(records.values()))  # others: KeyError
    for head in (contents[17], contents[17] + b"more\n"):
        assert [found.id for found in known.candidates(head[:HEAD_BYTES], "rennes", "")] == ["17"]
    assert known.candidates(contents[17], "paris", "") == []
    assert [found.id for found in known.with_digest(records["17"].digest)] == ["17"]
