"""Which format is chosen, which lines are known, and the real samples."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.datasets.access_logs import DATASET
from lakehouse.datasets.access_logs.columns import ROW_SCHEMA
from lakehouse.datasets.base import MAX_REJECT_TEXT, REJECT_SCHEMA, ParseContext
from lakehouse.errors import FormatError, SettingsError

CONTEXT = ParseContext(site="demo", key=b"0123456789abcdef")
COMBINED = b'192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8.0"\n'
NGINX_ERROR = b"2021/12/01 13:53:33 [error] 31#31: *46 not found, client: 192.0.2.7\n"

# Rows, then the reasons of lines that are none. The other parser's answers lie beside each file; it differs in two
# points: it takes error-log lines for events of their own, and it gives up one of HAProxy's three handshake lines.
SAMPLES = {
    # All four days complete, repeated lines included.
    "apache_combined_10k.log": ("combined", 10_000, []),
    # Combined, common and behind a virtual host in one file; lines 8 and 9 are of the error log.
    "crowdsec_apache2-logs.log": ("combined", 7, ["Apache error log"] * 2),
    # Two requests, two failed handshakes, one attack that was stopped before any request.
    "crowdsec_haproxy-logs.log": (
        "haproxy",
        2,
        ["HAProxy SSL handshake failure", "HAProxy SSL handshake failure", "HAProxy connection error"],
    ),
    # Malformed requests are hits all the same; the last line has no newline.
    "crowdsec_nginx-http-malformed.log": ("combined", 12, []),
    # Line 8 lacks the user and is a hit; line 9 is of the error log.
    "crowdsec_nginx_http-logs.log": ("combined", 8, ["nginx error log"]),
    # Line 5 has neither status nor size; two blank lines end the file.
    "crowdsec_traefik_clf.log": ("combined", 7, ["blank line", "blank line"]),
}


@pytest.mark.parametrize("file", list(SAMPLES))
def test_samples(test_data: Path, file: str) -> None:
    name, rows, reasons = SAMPLES[file]
    block = (test_data / "web" / file).read_bytes()
    parser = DATASET.open_parser(block[:65536], CONTEXT, None)
    parsed = parser.parse(block, 1, True)
    assert parser.state() == {"format": name}
    assert parsed.rows.height == rows
    assert parsed.rejects["reason"].to_list() == reasons
    assert parsed.rejects["known"].all()
    assert (parsed.lines, parsed.consumed) == (rows + len(reasons), len(block))
    assert dict(parsed.rows.schema) == dict(ROW_SCHEMA)
    assert dict(parsed.rejects.schema) == dict(REJECT_SCHEMA)


def test_days_of_the_large_sample(test_data: Path) -> None:
    block = (test_data / "web" / "apache_combined_10k.log").read_bytes()
    rows = DATASET.open_parser(block[:65536], CONTEXT, None).parse(block, 1, True).rows
    days = rows.group_by(rows["ts"].dt.date()).len().sort("ts")
    assert days["len"].to_list() == [1632, 2893, 2896, 2579]
    assert rows["_line"].to_list() == list(range(1, 10_001))


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (COMBINED, "combined"),
        (b'192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5\n', "combined"),
        (b"www.x.org:80 " + COMBINED, "combined"),
        (
            b'192.0.2.7:1 [21/Nov/2026:12:00:00.000] in b/s 1/0/0/1/2 200 5 - - ---- 1/1/0/0/0 0/0 "GET / HTTP/1.1"\n',
            "haproxy",
        ),
        (
            b'http 2026-11-21T12:00:00Z app/a 192.0.2.7:1 10.0.0.1:80 0.0 0.1 0.0 200 200 3 6 "GET / HTTP/1.1" "x" - -\n',
            "alb",
        ),
        (b'{"time_local":"17/May/2015:10:05:03 +0000","remote_addr":"192.0.2.7","status":200}\n', "nginx-json"),
        (b'{"time":"2026-11-21T12:00:00Z","remoteIP":"192.0.2.7","status":200,"userAgent":"x"}\n', "apache-json"),
        (b'{"StartUTC":"2026-11-21T12:00:00Z","ClientHost":"192.0.2.7","DownstreamStatus":200}\n', "traefik-json"),
        (b'{"ts":1795262400.5,"request":{"remote_ip":"192.0.2.7","uri":"/"},"status":200}\n', "caddy-json"),
    ],
)
def test_detection(line: bytes, name: str) -> None:
    for head in (line, NGINX_ERROR + b"\n" + line * 3 + line[:20]):
        parser = DATASET.open_parser(head, CONTEXT, None)
        assert parser.state() == {"format": name}
        assert parser.parse(line, 1, True).rows.height == 1


@pytest.mark.parametrize("head", [b"", b"\n\n", NGINX_ERROR])
def test_head_that_does_not_tell(head: bytes) -> None:
    parser = DATASET.open_parser(head, CONTEXT, None)
    parsed = parser.parse(head, 1, True)
    assert (parsed.rows.height, parsed.lines) == (0, head.count(b"\n"))
    assert parsed.rejects["known"].all()
    later = DATASET.open_parser(COMBINED, CONTEXT, parser.state())
    assert later.state() == {"format": "combined"}


@pytest.mark.parametrize(
    ("head", "shown"),
    [
        (b"date,hits\n2026-11-21,5\n", "line 1 is 'date,hits'"),
        (b"\nPK\x03\x04\xff\0rest", r"line 2 is 'PK\x03\x04\\xff\x00rest'"),
        (b"x" * 70_000, "'" + "x" * 100 + "' ..."),
        (b'{"a":1}\n', """'{"a":1}'"""),
    ],
)
def test_no_format_fits(head: bytes, shown: str) -> None:
    with pytest.raises(FormatError) as error:
        DATASET.open_parser(head, CONTEXT, None)
    message = str(error.value)
    assert shown in message
    assert "formats are combined, common, " in message
    assert "--format" in message
    assert len(message) < 500


def test_format_of_the_context_and_of_the_state() -> None:
    directive = "[$time_local] $status"
    context = ParseContext(site="demo", key=CONTEXT.key, format=directive)
    parser = DATASET.open_parser(COMBINED, context, None)
    assert parser.state() == {"format": directive}
    tail = DATASET.open_parser(COMBINED, CONTEXT, parser.state())
    assert tail.parse(b"[17/May/2015:10:05:03 +0000] 200\n", 9, True).rows["_line"].to_list() == [9]


def test_options_are_checked() -> None:
    assert DATASET.validate_options({"client_ip": "keep"}) == {"client_ip": "keep"}
    with pytest.raises(SettingsError, match="client_ip"):
        DATASET.validate_options({"client_ip": "show"})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b" \t", "blank line"),
        (NGINX_ERROR.strip(), "nginx error log"),
        (b"[Thu Oct 13 12:24:49 2022] [error] [client 192.0.2.7] x", "Apache error log"),
        (b"192.0.2.4:5 [28/Feb/2025:02:43:10.123] a/1: Connection closed during SSL handshake", "HAProxy SSL handshake failure"),
        (b"192.0.2.4:5 [28/Feb/2025:02:43:10.123] a/b: Connection error", "HAProxy connection error"),
        (b"Feb  6 12:12:09 lb haproxy[1]: Proxy http-in started.", "HAProxy notice"),
        (b"Proxy a stopped (cumulated conns: FE: 0, BE: 0).", "HAProxy notice"),
        (b"Feb  6 12:12:09 lb haproxy[1]: Server b/s1 is DOWN, reason: Layer4 timeout", "HAProxy notice"),
        (b"[NOTICE]   (1) : New worker (8) forked", "HAProxy notice"),
    ],
)
def test_known_lines(line: bytes, reason: str) -> None:
    parsed = DATASET.open_parser(COMBINED, CONTEXT, None).parse(COMBINED + line, 1, True)
    assert parsed.rejects.rows() == [(2, reason, line.decode(), True)]


def test_text_of_a_reject_is_bounded() -> None:
    parsed = DATASET.open_parser(COMBINED, CONTEXT, None).parse(COMBINED + "é".encode() * 100_000, 1, True)
    assert parsed.rejects.rows() == [(2, "not in format combined", "é" * MAX_REJECT_TEXT, False)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=60), st.just(COMBINED.strip())), max_size=6), st.integers(1, 10**12))
def test_lines_are_rows_and_rejects_for_any_bytes(made: list[bytes], first_line: int) -> None:
    block = b"".join(line + b"\n" for line in made)
    parsed = DATASET.open_parser(COMBINED, CONTEXT, None).parse(block, first_line, True)
    numbers = sorted(parsed.rows["_line"].to_list() + parsed.rejects["_line"].to_list())
    assert numbers == list(range(first_line, first_line + block.count(b"\n")))
    assert (parsed.lines, parsed.consumed) == (block.count(b"\n"), len(block))
    assert parsed.rejects["text"].null_count() == 0
