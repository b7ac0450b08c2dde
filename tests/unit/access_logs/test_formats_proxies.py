"""HAProxy, AWS load balancers, and JSON of nginx, Apache, Traefik and Caddy."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.datasets.access_logs.formats import FORMATS
from lakehouse.datasets.base import ParseContext
from tests.support.json_values import json_records, numbers_in

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HTTP = {"method": "GET", "url": "/a?b=c", "protocol": "HTTP/1.1", "status": 200, "bytes": 612}


def one(name: str, line: str, zone: str = "UTC") -> dict[str, Any]:
    """The raw values of a line that is a record, but for nulls; `extra` as a mapping."""
    result = FORMATS[name].parse(line.encode(), 1, ParseContext(site="demo", zone=zone))
    assert result.rejects.is_empty(), result.rejects.rows()
    row = {key: value for key, value in result.rows.row(0, named=True).items() if value is not None}
    assert row.pop("_line") == 1
    return row | ({"extra": json.loads(row["extra"])} if "extra" in row else {})


HAPROXY = (
    "2001:db8::1:33317 [21/Nov/2026:13:00:00.655] http-in~ static/srv1 10/0/30/69/+109 200 +612 - - ---- "
    '1/1/1/1/0 0/0 {1wt.eu|curl} {nginx} "GET /a?b=c HTTP/1.1"'
)


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("", {}),
        ("Nov 21 12:00:01 lb1 haproxy[14389]: ", {"log_host": "lb1"}),
        ("Nov  1 12:00:01 haproxy[14389]: ", {}),
        ("<134>1 2026-11-21T12:00:01+00:00 lb1 haproxy 14389 - - ", {"log_host": "lb1"}),
        ("2026-11-21T12:00:01.123456+01:00 lb1 haproxy[14389]: ", {"log_host": "lb1"}),
    ],
)
def test_haproxy(header: str, host: dict[str, str]) -> None:
    assert one("haproxy", header + HAPROXY, "Europe/Paris") == HTTP | {
        "ts": NOON.replace(microsecond=655_000),
        "client_ip": "2001:db8::1",
        "server": "http-in",
        "response_time_ms": 109.0,
        "extra": host
        | {
            "client_port": "33317",
            "tls": "~",
            "backend": "static",
            "backend_server": "srv1",
            "time_request": "10",
            "time_queue": "0",
            "time_connect": "30",
            "time_response": "69",
            "termination_state": "----",
            "connections": "1/1/1/1/0",
            "queues": "0/0",
            "request_headers": "1wt.eu|curl",
            "response_headers": "nginx",
        },
    }


def test_haproxy_request_that_never_came() -> None:
    line = '192.0.2.7:1 [21/Nov/2026:12:00:00.000] in in/<NOSRV> -1/-1/-1/-1/10000 408 212 - - cR-- 1/1/0/0/0 0/0 "<BADREQ>"'
    row = one("haproxy", line)
    assert (row["status"], row["url"], row["response_time_ms"]) == (408, "<BADREQ>", 10_000.0)
    assert "method" not in row
    assert row["extra"]["termination_state"] == "cR--"
    aborted = one("haproxy", line.replace("/10000 408", "/-1 -1"))
    assert "status" not in aborted
    assert "response_time_ms" not in aborted
    assert aborted["extra"]["time_active"] == "-1"


def test_haproxy_request_that_was_cut_off() -> None:
    assert one("haproxy", HAPROXY[: HAPROXY.index(" HTTP/1.1")])["url"] == "/a?b=c"


ALB = (
    "h2 2026-11-21T12:00:00.000000Z app/my-lb/50dc6 192.0.2.7:2817 10.0.0.1:80 0.000 0.250 0.000 200 200 34 612 "
    '"GET https://x.org:443/a?b=c HTTP/2.0" "curl/8 \\"x\\"" ECDHE-RSA TLSv1.2'
)
ALB_LATER = (
    ' arn:aws:tg/1 "Root=1-5" "x.org" "session-reused" 0 2026-11-21T11:59:59.750000Z "forward" "-" "-" '
    '"10.0.0.1:80" "200" "-" "-"'
)


@pytest.mark.parametrize(
    ("later", "server", "trailing"),
    [("", None, None), (ALB_LATER, "x.org", None), (ALB_LATER + " TID_1 x", "x.org", "TID_1 x")],
)
def test_alb(later: str, server: str | None, trailing: str | None) -> None:
    row = one("alb", ALB + later)
    extra = row.pop("extra")
    expected = HTTP | {
        "ts": NOON,
        "client_ip": "192.0.2.7",
        "url": "https://x.org:443/a?b=c",
        "protocol": "HTTP/2.0",
        "user_agent": 'curl/8 \\"x\\"',
        "response_time_ms": 250.0,
    }
    assert row == expected | ({"server": server} if server else {})
    assert (extra["client_port"], extra["target"], extra["received_bytes"]) == ("2817", "10.0.0.1:80", "34")
    assert extra.get("trailing") == trailing
    assert ("actions_executed" in extra) == bool(later)


def test_alb_without_target() -> None:
    row = one("alb", ALB.replace("10.0.0.1:80 0.000 0.250 0.000 200 200", "- -1 -1 -1 502 -"))
    assert row["status"] == 502
    assert "response_time_ms" not in row


NGINX = {
    "time_iso8601": "2026-11-21T13:00:00+01:00",
    "remote_addr": "192.0.2.7",
    "remote_user": "",
    "request": "GET /a?b=c HTTP/1.1",
    "status": "200",
    "body_bytes_sent": 612,
    "http_user_agent": "curl/8",
    "request_time": "0.250",
}
APACHE = {
    "time": "[21/Nov/2026:12:00:00 +0000]",
    "remoteIP": "192.0.2.7",
    "request": "/a",
    "query": "?b=c",
    "method": "GET",
    "protocol": "HTTP/1.1",
    "status": "200",
    "bytesSent": "612",
    "userAgent": "curl/8",
    "duration": 250_000,
}
TRAEFIK = {
    "StartUTC": "2026-11-21T12:00:00.000000000Z",
    "ClientHost": "192.0.2.7",
    "ClientUsername": "-",
    "RequestMethod": "GET",
    "RequestPath": "/a?b=c",
    "RequestProtocol": "HTTP/1.1",
    "DownstreamStatus": 200,
    "DownstreamContentSize": 612,
    "Duration": 250_000_000,
    "request_User-Agent": "curl/8",
}
CADDY: dict[str, Any] = {
    "ts": 1795262400.0,
    "request": {
        "remote_ip": "192.0.2.7",
        "method": "GET",
        "uri": "/a?b=c",
        "proto": "HTTP/1.1",
        "headers": {"User-Agent": ["curl/8"]},
    },
    "status": 200,
    "size": 612,
    "duration": 0.25,
}
JSON_LINES = {"nginx-json": NGINX, "apache-json": APACHE, "traefik-json": TRAEFIK, "caddy-json": CADDY}


@pytest.mark.parametrize(("name", "line"), list(JSON_LINES.items()))
def test_json(name: str, line: dict[str, Any]) -> None:
    row = one(name, json.dumps(line | {"kept": {"as": [1, "is"], "null": None}}))
    assert row.pop("extra")["kept"] == {"as": [1, "is"], "null": None}
    assert row == HTTP | {"ts": NOON, "client_ip": "192.0.2.7", "user_agent": "curl/8", "response_time_ms": 250.0}


def test_json_keeps_what_is_not_used() -> None:
    line = NGINX | {"msec": "1795262400.123", "host": "x.org:8443", "server_name": "y.org"}
    line |= {"request_time": "soon", "uri": "/index.php", "request_method": "GET"}
    assert one("nginx-json", json.dumps(line))["extra"] == {
        "msec": "1795262400.123",
        "host_port": "8443",
        "server_name": "y.org",
        "request_time": "soon",
        "uri": "/index.php",
    }


@pytest.mark.parametrize(
    ("headers", "referrer", "rest"),
    [
        ({"User-Agent": ["one", "TWO"], "Referer": "https://x.org/"}, "https://x.org/", {"User-Agent": ["one", "TWO"]}),
        ({"User-Agent": ["one"], "Referer": ["a", "b"]}, "a", {"Referer": ["a", "b"]}),
        ({"User-Agent": ["one"], "Referer": {"a": "b"}}, None, {"Referer": {"a": "b"}}),
        ({"User-Agent": ["one"], "Referer": [["a"]]}, None, {"Referer": [["a"]]}),
        ({"User-Agent": ["one"], "Referer": [None, "b"]}, None, {"Referer": [None, "b"]}),
        ({"User-Agent": "one"}, None, None),
    ],
)
def test_caddy_headers_of_any_type(headers: dict[str, Any], referrer: str | None, rest: dict[str, Any] | None) -> None:
    row = one("caddy-json", json.dumps(CADDY | {"request": CADDY["request"] | {"headers": headers}}))
    assert (row["user_agent"], row.get("referrer")) == ("one", referrer)
    assert row.get("extra") == ({"request": {"headers": rest}} if rest else None)


def test_json_of_other_types_than_expected() -> None:
    line = CADDY | {"request": "GET /", "size": [1, 2], "user_id": {"name": "ann"}, "duration": True}
    assert one("caddy-json", json.dumps(line)) == {
        "ts": NOON,
        "status": 200,
        "bytes": 1,
        "extra": {"request": "GET /", "size": [1, 2], "user_id": {"name": "ann"}, "duration": True},
    }


def test_json_ports_take_no_other_fields_name() -> None:
    line = NGINX | {"host": "x.org:8443", "host_port": 1, "remote_user": "ann", "x": "y"}
    assert one("nginx-json", json.dumps(line))["extra"] == {"host_port": 1, "x": "y", "host_port_again": "8443"}


def test_json_ports_have_the_same_name_whatever_the_lines_around_them() -> None:
    line = NGINX | {"host": "x.org:8443", "remote_user": "ann"}
    others = [line | {"host_port": 1}, line | {"x": '"host_port":'}]
    block = "\n".join(json.dumps(each) for each in [line, *others]).encode()
    extra = FORMATS["nginx-json"].parse(block, 1, ParseContext(site="demo")).rows["extra"].to_list()
    assert json.loads(extra[0]) == {"host_port": "8443"}
    assert json.loads(extra[1]) == {"host_port": 1, "host_port_again": "8443"}
    assert json.loads(extra[2]) == {"x": '"host_port":', "host_port": "8443"}


def test_json_queries_that_the_url_does_not_have() -> None:
    url = {"request": "GET /a?b=c HTTP/1.1"}
    assert "extra" not in one("nginx-json", json.dumps(NGINX | url | {"args": "b=c"}))
    assert one("nginx-json", json.dumps(NGINX | url | {"args": "b=d"}))["extra"] == {"args": "b=d"}
    assert one("nginx-json", json.dumps({"msec": 1795262400, "status": 200, "args": "b=d"}))["extra"] == {"args": "b=d"}


def test_json_with_escapes_that_json_does_not_know() -> None:
    line = json.dumps(NGINX).replace("/a?b=c", r"/\x22\xE9").encode() + b"\n" + json.dumps(NGINX).encode()
    result = FORMATS["nginx-json"].parse(line, 1, ParseContext(site="demo"))
    assert result.rows["url"].to_list() == [r"/\x22\xE9", "/a?b=c"]


@pytest.mark.parametrize("moment", ["2026-11-21 12:00:00", 1795262400, 1795262400000, "1795262400000000", "1795262400.0"])
def test_json_times(moment: str | int) -> None:
    assert one("nginx-json", json.dumps({"timestamp": moment, "status": 200})) == {"ts": NOON, "status": 200}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"ts":1795262400.0,"level":"info","msg":"serving initial configuration"}', "not in format caddy-json"),
        ('{"status":200}', "timestamp"),
        ("[1]", "not in format caddy-json"),
        ('{"ts":1795262400.0', "not in format caddy-json"),
        ("[" * 5_000, "not in format caddy-json"),
        ('{"ts":1795262400.0,"status":200,"x":' + "[" * 200_000 + "]" * 200_000 + "}", "not in format caddy-json"),
        ("", "not in format caddy-json"),
    ],
)
def test_json_rejects(line: str, reason: str) -> None:
    result = FORMATS["caddy-json"].parse(f"{line}\n{json.dumps(CADDY)}\n".encode(), 1, ParseContext(site="demo"))
    assert result.rejects.rows() == [(1, reason, line)]
    assert result.rows["_line"].to_list() == [2]


def test_json_with_half_of_a_surrogate_pair() -> None:
    assert one("caddy-json", '{"ts":1795262400.0,"status":200,"x":"\\ud800"}')["extra"] == {"x": "\ufffd"}


@pytest.mark.parametrize(
    ("name", "fixed"),
    [
        ("nginx-json", {"time_iso8601": "2026-11-21T12:00:00Z", "status": 200}),
        ("apache-json", {"time_iso8601": "2026-11-21T12:00:00Z", "status": 200}),
        ("traefik-json", {"StartUTC": "2026-11-21T12:00:00Z", "DownstreamStatus": 200}),
        ("caddy-json", {"ts": "2026-11-21T12:00:00Z", "status": 200}),
    ],
)
@settings(max_examples=15)
@given(data=st.data())
def test_every_value_of_a_record_is_in_a_column_or_in_extra(name: str, fixed: dict[str, Any], data: st.DataObject) -> None:
    fields = FORMATS[name].fields  # type: ignore[attr-defined]
    keys = {key for path in fields for key in path} | {"x", "a.b", "host_port"}
    block, numbers = data.draw(json_records(keys, fixed))
    rows = FORMATS[name].parse(block, 1, ParseContext(site="demo")).rows
    times = {round(time * factor) for time in rows["response_time_ms"].drop_nulls() for factor in (1e-3, 1e3, 1e6)}
    assert numbers <= numbers_in(rows.rows()) | times


def _mutated(text: str) -> st.SearchStrategy[bytes]:
    def change(place: int, length: int, inserted: bytes) -> bytes:
        line = text.encode()
        return line[:place] + inserted + line[place + length :]

    return st.builds(change, st.integers(0, len(text)), st.integers(0, 3), st.binary(max_size=3))


LINES = {"haproxy": HAPROXY, "alb": ALB + ALB_LATER} | {name: json.dumps(line) for name, line in JSON_LINES.items()}


@pytest.mark.parametrize("name", list(LINES))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_line_is_a_row_or_a_reject(name: str, data: st.DataObject) -> None:
    made = data.draw(st.lists(st.one_of(_mutated(LINES[name]), st.binary(max_size=30)), min_size=1, max_size=6))
    block = b"\n".join(made) + b"\n"
    result = FORMATS[name].parse(block, 5, ParseContext(site="demo"))
    numbers = sorted(result.rows["_line"].to_list() + result.rejects["_line"].to_list())
    assert numbers == list(range(5, 5 + block.count(b"\n")))
    assert result.rows["ts"].null_count() == 0
    for extra in result.rows["extra"].drop_nulls():
        assert isinstance(json.loads(extra), dict)
