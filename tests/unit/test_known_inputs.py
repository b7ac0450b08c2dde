"""The index of known inputs finds what a comparison with every record would find."""

from hypothesis import given
from hypothesis import strategies as st

from lakehouse.identity import Hasher, KnownInputs, candidates, in_scope
from lakehouse.ledger import InputRecord

STARTS = st.sampled_from([b"", b"a" * 10, b"a" * 31, b"a" * 32, b"a" * 33, b"a" * 64, b"b" * 40])
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
    )


@given(st.lists(st.tuples(CONTENT, SITES, SOURCES)), CONTENT, SITES, SOURCES, st.sets(st.integers(0, 9)))
def test_the_same_candidates_as_by_comparing_all(
    inputs: list[tuple[bytes, str, str]], head: bytes, site: str, source: str, removed: set[int]
) -> None:
    records = [record(number, *values) for number, values in enumerate(inputs)]
    known = KnownInputs([*records, *records])
    for number in removed:
        known.remove(str(number))
    left = [record for number, record in enumerate(records) if number not in removed]
    expected = candidates(head, [record for record in left if in_scope(record, site, source)])
    assert sorted(record.id for record in known.candidates(head, site, source)) == sorted(record.id for record in expected)
    for kept in left:
        assert kept in known.with_digest(kept.digest)


def test_among_many_records_few_are_looked_at() -> None:
    contents = [
        f"192.0.2.1 - - [21/Nov/2026:06:{number // 60:02}:{number % 60:02} +0000] ...\n".encode() for number in range(900)
    ]
    known = KnownInputs(record(number, content, "rennes", "") for number, content in enumerate(contents))
    assert [found.id for found in known.candidates(contents[17] + b"more\n", "rennes", "")] == ["17"]
