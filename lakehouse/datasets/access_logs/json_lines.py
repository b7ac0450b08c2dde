"""Access logs with a JSON object a line: nginx, Apache, Traefik and Caddy, by the names that fields usually have.

Traefik: https://doc.traefik.io/traefik/observability/access-logs/#available-fields
Caddy: https://caddyserver.com/docs/caddyfile/directives/log
nginx and Apache have no JSON of their own: the names are those of their variables and of widely copied configurations.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from lakehouse.datasets.access_logs.fields import (
    ANY_TIME,
    Field,
    RawBlock,
    free_name,
    raw_columns,
    rest_json,
    rows_and_rejects,
)
from lakehouse.datasets.access_logs.lines import Block
from lakehouse.datasets.base import ParseContext
from lakehouse.datasets.json_records import JsonPath, kinds_at, leftovers, read_objects, values_at


@dataclass(frozen=True)
class JsonFormat:
    """Lines that are JSON objects.

    Args:
        name: the format's name or directive.
        fields: what stands where. What is not listed is kept in `extra` as it is.
    """

    name: str
    fields: Mapping[JsonPath, Field]

    def parse(self, block: bytes, first_line: int, context: ParseContext) -> RawBlock:
        """Parse whole lines; see `Format`. A record has a timestamp and anything of a request."""
        lines = Block(block).lines(first_line)
        objects = _objects(lines["text"])
        names: dict[str, JsonPath] = {}
        for path in self.fields:
            names[free_name(".".join(path), names)] = path
        values, whole = _values(objects, names)
        fields = {name: self.fields[path] for name, path in names.items()}
        raw, rest = raw_columns(values.with_columns(lines["_line"]), fields, context)
        taken = {path: whole[name] & rest[name].is_null() for name, path in names.items()}
        # Fields that no line has are most of those that are listed.
        extra = leftovers(objects, {path: flags for path, flags in taken.items() if flags.any()})
        raw = raw.with_columns(_with_ports(extra, rest.drop(names)).alias("extra"))
        matched = raw.select(pl.any_horizontal(pl.col("client_ip", "url", "status").is_not_null())).to_series()
        return rows_and_rejects(raw, lines, matched, self.name)


def _objects(texts: pl.Series) -> pl.Series:
    """Texts that are JSON objects, also if the server escaped bytes as `\\xNN`, which JSON does not know; else null."""
    objects = read_objects(texts)
    escaped = objects.is_null() & texts.str.contains(r"\x", literal=True)
    if not escaped.any():
        return objects
    return objects.scatter(escaped.arg_true(), read_objects(texts.filter(escaped).str.replace_all(r"\x", r"\\x", literal=True)))


def _values(objects: pl.Series, names: Mapping[str, JsonPath]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The values of some fields as text, and where they are all that there is at their path.

    Caddy writes headers as arrays: of an array the first value counts, if it is neither object nor array. Those are no
    values.
    """
    paths = list(names.values())
    kinds, found = kinds_at(objects, paths), values_at(objects, paths)
    values, whole = {}, {}
    for index, (name, path) in enumerate(names.items()):
        kind, text = kinds[str(index)], found[str(index)]
        single = kind.is_not_null() & ~_is_nested(kind)
        value = text.set(~single, None)
        if (kind == "ARRAY").any():
            places = [(*path, "0"), (*path, "1")]
            first, second = kinds_at(objects, places)
            in_array = (kind == "ARRAY") & first.is_not_null() & ~_is_nested(first)
            value = value.zip_with(~in_array.fill_null(False), values_at(objects, places[:1]).to_series())
            single |= in_array & second.is_null()
        values[name], whole[name] = value, single.fill_null(False)
    return pl.DataFrame(values), pl.DataFrame(whole)


def _is_nested(kind: pl.Series) -> pl.Series:
    return kind.is_in(["ARRAY", "OBJECT"])


def _with_ports(extra: pl.Series, ports: pl.DataFrame) -> pl.Series:
    """JSON objects with the ports that were cut from hosts, by a name that the object does not have; either may be null."""
    for port in ports.columns:
        taken = extra.str.contains(f'"{port}":', literal=True).fill_null(False)
        if taken.any():
            again = ports[port].set(~taken, None).alias(f"{port}_again")
            ports = ports.with_columns(ports[port].set(taken, None), again)
    made = rest_json(ports)
    both = pl.select(pl.concat_str(extra.str.head(-1), pl.lit(","), made.str.slice(1))).to_series()
    return pl.select(pl.coalesce(both, extra, made)).to_series()


def _named(**keys: tuple[str, ...]) -> dict[JsonPath, Field]:
    return {(key,): Field(target) for target, names in keys.items() for key in names}


def _durations(**keys: tuple[str, ...]) -> dict[JsonPath, Field]:
    return {(key,): Field("response_time_ms", unit) for unit, names in keys.items() for key in names}


def _servers(*names: str) -> dict[JsonPath, Field]:
    return {(name,): Field("server", "port") for name in names}


_TIMES: dict[JsonPath, Field] = {
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
        ("request", "headers", "Referer"): Field("referrer"),
        ("request", "headers", "User-Agent"): Field("user_agent"),
        ("status",): Field("status"),
        ("size",): Field("bytes"),
        ("duration",): Field("response_time_ms", "s"),
    },
)
