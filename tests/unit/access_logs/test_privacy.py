"""What is kept of addresses and names, and the visitor's hash."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.datasets.access_logs.privacy import Privacy
from lakehouse.datasets.access_logs.siphash import siphash_2_4
from lakehouse.errors import SettingsError

KEY = bytes(range(32))
MASK = 2**64 - 1
words = st.integers(0, MASK)


def stored(address: str, choice: str = "truncate") -> str | None:
    answer: str | None = Privacy(choice, "drop", KEY).clients(pl.Series([address])).stored[0]
    return answer


def visitor(address: str, agent: str | None = "Mozilla/5.0", day: int = 19_000, key: bytes = KEY) -> int:
    privacy = Privacy("drop", "drop", key)
    client = privacy.clients(pl.Series([address]))
    agent_words = privacy.agent_words(pl.Series([agent], dtype=pl.String()))
    return int(privacy.visitors(client.high, client.low, agent_words, np.array([day], np.uint64))[0])


@pytest.mark.parametrize(
    ("logged", "truncated", "kept"),
    [
        ("83.149.9.216", "83.149.9.0", "83.149.9.216"),
        ("255.255.255.255", "255.255.255.0", "255.255.255.255"),
        ("0.0.0.0", "0.0.0.0", "0.0.0.0"),
        ("83.149.9.216:51432", "83.149.9.0", "83.149.9.216"),
        ("::ffff:83.149.9.216", "83.149.9.0", "83.149.9.216"),
        ("[::ffff:83.149.9.216]:443", "83.149.9.0", "83.149.9.216"),
        ("83.149.9.216, 10.0.0.1", "83.149.9.0", "83.149.9.216"),
        ("2001:db8:1234:5678::1", "2001:db8:1234::", "2001:db8:1234:5678::1"),
        ("2001:DB8:1234:5678:0:0:0:1", "2001:db8:1234::", "2001:db8:1234:5678::1"),
        ("[2001:db8:1234:5678::1]:8080", "2001:db8:1234::", "2001:db8:1234:5678::1"),
        ("[2001:db8:1234:5678::1]", "2001:db8:1234::", "2001:db8:1234:5678::1"),
        ("fe80::1%eth0", "fe80::", "fe80::1"),
        ("::1", "::", "::1"),
        ("unknown", None, "unknown"),
        ("dsl-83-149.example.net", None, "dsl-83-149.example.net"),
        ("1.2.3.256", None, "1.2.3.256"),
        ("01.2.3.4", None, "01.2.3.4"),
        ("1.2.3", None, "1.2.3"),
        ("1.2.3.4.5", None, "1.2.3.4.5"),
        ("1.2.3.4/secret", None, "1.2.3.4/secret"),
        ("jean.dupont@example.org", None, "jean.dupont@example.org"),
        ("\0", None, "\0"),
        ("é", None, "é"),
    ],
)
def test_an_address(logged: str, truncated: str | None, kept: str) -> None:
    assert stored(logged) == truncated
    assert stored(logged, "keep") == kept
    assert stored(logged, "drop") is None


def test_spellings_of_one_address_are_one_client() -> None:
    v4 = ("83.149.9.216", "83.149.9.216:1", "::ffff:83.149.9.216", "[::ffff:83.149.9.216]:1")
    v6 = ("2001:db8::1", "2001:DB8:0::1", "[2001:db8::1]:1")
    for spellings in (v4, v6):
        assert len({visitor(text) for text in spellings}) == 1
        assert len({stored(text, "hash") for text in spellings}) == 1
    assert visitor(v4[0]) != visitor(v6[0])


def test_a_hash_is_keyed_text() -> None:
    assert stored("83.149.9.216", "hash") == "60b7b19447de540e6030d3d7f18e1c14"
    assert Privacy("drop", "hash", KEY).user_names(pl.Series(["alice"])).to_list() == ["2d4bc7d4cd91868323d385f41730df26"]
    other = Privacy("hash", "hash", bytes(32))
    assert other.clients(pl.Series(["83.149.9.216"])).stored[0] != stored("83.149.9.216", "hash")
    # The same text as name and as address must not be found to be the same.
    assert other.clients(pl.Series(["alice"])).stored[0] != other.user_names(pl.Series(["alice"]))[0]


def test_names() -> None:
    names = pl.Series(["alice", None])
    assert Privacy("drop", "keep", KEY).user_names(names).to_list() == ["alice", None]
    assert Privacy("drop", "drop", KEY).user_names(names).to_list() == [None, None]
    assert Privacy("drop", "hash", KEY).user_names(names)[1] is None


@pytest.mark.parametrize(
    ("address", "agent", "golden"),
    [
        ("83.149.9.216", "Mozilla/5.0", 2515626283872834408),
        ("83.149.9.216", None, 8119755378024755370),
        ("2001:db8::1", "Mozilla/5.0", 5967103539226511845),
        ("unknown", "Mozilla/5.0", 1006148803060895383),
    ],
)
def test_a_visitor_is_the_same_number_on_every_machine_and_in_every_version(address: str, agent: str | None, golden: int) -> None:
    assert visitor(address, agent) == golden


def test_a_visitor_depends_on_address_agent_day_and_key() -> None:
    variants = {
        visitor("83.149.9.216"),
        visitor("83.149.9.217"),
        visitor("83.149.9.216", "curl"),
        visitor("83.149.9.216", None),
        visitor("83.149.9.216", ""),
        visitor("83.149.9.216", day=19_001),
        visitor("83.149.9.216", key=bytes(32)),
    }
    assert len(variants) == 7


def test_the_bits_of_visitors_are_uniform() -> None:
    privacy = Privacy("drop", "drop", KEY)
    clients = privacy.clients(pl.Series([f"10.0.{low // 256}.{low % 256}" for low in range(20_000)]))
    zero = np.zeros(20_000, np.uint64)
    visitors = privacy.visitors(clients.high, clients.low, zero, zero)
    assert len(np.unique(visitors)) == 20_000
    for bit in range(63):
        share = float(((visitors >> np.uint64(bit)) & np.uint64(1)).mean())
        assert abs(share - 0.5) < 0.02, bit
    assert int(visitors.max()) < 2**63


@pytest.mark.parametrize("key", [b"", b"k" * 15])
def test_a_short_key_is_refused(key: bytes) -> None:
    with pytest.raises(SettingsError, match=f"has {len(key)} bytes.*at least 16"):
        Privacy("truncate", "drop", key)


def test_siphash_answers_as_its_paper_does() -> None:
    """Appendix A: key 00..0f, message 00..0e; here the message's last word is the one that holds its length."""
    key, message = bytes(range(16)), bytes(range(15))
    assert reference(key, message) == 0xA129CA6149BE45E5


@given(
    st.binary(min_size=16, max_size=16),
    st.integers(1, 5).flatmap(lambda size: st.lists(st.tuples(*[words] * size), min_size=1)),
)
def test_siphash_equals_the_reference_row_by_row(key: bytes, rows: list[tuple[int, ...]]) -> None:
    arrays = [np.array(column, np.uint64) for column in zip(*rows, strict=True)]
    expected = [reference(key, b"".join(word.to_bytes(8, "little") for word in row)) for row in rows]
    assert siphash_2_4(key, *arrays).tolist() == expected


def test_siphash_of_more_rows_than_a_block_holds() -> None:
    row = np.arange(70_000, dtype=np.uint64)
    hashes = siphash_2_4(KEY[:16], row)
    for index in (0, 32_767, 32_768, 65_536, 69_999):
        assert int(hashes[index]) == reference(KEY[:16], index.to_bytes(8, "little"))


def reference(key: bytes, message: bytes) -> int:
    """SipHash-2-4 of one message, written from the paper, byte string in, number out."""
    half = [int.from_bytes(key[start : start + 8], "little") for start in (0, 8)]
    a, b, c, d = (
        half[index % 2] ^ int.from_bytes(b"somepseudorandomlygeneratedbytes"[index * 8 : index * 8 + 8], "big")
        for index in range(4)
    )

    def rotate(value: int, bits: int) -> int:
        return (value << bits | value >> (64 - bits)) & MASK

    def sip_round() -> None:
        nonlocal a, b, c, d
        a, c = (a + b) & MASK, (c + d) & MASK
        b, d = rotate(b, 13) ^ a, rotate(d, 16) ^ c
        a = rotate(a, 32)
        c, a = (c + b) & MASK, (a + d) & MASK
        b, d = rotate(b, 17) ^ c, rotate(d, 21) ^ a
        c = rotate(c, 32)

    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) % 256])
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        d ^= word
        sip_round()
        sip_round()
        a ^= word
    c ^= 0xFF
    for _ in range(4):
        sip_round()
    return a ^ b ^ c ^ d
