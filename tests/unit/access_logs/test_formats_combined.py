"""Common, combined, vhost-combined and Traefik lines; the fast path and the general one give the same rows."""

from datetime import UTC, datetime, timedelta
from itertools import combinations, product
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lakehouse.datasets.access_logs.columns import RAW_SCHEMA
from lakehouse.datasets.access_logs.combined import CombinedFormat
from lakehouse.datasets.access_logs.fields import RawBlock
from lakehouse.datasets.access_logs.lines import Block
from lakehouse.datasets.base import ParseContext

CONTEXT = ParseContext(site="demo")
COMBINED = CombinedFormat("combined")

REGULAR = '192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET /a?b=c HTTP/1.1" 200 203023 "https://x.org/" "curl/8.0"'
HEADS = (
    "192.0.2.7 - - ",
    "2001:db8::1 - alice ",
    "www.x.org:443 192.0.2.7 - - ",
    "192.0.2.7, 10.0.0.1 - - ",
    "192.0.2.7 ident bob ",
    "x.org, 192.0.2.7 - bob ",
    "a - ",
    "a b ",
    "a -  ",
    " - - ",
    "- - - ",
)
TIMES = (
    "[17/May/2015:10:05:03 +0000]",
    "[29/Feb/2016:23:59:59 -0230]",
    "[29/Feb/2015:23:59:59 +0000]",
    "[31/Apr/2015:10:05:03 +0000]",
    "[00/May/2015:10:05:03 +0000]",
    "[32/Dec/2015:10:05:03 +0000]",
    "[17/may/2015:10:05:03 +0000]",
    "[17/Mai/2015:10:05:03 +0000]",
    "[17/May/1969:10:05:03 +0000]",
    "[17/May/9999:10:05:03 +0000]",
    "[17/May/2015:24:05:03 +0000]",
    "[17/May/2015:10:60:03 +0000]",
    "[17/May/2015:10:05:60 +0000]",
    "[17/May/2015:10:05:61 +0000]",
    "[17/May/2015:10:05:03 +2400]",
    "[17/May/2015:10:05:03 +0060]",
    "[17/May/2015:10:05:03 *0000]",
    "[17/May/2015:10:05:03 +00:00]",
    "[17/May/2015 10:05:03 +0000]",
    "[]",
)
REQUESTS = (
    "GET / HTTP/1.1",
    "GET /a b HTTP/2.0",
    "OPTIONS * HTTP/1.0",
    "PROPFIND /dav HTTP/1.1",
    "CONNECT x.org:443 HTTP/1.1",
    "GET /",
    "GET  HTTP/1.1",
    "GET HTTP/1.1",
    "GET - HTTP/1.0",
    "GET / HTTP/1.:",
    "GET / xHTTP/1.1",
    "GET / HTTP/1.1\\",
    "GETX / HTTP/1.1",
    "get / HTTP/1.1",
    "\\x16\\x03",
    "-",
    "",
)
NUMBERS = (
    "200 5",
    "304 -",
    "- -",
    "200 +5",
    "200 -5",
    "200 05",
    "200 5é",
    "200 é",
    "099 999999999999999999",
    "200 9999999999999999999",
    "200 1e3",
    "200  5",
    "20 55",
    "2000 5",
    "200 ",
    "200 --",
    "2 0 5",
)
TAILS = (
    "",
    " ",
    ' "-" "-"',
    ' "http://r/" "agent \\"quoted\\""',
    ' "" "a\\\\"',
    ' "a\\" "b"',
    ' "a" "b\\"',
    ' "r" "a" 12',
    ' "r" "a" ',
    ' "r"  "a"',
    ' "r"-"a"',
    ' "r""a"',
    '  "r" "a"',
    '-"r" "a"',
    ' "r" a',
)
PARTS = (HEADS, TIMES, REQUESTS, NUMBERS, TAILS)


def one(line: str) -> dict[str, Any]:
    """The raw values of a line that is a record, but for those that are null."""
    result = COMBINED.parse(line.encode(), 7, CONTEXT)
    assert result.rejects.is_empty()
    (row,) = result.rows.rows(named=True)
    assert row.pop("_line") == 7
    return {name: value for name, value in row.items() if value is not None}


def general(block: bytes) -> RawBlock:
    return COMBINED.parse_lines(Block(block).lines(1), CONTEXT)


def assert_same(block: bytes) -> None:
    fast, slow = COMBINED.parse(block, 1, CONTEXT), general(block)
    assert_frame_equal(fast.rows, slow.rows)
    assert_frame_equal(fast.rejects, slow.rejects)
    assert dict(fast.rows.schema) == dict(RAW_SCHEMA)


def test_regular_line() -> None:
    assert one(REGULAR) == {
        "ts": datetime(2015, 5, 17, 10, 5, 3, tzinfo=UTC),
        "client_ip": "192.0.2.7",
        "method": "GET",
        "url": "/a?b=c",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 203023,
        "referrer": "https://x.org/",
        "user_agent": "curl/8.0",
    }


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("192.0.2.7 - ", {"client_ip": "192.0.2.7"}),
        ("192.0.2.7 - alice ", {"client_ip": "192.0.2.7", "user_field": "alice"}),
        ("192.0.2.7 - Alice Doe ", {"client_ip": "192.0.2.7", "user_field": "Alice Doe"}),
        ('192.0.2.7 - a\\"b ', {"client_ip": "192.0.2.7", "user_field": 'a\\"b'}),
        ("192.0.2.7 ident bob ", {"client_ip": "192.0.2.7", "user_field": "bob", "extra": '{"ident":"ident"}'}),
        ("www.x.org 192.0.2.7 - - ", {"client_ip": "192.0.2.7", "server": "www.x.org"}),
        ("x.org:80 ::1 - u ", {"client_ip": "::1", "server": "x.org", "user_field": "u", "extra": '{"server_port":"80"}'}),
        ("www.x.org 192.0.2.7 - ", {"client_ip": "192.0.2.7", "server": "www.x.org"}),
        ("192.0.2.7, 10.0.0.1 - - ", {"client_ip": "192.0.2.7", "extra": '{"forwarded":"10.0.0.1"}'}),
    ],
)
def test_what_stands_before_the_time(head: str, expected: dict[str, Any]) -> None:
    row = one(REGULAR.replace("192.0.2.7 - - ", head))
    names = ("client_ip", "user_field", "server", "extra")
    assert {name: row[name] for name in names if name in row} == expected


@pytest.mark.parametrize(
    ("request_text", "method", "url", "protocol"),
    [
        ("GET /a b HTTP/1.1", "GET", "/a b", "HTTP/1.1"),
        ("PROPFIND /dav HTTP/1.1", "PROPFIND", "/dav", "HTTP/1.1"),
        ("GET /birthday HTTP/2", "GET", "/birthday", "HTTP/2"),
        ("GET /index.html", "GET", "/index.html", None),
        (r"\x16\x03\x01\x00t", None, r"\x16\x03\x01\x00t", None),
        ("batman", None, "batman", None),
        ("HELO mail.x.org", None, "HELO mail.x.org", None),
        (r"GET /\"quoted\" HTTP/1.1", "GET", r"/\"quoted\"", "HTTP/1.1"),
        ('GET /a"b HTTP/1.1', "GET", '/a"b', "HTTP/1.1"),
        ("é HTTP/1.1", None, "é HTTP/1.1", None),
        ("-", None, None, None),
        ("", None, None, None),
    ],
)
def test_requests(request_text: str, method: str | None, url: str | None, protocol: str | None) -> None:
    row = one(REGULAR.replace("GET /a?b=c HTTP/1.1", request_text))
    assert (row.get("method"), row.get("url"), row.get("protocol")) == (method, url, protocol)
    assert (row["status"], row["user_agent"]) == (200, "curl/8.0")


@pytest.mark.parametrize(
    ("tail", "referrer", "agent", "extra"),
    [
        ("", None, None, None),
        (' "-" "-"', None, None, None),
        (' "-" "a \\"b\\" c"', None, 'a \\"b\\" c', None),
        (' "-" "a\\\\"', None, "a\\\\", None),
        (' "-" "a" "203.0.113.9" 0.005', None, "a", '{"trailing":"\\"203.0.113.9\\" 0.005"}'),
        (" 0.005", None, None, '{"trailing":"0.005"}'),
        (' "-" "a" 5 "r@docker" "http://b:80" x', None, "a", '{"trailing":"5 \\"r@docker\\" \\"http://b:80\\" x"}'),
    ],
)
def test_what_stands_behind_the_size(tail: str, referrer: str | None, agent: str | None, extra: str | None) -> None:
    row = one(REGULAR.replace(' "https://x.org/" "curl/8.0"', tail))
    assert (row.get("referrer"), row.get("user_agent"), row.get("extra")) == (referrer, agent, extra)


def test_traefik() -> None:
    row = one(REGULAR + ' 244 "a@docker -> b@docker" "http://172.17.0.3:80" 42ms')
    assert row["response_time_ms"] == 42.0
    assert row["extra"] == ('{"request_count":"244","router":"a@docker -> b@docker","upstream":"http://172.17.0.3:80"}')


def test_traefik_without_status() -> None:
    row = one(REGULAR.replace("200 203023", "- -") + ' 244 "-" "-" 0ms')
    assert "status" not in row
    assert "bytes" not in row
    assert row["extra"] == '{"request_count":"244"}'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (REGULAR.replace("17/May", "31/Apr"), "timestamp"),
        (REGULAR.replace("+0000", "+9900"), "timestamp"),
        (REGULAR.replace(" 200 ", " 2x0 "), "not in format combined"),
        (REGULAR[:60], "not in format combined"),
        ("", "not in format combined"),
        ('"' * 6, "not in format combined"),
        ("\0" * 100, "not in format combined"),
    ],
)
def test_rejects(line: str, reason: str) -> None:
    result = COMBINED.parse(f"{REGULAR}\n{line}\n{REGULAR}".encode(), 5, CONTEXT)
    assert result.rows["_line"].to_list() == [5, 7]
    assert result.rejects.rows() == [(6, reason, line)]


def test_order_and_numbers_with_all_kinds_mixed() -> None:
    common = REGULAR[: REGULAR.index(' "https')]
    lines = [REGULAR, common, "x.org " + REGULAR, REGULAR + " 7", "", common, REGULAR + "\r", REGULAR.replace("GET", "get")]
    result = COMBINED.parse("\n".join(lines).encode(), 11, CONTEXT)
    assert result.rows["_line"].to_list() == [11, 12, 13, 14, 16, 17, 18]
    assert result.rejects["_line"].to_list() == [15]
    assert_same("\n".join(lines).encode())


def test_bytes_that_are_no_utf8_become_escapes() -> None:
    block = REGULAR.replace("/a?b=c", "/caf\xe9").encode("latin-1") + b"\n" + REGULAR.replace("/a?b=c", "/café").encode()
    assert COMBINED.parse(block, 1, CONTEXT).rows["url"].to_list() == [r"/caf\xe9", "/café"]


def test_very_long_line() -> None:
    long = REGULAR.replace("/a?b=c", "/" + "x" * 1_000_000)
    result = COMBINED.parse(f"{REGULAR}\n{long}\n{'y' * 1_000_000}\n".encode(), 1, CONTEXT)
    assert result.rows["url"].str.len_bytes().to_list() == [6, 1_000_001]
    assert result.rejects["_line"].to_list() == [3]


def test_regular_lines_do_not_take_the_general_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CombinedFormat, "parse_lines", None)
    common = REGULAR[: REGULAR.index(' "https')]
    lines = (REGULAR, common, "x.org:80 " + REGULAR, REGULAR.replace("- -", "- alice|org|ROLE_A"), common + "\r")
    assert COMBINED.parse("\n".join(lines).encode(), 1, CONTEXT).rows.height == len(lines)
    no_requests = [REGULAR.replace("GET /a?b=c HTTP/1.1", text) for text in ("", "-", "SSH-2.0-Go", r"\x16\x03 \x01", "1 2")]
    rows = COMBINED.parse("\n".join(no_requests).encode(), 1, CONTEXT).rows
    assert rows["url"].to_list() == [None, None, "SSH-2.0-Go", r"\x16\x03 \x01", "1 2"]
    assert rows.select("method", "protocol").null_count().row(0) == (5, 5)


def test_all_combinations_give_the_same_on_both_paths() -> None:
    regular = (HEADS[0], TIMES[0], REQUESTS[0], NUMBERS[0], TAILS[2])
    made = set()
    for first, second in combinations(range(5), 2):
        for one_part, other_part in product(PARTS[first], PARTS[second]):
            parts = list(regular)
            parts[first], parts[second] = one_part, other_part
            made.add('{}{} "{}" {}{}'.format(*parts))
    assert len(made) > 1_500
    assert_same("\n".join(sorted(made)).encode())


@st.composite
def lines(draw: st.DrawFn) -> str:
    """A line of parts that are regular or nearly so, perhaps with a few characters changed."""
    parts = [draw(st.sampled_from(choices)) for choices in PARTS]
    line = '{}{} "{}" {}{}'.format(*parts)
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(line)))
        line = (
            line[:place]
            + draw(st.sampled_from(['"', "\\", " ", "-", "[", "]", ",", "é", "\0", "\r", "0", ""]))
            + (line[place + draw(st.integers(0, 2)) :])
        )
    return line


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(lines(), st.just(REGULAR)), max_size=8), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_fast_and_general_path_give_the_same(made: list[str], newline: str, final_newline: bool) -> None:
    assert_same((newline.join(made) + newline * final_newline).encode())


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40), lines().map(str.encode)), max_size=6))
@example([b'\xff" "\xff'])
@example([b"\xe2\x82", b"\xac" * 40 + b'" " "'])
def test_every_line_is_a_row_or_a_reject(made: list[bytes]) -> None:
    block = b"\n".join(made)
    result = COMBINED.parse(block, 1, CONTEXT)
    numbers = sorted(result.rows["_line"].to_list() + result.rejects["_line"].to_list())
    assert numbers == list(range(1, block.count(b"\n") + (not block.endswith(b"\n") and bool(block)) + 1))
    assert_same(block)


@settings(max_examples=200, deadline=None)
@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2199, 12, 30)).map(lambda moment: moment.replace(microsecond=0)),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_time_is_what_the_calendar_says(moment: datetime, offset: int) -> None:
    sign, minutes = "-" if offset < 0 else "+", abs(offset)
    text = f"{moment:%d/%b/%Y:%H:%M:%S} {sign}{minutes // 60:02d}{minutes % 60:02d}"
    block = REGULAR.replace("17/May/2015:10:05:03 +0000", text).encode()
    expected = moment.replace(tzinfo=UTC) - timedelta(minutes=offset)
    assert COMBINED.parse(block, 1, CONTEXT).rows["ts"].to_list() == [expected]
    assert_same(block)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 10**18 - 1) | st.integers(0, 10**9), min_size=1))
def test_sizes_are_read_digit_by_digit(sizes: list[int]) -> None:
    block = "\n".join(REGULAR.replace(" 203023 ", f" {size} ") for size in sizes).encode()
    assert COMBINED.parse(block, 1, CONTEXT).rows["bytes"].to_list() == sizes


@settings(max_examples=30, deadline=None)
@given(st.lists(lines(), max_size=12), st.integers(0, 12))
def test_where_blocks_end_never_changes_the_answer(made: list[str], cut: int) -> None:
    block = "".join(f"{line}\n" for line in made).encode()
    split = sum(len(line.encode()) + 1 for line in made[:cut])
    whole = COMBINED.parse(block, 1, CONTEXT)
    first_lines = min(cut, len(made))
    parts = [COMBINED.parse(block[:split], 1, CONTEXT), COMBINED.parse(block[split:], 1 + first_lines, CONTEXT)]
    assert_frame_equal(pl.concat([part.rows for part in parts]), whole.rows)
    assert_frame_equal(pl.concat([part.rejects for part in parts]), whole.rejects)
