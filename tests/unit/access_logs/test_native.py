"""The compiled way of the usual lines gives the rows of the Python one, whatever the bytes and the settings."""

from collections.abc import Mapping
from datetime import date
from functools import cache
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lakehouse.compiled import library
from lakehouse.datasets.access_logs import DATASET, native
from lakehouse.datasets.access_logs.columns import ROW_SCHEMA
from lakehouse.datasets.access_logs.parser import AccessLogParser
from lakehouse.datasets.base import ParseContext, Parsed
from lakehouse.sample import write_sample

pytestmark = pytest.mark.skipif(
    library() is None,
    reason="The compiled library is not built, so only the slow way of access logs was tested: install Rust and run make native",
)

OPTIONS: tuple[Mapping[str, Any], ...] = (
    {},
    {"client_ip": "keep", "user_name": "keep"},
    {"client_ip": "hash", "user_name": "hash"},
    {"client_ip": "drop"},
    {
        "applications": {"maps/city": "geoserver", "maps": {"module": "mapserver", "name": "Plans"}, "a.b+c": "data_api"},
        "sites": {"demo": {"applications": {"geoserver": "generic", "é": "geoserver"}}},
    },
)
HEADS = ("192.0.2.7 - - ", "2001:db8::1 - alice|org|a,b ", "www.x.org 192.0.2.7 - - ", "192.0.2.7 id bob ", "a - ", "- - - ", "x")
CLIENTS = (
    "192.0.2.7",
    "255.255.255.255",
    "192.0.2.07",
    "192.0.2.256",
    "1.2.3",
    "::",
    "::1",
    "::1.2.3.4",
    "::ffff:1.2.3.4",
    "::ffff:0:0",
    "[2001:db8::1]:443",
    "2001:DB8:0:0:1::",
    "fe80::1%eth0",
    "1:2:3:4:5:6:7::",
    "1:2:3:4:5:6:7:8",
    "::1.2.3.04",
    "host",
    "é",
    "1::2::3",
    "0:0:1::",
    "12345::",
)
TARGETS = (
    "/",
    "*",
    "//a",
    "/a/b",
    "/a%C3%A9%C3/",
    "/%0a%ff%2F",
    "/a%zz%4",
    "/%e2%82",
    "/%E2%82%ac%80",
    "http://h",
    "http://h?x",
    "http://h/p?q?r",
    "h:443",
    "h:4433333",
    "a/h:443",
    "h:é",
    "1a://h",
    "/geoserver",
    "/geoserver;j=1",
    "/geoserverx/wms",
    "//geoserver/ows?service=WMS",
    "/geoserver/ne/wms?SERVICE=WMS&request=GetMap&layers=ne:a,ne:b&srs=EPSG:3857&width=256&bbox=1,2&format=image/png",
    "/geoserver/wms?a=1;request=GetMap&&layers=&layers=x",
    "/geoserver/wms?request=%47etMap?layer=a&\u017fervice=WFS",
    "/geoserver/wms?width=&WIDTH=7;width=8&x=1;height=2?tiled=true;crs=a&srs=b&tilematrixset=c&request=GetMap",
    "/geonetwork/srv/eng/csw?service=CSW&_uuid=&uuid=a%26b&Id==1&servicename=x&longer_than_any_known_name=1",
    "/cgi-bin/mapserv?map=a.map",
    "/geoserver/wfs?request=GetFeature&typename=a:b&outputFormat=csv&resulttype=",
    "/maps/city/wms?request=GetMap",
    "/maps/x/wms",
    "/data/collections/parks/items?f=csv",
    "/geonetwork/srv/api/records/0b7f5e60-1d2c-4e3f-8a9b-0c1d2e3f4a5b/attachments/a.zip",
    "/a.b+c/collections/x/items",
    "/é/wms?request=GetMap",
    "/mapproxy/tms/1.0.0/a/b/1/2/3.png",
    "-",
    "/?",
    "/a?",
    "/" + "x" * 70 + "/y",
    "/~a_b-c/d?id=1&ID=2&_uuid=3&uuid=4",
)
REQUESTS = ("GET {} HTTP/1.1", "POST {} HTTP/2.0", "{}", "PROPFIND {} HTTP/1.1", "GET {}", "{} HTTP/1.1", "\\x16{}")
TAILS = (
    "",
    ' "-" "-"',
    ' "http://r/" "curl/8.0"',
    ' "" "Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0"',
    ' "a\\" "b"',
    ' "r" "a" 12',
)
ENDS = ("\n", "\r\n", "\n", "\r\r\n", "")


@cache
def parser(options: int) -> AccessLogParser:
    """One for many blocks: what is remembered of one must not change the next."""
    context = ParseContext("demo", "combined", key=b"k" * 32, options=OPTIONS[options])
    opened = DATASET.open_parser(b"", context, None)
    assert isinstance(opened, AccessLogParser)
    return opened


def all_rows(parsed: Parsed) -> pl.DataFrame:
    frames = [parsed.rows] if parsed.encoded is None else [parsed.rows, parsed.encoded.decoded()]
    return pl.concat(frames).sort("_line")


def assert_same(block: bytes, options: int = 0, first_line: int = 1) -> Parsed:
    slow = parser(options).parse(block, first_line, True)
    fast = parser(options).parse_encoded(block, first_line, True)
    assert_frame_equal(slow.rows, all_rows(fast))
    assert_frame_equal(slow.rejects, fast.rejects)
    assert (fast.lines, fast.consumed, fast.row_count) == (slow.lines, slow.consumed, slow.rows.height)
    if fast.encoded is not None:
        assert fast.encoded.frame.columns == list(ROW_SCHEMA)
        for values in fast.encoded.values.values():
            assert len(values.unique()) == len(values)
    return fast


def line(client: str, target: str, request: str, tail: str) -> str:
    return f'{client} - - [17/May/2015:10:05:03 +0000] "{request.format(target)}" 200 5{tail}'


def test_usual_lines_are_taken() -> None:
    fast = assert_same(line("192.0.2.7", "/a", REQUESTS[0], TAILS[2]).encode() * 1 + b"\nnoise\n")
    assert fast.encoded is not None
    assert fast.encoded.height == 1
    assert fast.rejects.height == 1


@pytest.mark.parametrize("options", range(len(OPTIONS)))
def test_all_parts_of_lines(options: int) -> None:
    lines = [line(client, TARGETS[0], REQUESTS[0], tail) for client, tail in product(CLIENTS, TAILS)]
    lines += [line(CLIENTS[0], target, request, TAILS[2]) for target, request in product(TARGETS, REQUESTS)]
    Random(1).shuffle(lines)
    fast = assert_same("\n".join(lines).encode(), options)
    assert fast.encoded is not None


@pytest.mark.parametrize("options", range(len(OPTIONS)))
def test_sample_logs(options: int, tmp_path: Path) -> None:
    (path, *_) = write_sample("access_logs", tmp_path, 2, 4000, "demo", 3, date(2026, 11, 20))
    block = path.read_bytes()
    fast = assert_same(block, options, 7)
    assert fast.encoded is not None
    assert fast.encoded.height > 0.9 * fast.lines


def test_lines_with_a_virtual_host() -> None:
    block = b"www.x.org:443 " + line("192.0.2.7", "/a", REQUESTS[0], TAILS[2]).encode() + b"\n"
    assert assert_same(block * 3).encoded is None


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "MAX_REMEMBERED", 3)
    for number in range(12):
        agents = [f' "-" "agent {number % 5} {place}"' for place in range(2)]
        lines = [line("192.0.2.7", f"/geoserver/w{number % 7}/wms?request=GetMap", REQUESTS[0], tail) for tail in agents]
        assert_same("\n".join(lines).encode())


def test_huge_lines() -> None:
    long = line("192.0.2.7", "/" + "x" * 1_000_000, REQUESTS[0], ' "-" "' + "y" * 100_000 + '"')
    assert_same(f"{long}\n{'z' * 1_000_000}\n{long}".encode())


@settings(max_examples=150)
@given(st.integers(0, len(OPTIONS) - 1), st.lists(st.binary(max_size=60), max_size=8).map(b"\n".join))
@example(0, b"")
@example(0, b"\n")
@example(0, b'"""""\n')
def test_any_bytes(options: int, block: bytes) -> None:
    assert_same(block, options)


PIECES = st.one_of(
    st.sampled_from(CLIENTS),
    st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", fullmatch=True),
    st.from_regex(r"[0-9a-fA-F:.]{2,20}", fullmatch=True),
)
TARGET_TEXT = st.one_of(
    st.sampled_from(TARGETS),
    st.lists(
        st.sampled_from(
            ("/", "geoserver", "%", "%C3", "%a9", "é", "?", "&", ";", "=", "request", "GetMap", "layers", ":", "80", "a")
        ),
        max_size=12,
    ).map("".join),
)
NEARLY_REGULAR = st.builds(
    lambda head, client, target, request, tail, end: (
        line(client, target, request, tail).replace(f"{client} - - ", head or f"{client} - - ") + end
    ).encode("utf-8"),
    st.sampled_from(("", "", "", *HEADS)),
    PIECES,
    TARGET_TEXT,
    st.sampled_from(REQUESTS),
    st.sampled_from(TAILS),
    st.sampled_from(ENDS),
)


@settings(max_examples=100)
@given(st.integers(0, len(OPTIONS) - 1), st.lists(NEARLY_REGULAR, max_size=24), st.binary(max_size=2), st.integers(0, 400))
def test_nearly_regular_lines(options: int, lines: list[bytes], noise: bytes, place: int) -> None:
    block = b"".join(lines)
    assert_same(block[:place] + noise + block[place:], options)
