"""Access logs with a JSON object a line: nginx, Apache, Traefik and Caddy, by the names that fields usually have.

Traefik: https://doc.traefik.io/traefik/observability/access-logs/#available-fields
Caddy: https://caddyserver.com/docs/caddyfile/directives/log
nginx and Apache have no JSON of their own: the names are those of their variables and of widely copied configurations.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import duckdb
import polars as pl

from lakehouse.datasets.access_logs.fields import ANY_TIME, Field, RawBlock, free_name, raw_frame, rows_and_rejects
from lakehouse.datasets.access_logs.lines import Block
from lakehouse.datasets.base import ParseContext

Path = tuple[str | int, ...]
"""Keys, and places in arrays, from the outside in."""


@dataclass(frozen=True)
class JsonFormat:
    """Lines that are JSON objects.

    Args:
        name: the format's name or directive.
        fields: what stands where. What is not listed is kept in `extra` as it is.
    """

    name: str
    fields: Mapping[Path, Field]

    def parse(self, block: bytes, first_line: int, context: ParseContext) -> RawBlock:
        """Parse whole lines; see `Format`. A record has a timestamp and anything of a request."""
        lines = Block(block).lines(first_line)
        names = {free_name(".".join(map(str, path))): path for path in self.fields}
        values = lines.select("_line").join(_extracted(_objects(lines), names), on="_line", how="left", maintain_order="left")
        raw = raw_frame(values, {name: self.fields[path] for name, path in names.items()}, context)
        matched = raw.select(pl.any_horizontal(pl.col("client_ip", "url", "status").is_not_null())).to_series()
        return rows_and_rejects(raw, lines, matched, self.name)


def _objects(lines: pl.DataFrame) -> pl.DataFrame:
    """Those lines that are JSON objects, also if the server escaped bytes as `\\xNN`, which JSON does not know."""
    valid = _query("SELECT _line, text FROM given WHERE json_valid(text) AND text LIKE '{%'", lines)
    others = lines.join(valid, on="_line", how="anti").filter(pl.col("text").str.contains(r"\x", literal=True))
    if others.is_empty():
        return valid
    others = others.with_columns(pl.col("text").str.replace_all(r"\x", r"\\x", literal=True))
    return pl.concat([valid, _query("SELECT _line, text FROM given WHERE json_valid(text) AND text LIKE '{%'", others)])


def _extracted(objects: pl.DataFrame, names: Mapping[str, Path]) -> pl.DataFrame:
    """The text at each path, and what is left of the object as `extra`."""
    paths = ", ".join(_literal(_json_path(path)) for path in names.values())
    found = _query(
        f"SELECT _line, json_extract_string(text, [{paths}]) AS found,"
        f" json_merge_patch(text, {_literal(_patch(names.values()))}) AS extra FROM given",
        objects,
    )
    return found.select(
        "_line",
        *(pl.col("found").list.get(place, null_on_oob=True).alias(name) for place, name in enumerate(names)),
        pl.when(pl.col("extra") != "{}").then(pl.col("extra").cast(pl.String)).alias("_extra"),
    )


def _query(sql: str, given: pl.DataFrame) -> pl.DataFrame:
    cursor = _connection().cursor()
    try:
        cursor.register("given", given.to_arrow())
        frame = pl.from_arrow(cursor.execute(sql).to_arrow_table())
    finally:
        cursor.close()
    assert isinstance(frame, pl.DataFrame)
    return frame


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _json_path(path: Path) -> str:
    return "$" + "".join(f"[{key}]" if isinstance(key, int) else f".{json.dumps(key)}" for key in path)


def _patch(paths: Iterable[Path]) -> str:
    """A merge patch (RFC 7396) that takes the paths out."""
    patch: dict[str, Any] = {}
    for path in paths:
        *outer, last = (key for key in path if isinstance(key, str))
        inner = patch
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[last] = None
    return json.dumps(patch)


@lru_cache(maxsize=1)
def _connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1, "enable_external_access": False})


def _named(**keys: tuple[str, ...]) -> dict[Path, Field]:
    return {(key,): Field(target) for target, names in keys.items() for key in names}


def _durations(**keys: tuple[str, ...]) -> dict[Path, Field]:
    return {(key,): Field("response_time_ms", unit) for unit, names in keys.items() for key in names}


def _servers(*names: str) -> dict[Path, Field]:
    return {(name,): Field("server", "port") for name in names}


_TIMES: dict[Path, Field] = {
    ("time_iso8601",): Field("ts", ANY_TIME),
    ("@timestamp",): Field("ts", ANY_TIME),
    ("timestamp",): Field("ts", ANY_TIME),
    ("time_local",): Field("ts", ANY_TIME),
    ("time",): Field("ts", ANY_TIME),
    ("datetime",): Field("ts", ANY_TIME),
    ("msec",): Field("ts", ANY_TIME),
    ("ts",): Field("ts", ANY_TIME),
}
_UNITS = _durations(
    s=("request_time_s", "response_time_s", "duration_s"),
    ms=("request_time_ms", "response_time_ms", "duration_ms"),
    us=("request_time_us", "response_time_us", "duration_us"),
)

NGINX_JSON = JsonFormat(
    "nginx-json",
    _TIMES
    | _named(
        client_ip=("remote_addr", "client_ip", "clientip", "client", "ip"),
        user_field=("remote_user", "user"),
        request=("request",),
        method=("request_method", "method"),
        url=("request_uri", "uri", "url", "path"),
        query=("args", "query_string"),
        protocol=("server_protocol", "protocol"),
        status=("status",),
        bytes=("body_bytes_sent", "bytes_sent", "bytes", "size"),
        referrer=("http_referer", "http_referrer", "referer", "referrer"),
        user_agent=("http_user_agent", "user_agent", "agent"),
    )
    | _servers("host", "http_host", "vhost", "server_name")
    | _durations(s=("request_time", "response_time", "duration"))
    | _UNITS,
)
"""Durations without a unit in their name are seconds, as nginx's `$request_time` is."""

APACHE_JSON = JsonFormat(
    "apache-json",
    _TIMES
    | _named(
        client_ip=("remoteIP", "remote_ip", "remote_host", "remoteHost", "clientip", "client_ip", "client"),
        user_field=("remoteUser", "remote_user", "user", "auth"),
        request=("request", "request_line", "requestLine", "firstLine"),
        method=("method", "request_method", "requestMethod", "verb"),
        url=("url", "uri", "requestURI", "request_uri", "path"),
        query=("query", "query_string", "queryString"),
        protocol=("protocol", "http_version", "httpVersion", "server_protocol"),
        status=("status", "statusCode", "status_code", "response"),
        bytes=("bytes", "bytesSent", "bytes_sent", "size", "response_size", "bytes_out"),
        referrer=("referer", "referrer", "Referer"),
        user_agent=("userAgent", "user_agent", "useragent", "User-Agent", "agent"),
    )
    | _servers("host", "vhost", "virtualHost", "serverName", "server_name", "server")
    | _durations(us=("duration", "response_time", "responseTime", "time_taken", "request_duration", "took"))
    | _UNITS,
)
"""Durations without a unit in their name are microseconds, as Apache's `%D` is."""

TRAEFIK_JSON = JsonFormat(
    "traefik-json",
    {
        ("StartUTC",): Field("ts", "iso8601"),
        ("StartLocal",): Field("ts", "iso8601"),
        ("time",): Field("ts", "iso8601"),
        ("ClientHost",): Field("client_ip"),
        ("ClientAddr",): Field("client_ip", "port"),
        ("Duration",): Field("response_time_ms", "ns"),
        ("RequestHost",): Field("server", "port"),
    }
    | _named(
        user_field=("ClientUsername",),
        method=("RequestMethod",),
        url=("RequestPath",),
        protocol=("RequestProtocol",),
        status=("DownstreamStatus",),
        bytes=("DownstreamContentSize",),
        referrer=("request_Referer",),
        user_agent=("request_User-Agent",),
    ),
)

CADDY_JSON = JsonFormat(
    "caddy-json",
    {
        ("ts",): Field("ts", ANY_TIME),
        ("request", "client_ip"): Field("client_ip"),
        ("request", "remote_ip"): Field("client_ip"),
        ("request", "remote_addr"): Field("client_ip", "port"),
        ("user_id",): Field("user_field"),
        ("request", "method"): Field("method"),
        ("request", "uri"): Field("url"),
        ("request", "proto"): Field("protocol"),
        ("request", "host"): Field("server", "port"),
        ("request", "headers", "Referer", 0): Field("referrer"),
        ("request", "headers", "User-Agent", 0): Field("user_agent"),
        ("status",): Field("status"),
        ("size",): Field("bytes"),
        ("duration",): Field("response_time_ms", "s"),
    },
)
