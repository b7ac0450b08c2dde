"""Formats from nginx's log_format, Apache's LogFormat, and regular expressions."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from lakehouse.datasets.access_logs.formats import named_format
from lakehouse.datasets.base import ParseContext
from lakehouse.errors import SettingsError

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def one(directive: str, line: str, zone: str = "UTC") -> dict[str, Any]:
    """The raw values of a line that is a record, but for nulls; `extra` as a mapping."""
    result = named_format(directive).parse(line.encode(), 1, ParseContext(site="demo", zone=zone))
    assert result.rejects.is_empty(), result.rejects.rows()
    row = {name: value for name, value in result.rows.row(0, named=True).items() if value is not None}
    assert row.pop("_line") == 1
    return row | ({"extra": json.loads(row["extra"])} if "extra" in row else {})


NGINX_LINE = (
    '192.0.2.7 - Alice Doe [21/Nov/2026:13:00:00 +0100] "GET /a HTTP/2.0" 200 612 "https://x.org/" '
    '"curl/8 (a; b)" rt=0.250 uct="0.001, 0.002" "-"'
)
NGINX_ROW = {
    "ts": NOON,
    "client_ip": "192.0.2.7",
    "user_field": "Alice Doe",
    "method": "GET",
    "url": "/a",
    "protocol": "HTTP/2.0",
    "status": 200,
    "bytes": 612,
    "referrer": "https://x.org/",
    "user_agent": "curl/8 (a; b)",
    "response_time_ms": 250.0,
    "extra": {"upstream_connect_time": "0.001, 0.002"},
}
NGINX_STRING = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
    '"$http_user_agent" rt=$request_time uct="$upstream_connect_time" "${http_x_forwarded_for}"'
)


@pytest.mark.parametrize(
    "directive",
    [
        NGINX_STRING,
        f"log_format timed '{NGINX_STRING}';",
        "log_format  timed escape=default\n  '" + NGINX_STRING.replace(' "$http_referer', "'\n    ' \"$http_referer") + "';\n",
        "'" + NGINX_STRING.replace(" rt=", "'\n  ' rt=") + "'",
        'log_format timed "' + NGINX_STRING.replace('"', '\\"') + '";',
    ],
)
def test_nginx(directive: str) -> None:
    assert one(directive, NGINX_LINE) == NGINX_ROW


@pytest.mark.parametrize(
    ("directive", "line", "expected"),
    [
        ("$msec $uri$is_args$args $status", "1795262400.000 /a?b=c 200", {"ts": NOON, "url": "/a?b=c", "status": 200}),
        ("$msec $uri$is_args$args $status", "1795262400.000 /a 200", {"ts": NOON, "url": "/a", "status": 200}),
        (
            '$time_iso8601 $scheme://$host$request_uri "$request_method"',
            '2026-11-21T13:00:00+01:00 https://x.org/a?b "GET"',
            {"ts": NOON, "server": "x.org", "url": "/a?b", "method": "GET", "extra": {"scheme": "https"}},
        ),
        (
            "$time_iso8601 $http_host $body_bytes_sent $bytes_sent $request_time",
            "2026-11-21T12:00:00+00:00 x.org:8080 10 20 -",
            {"ts": NOON, "server": "x.org", "bytes": 10, "extra": {"bytes_sent": "20", "http_host_port": "8080"}},
        ),
    ],
)
def test_nginx_variables(directive: str, line: str, expected: dict[str, Any]) -> None:
    assert one(directive, line) == expected


def test_nginx_json() -> None:
    directive = (
        'log_format json escape=json \'{"time":"$time_local","client":{"ip":"$remote_addr"},\''
        '\'"line":"$request_method $request_uri $server_protocol","code":$status,"seconds":$request_time,\''
        '\'"extra":"$request_id","fixed":"web-1"}\';'
    )
    line = (
        '{"time":"21/Nov/2026:12:00:00 +0000","client":{"ip":"192.0.2.7"},"line":"GET /a\\"b HTTP/1.1","code":200,'
        '"seconds":0.250,"extra":"abc","fixed":"web-1"}'
    )
    assert one(directive, line) == {
        "ts": NOON,
        "client_ip": "192.0.2.7",
        "method": "GET",
        "url": '/a"b',
        "protocol": "HTTP/1.1",
        "status": 200,
        "response_time_ms": 250.0,
        "extra": {"extra": "abc", "fixed": "web-1"},
    }


APACHE_LINE = (
    'www.x.org:443 192.0.2.7 - - [21/Nov/2026:12:00:00 +0000] "GET /\\"a HTTP/1.1" 200 - "-" "curl/8" 1500 TLSv1.3 "a, b"'
)
APACHE_ROW = {
    "ts": NOON,
    "server": "www.x.org",
    "client_ip": "192.0.2.7",
    "method": "GET",
    "url": '/\\"a',
    "protocol": "HTTP/1.1",
    "status": 200,
    "user_agent": "curl/8",
    "response_time_ms": 1.5,
    "extra": {"port": "443", "env_ssl_protocol": "TLSv1.3", "http_x_forwarded_for": "a, b"},
}
APACHE_STRING = (
    r"%v:%p %h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\" %D %{SSL_PROTOCOL}e "
    r"\"%{X-Forwarded-For}i\""
)


@pytest.mark.parametrize(
    "directive",
    [
        APACHE_STRING,
        f'"{APACHE_STRING}"',
        f'  LogFormat "{APACHE_STRING}" timed',
        APACHE_STRING.replace("\\", ""),
    ],
)
def test_apache(directive: str) -> None:
    assert one(directive, APACHE_LINE) == APACHE_ROW


@pytest.mark.parametrize(
    ("directive", "line", "expected"),
    [
        ("%{usec}t %m %U%q %H", "1795262400000000 GET /a?b HTTP/1.1", {"method": "GET", "url": "/a?b", "protocol": "HTTP/1.1"}),
        ("%{msec}t %U%q %s", "1795262400000 /a 200", {"url": "/a", "status": 200}),
        ("%{sec}t %{ms}T %400,501{Referer}i %%", "1795262400 12 - %", {"response_time_ms": 12.0}),
        ("%{%Y-%m-%d %H:%M:%S}t %T", "2026-11-21 13:00:00 2", {"response_time_ms": 2000.0}),
        ("%{sec}t %T/%D", "1795262400 0/1500", {"response_time_ms": 1.5, "extra": {"duration_s": "0"}}),
        ("%{sec}t %T/%{ms}T", "1795262400 2/1999", {"response_time_ms": 1999.0, "extra": {"duration_s": "2"}}),
        ("%{sec}t %D/%T", "1795262400 -/2", {"response_time_ms": 2000.0}),
        ("[%{%d/%b/%Y %T}t.%{usec_frac}t %{%z}t] %O", "[21/Nov/2026 14:30:00.000000 +0230] 5", {"bytes": 5}),
    ],
)
def test_apache_directives(directive: str, line: str, expected: dict[str, Any]) -> None:
    zone = "Europe/Paris" if "%S" in directive else "UTC"
    assert one(directive, line, zone) == {"ts": NOON} | expected


def test_apache_json() -> None:
    directive = r'LogFormat "{\"time\":\"%t\",\"ip\":\"%a\",\"path\":\"%U\",\"query\":\"%q\",\"us\":%D,\"id\":\"%L\"}" json'
    line = '{"time":"[21/Nov/2026:12:00:00 +0000]","ip":"192.0.2.7","path":"/\\xe9","query":"?a","us":1500,"id":"-"}'
    assert one(directive, line) == {
        "ts": NOON,
        "client_ip": "192.0.2.7",
        "url": r"/\xe9?a",
        "response_time_ms": 1.5,
        "extra": {"id": "-"},
    }


def test_regular_expression() -> None:
    pattern = r"(?P<ts>\S+) (?P<client_ip>\S+) (?P<request>.+) took (?P<response_time_us>\d+) (?P<extra>\w+) (x)(?<_line>y)"
    assert one(pattern, "2026-11-21T12:00:00Z 192.0.2.7 GET /a HTTP/1.1 took 1500 blue xy") == {
        "ts": NOON,
        "client_ip": "192.0.2.7",
        "method": "GET",
        "url": "/a",
        "protocol": "HTTP/1.1",
        "response_time_ms": 1.5,
        "extra": {"extra": "blue", "group_6": "x", "_line_again": "y"},
    }


def test_line_that_does_not_fit() -> None:
    result = named_format("[$time_local] $status").parse(b"[x] 200\nnothing\n[x]\n", 1, ParseContext(site="demo"))
    assert result.rejects.rows() == [
        (1, "timestamp", "[x] 200"),
        (2, "not in format log_format", "nothing"),
        (3, "not in format log_format", "[x]"),
    ]


@pytest.mark.parametrize(
    ("directive", "message"),
    [
        ("combind", "did you mean 'combined'"),
        ("nonsense", "'nonsense' is unknown; give one of combined, common"),
        ("$remote_addr $status", "log_format has no timestamp"),
        ("%h %s", "LogFormat has no timestamp"),
        ("%t %y", "'%y' does not exist"),
        ("%{%s}t", "epoch_s"),
        ("(?P<client_ip>.*)", "no group for the time"),
        ("(?P<ts>.*", "unclosed group"),
    ],
)
def test_wrong_formats(directive: str, message: str) -> None:
    with pytest.raises(SettingsError, match=r".") as error:
        named_format(directive)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
