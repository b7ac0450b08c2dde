"""What a logged value means, and how columns of text become the raw frame."""

import json
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import polars as pl

from lakehouse.datasets.access_logs.columns import RAW_SCHEMA
from lakehouse.datasets.base import ParseContext
from lakehouse.datasets.timestamps import timestamp_expr

MILLISECONDS: Mapping[str, float] = {"s": 1e3, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
"""Milliseconds in a unit of time."""

ANY_TIME = "any"
"""ISO 8601, Common Log Format, or seconds, milliseconds or microseconds since 1970, as their number of digits tells."""

_REQUEST = r"^(?:([A-Za-z][A-Za-z_-]{0,31}) (.+) (HTTP/[0-9](?:\.[0-9])?)|(GET) ([^ ]+))$"
_HOST_PORT = r"^(.*?[^:]|\[.*\]):([0-9]{1,5})$"
_OWN_NAMES = ("_line", "_request", "_parts")
_NUMBERS = ("status", "bytes", "response_time_ms")


@dataclass(frozen=True)
class Field:
    """What a logged value means.

    Args:
        target: a column of the raw frame; "request": a request line, which gives method, url and protocol;
            "query": what belongs behind the url's question mark; "": nothing known, kept in `extra`.
        kind: of `ts` a kind of `timestamp_expr`, or `ANY_TIME`; of `response_time_ms` a key of `MILLISECONDS`; of an
            address or host "port" if a port may follow, which goes to `extra`.
    """

    target: str
    kind: str = ""


@dataclass(frozen=True)
class RawBlock:
    """A block's lines as a frame of the raw columns, and those that are no record: `_line`, `reason`, `text`."""

    rows: pl.DataFrame
    rejects: pl.DataFrame


class Format(Protocol):
    """A format of access logs."""

    @property
    def name(self) -> str:
        """The format's name or directive, by which it is found again."""
        ...

    def parse(self, block: bytes, first_line: int, context: ParseContext) -> RawBlock:
        """Parse whole lines, whatever their bytes; every line is a row or a reject."""
        ...


def free_name(name: str, taken: Container[str] = ()) -> str:
    """A name for a field that is neither taken nor one of the frame's own."""
    while name in taken or name in _OWN_NAMES:
        name += "_again"
    return name


def blank_to_null(text: pl.Expr) -> pl.Expr:
    """Null for "-" and "", which servers write for what is not there."""
    return pl.when(text.is_in(["-", ""]).not_()).then(text)


def without_port(host: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Host and port of `host:port`; null for a port that is not there."""
    parts = host.str.extract_groups(_HOST_PORT).struct
    return pl.coalesce(parts.field("1"), host), parts.field("2")


def extra_json(values: Mapping[str, pl.Expr]) -> pl.Expr:
    """A JSON object of the values that are not null; null if there are none."""
    text = pl.struct(value.alias(name) for name, value in values.items()).struct.json_encode()
    for name in values:
        # In JSON text a quote without a backslash is never part of a value: only the key itself can match.
        text = text.str.replace_all(f"{re.escape(json.dumps(name, ensure_ascii=False))}:null,?", "")
    text = text.str.replace(r",\}$", "}")
    return pl.when(text != "{}").then(text)


def rest_json(rest: pl.DataFrame) -> pl.Series:
    """A JSON object a row of the values that are not null; null if there are none."""
    # Most fields that might be kept never are: encoding only the others is several times as fast.
    names = [column.name for column in rest if column.null_count() < rest.height]
    if not names:
        return pl.repeat(None, rest.height, dtype=pl.String, eager=True)
    return rest.select(extra_json({name: pl.col(name) for name in names})).to_series()


def raw_frame(values: pl.DataFrame, fields: Mapping[str, Field], context: ParseContext) -> pl.DataFrame:
    """Build the raw frame from columns of text; what no column took is in `extra`, under the fields' names.

    Args:
        values: `_line`, and a column of text by each field's name.
        fields: what each column means.
        context: zone and reference date of timestamps that lack theirs.
    """
    raw, rest = raw_columns(values, fields, context)
    return raw.with_columns(rest_json(rest).alias("extra"))


def raw_columns(values: pl.DataFrame, fields: Mapping[str, Field], context: ParseContext) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The columns of `RAW_SCHEMA` but for `extra`, and what is left for it.

    Args:
        values, fields, context: see `raw_frame`. Of several fields with the same target the first that is there counts,
            of times that were measured in several units the finest.

    Returns:
        Rows whose `ts` is null where there is no timestamp that makes sense; and the rest: by each field's name what of it
        is in no column, else null, and ports by names of their own.
    """
    values = values.with_columns(blank_to_null(pl.col(name)) for name in fields)
    columns: dict[str, pl.Expr] = {}
    extra: dict[str, pl.Expr] = {name: pl.col(name) for name, field in fields.items() if not field.target}
    for target in dict.fromkeys(field.target for field in fields.values() if field.target):
        names = [name for name, field in fields.items() if field.target == target]
        if target == "response_time_ms":
            names.sort(key=lambda name: MILLISECONDS[fields[name].kind])
        converted = [_converted(name, fields[name], context) for name in names]
        columns[target] = pl.coalesce(converted)
        for place, name in enumerate(names):
            earlier = pl.any_horizontal(pl.lit(False), *(value.is_not_null() for value in converted[:place]))
            extra[name] = pl.when(earlier | converted[place].is_null()).then(pl.col(name))
            if fields[name].kind == "port":
                extra[free_name(f"{name}_port", fields)] = without_port(pl.col(name))[1]
    if "request" in columns:
        # Its groups are a column of their own, or the expression would be evaluated for each of them.
        values = values.with_columns(columns.pop("request").alias("_request")).with_columns(
            pl.col("_request").str.extract_groups(_REQUEST).alias("_parts")
        )
        # The request line is what the client sent; other fields may hold what the server made of it.
        for target, part in _request_parts(pl.col("_request"), pl.col("_parts")).items():
            for name in (name for name, field in fields.items() if field.target == target):
                extra[name] = pl.when(part != pl.col(name)).then(pl.col(name)).otherwise(extra[name])
            columns[target] = pl.coalesce(part, columns[target]) if target in columns else part
    if "query" in columns:
        url = columns.get("url", pl.lit(None, pl.String))
        query = columns.pop("query").str.replace(r"^\??", "?")
        complete = url.str.contains("?", literal=True)
        columns["url"] = pl.when(complete).then(url).otherwise(url + query.fill_null(""))
        for name in (name for name, field in fields.items() if field.target == "query"):
            # Without a url, or behind another query, it goes nowhere.
            lost = url.is_null() | (complete & ~url.str.ends_with(pl.col(name).str.replace(r"^\??", "?")))
            extra[name] = pl.when(lost).then(pl.col(name)).otherwise(extra[name])
    raw = values.select(
        pl.col("_line").cast(pl.Int64),
        *(
            columns.get(name, pl.lit(None)).cast(dtype).alias(name)
            for name, dtype in RAW_SCHEMA.items()
            if name not in ("_line", "extra")
        ),
    )
    return raw, values.select(expression.alias(name) for name, expression in extra.items())


def _converted(name: str, field: Field, context: ParseContext) -> pl.Expr:
    text = pl.col(name)
    if field.target == "ts":
        return _timestamp(text, field.kind, context)
    if field.target in _NUMBERS:
        number = text.cast(RAW_SCHEMA[field.target], strict=False)
        if field.target == "response_time_ms":
            number = pl.when(number.is_finite()).then(number * MILLISECONDS[field.kind])
        # Load balancers write -1 for what never happened.
        return pl.when(number >= 0).then(number)
    return without_port(text)[0] if field.kind == "port" else text


def _request_parts(request: pl.Expr, groups: pl.Expr) -> dict[str, pl.Expr]:
    """Method, url and protocol of a request line (RFC 9112, 3), also of HTTP/0.9; of any other text the url only."""
    method, target, protocol, old_method, old_target = (groups.struct.field(str(place)) for place in range(1, 6))
    return {
        "method": pl.coalesce(method, old_method),
        "url": blank_to_null(pl.coalesce(target, old_target, request)),
        "protocol": protocol,
    }


def _timestamp(text: pl.Expr, kind: str, context: ParseContext) -> pl.Expr:
    modified = None if context.modified is None else datetime.fromtimestamp(context.modified, UTC)
    if kind != ANY_TIME:
        return timestamp_expr(text, kind, context.zone, modified)
    epoch = [
        timestamp_expr(pl.when(text.str.contains(rf"^[0-9]{{{digits}}}(\.|$)")).then(text), kind)
        for kind, digits in (("epoch_s", "1,11"), ("epoch_ms", "12,14"), ("epoch_us", "15,17"))
    ]
    common = timestamp_expr(text.str.strip_chars("[]"), "clf")
    return pl.coalesce(timestamp_expr(text, "iso8601", context.zone), common, *epoch)


def rows_and_rejects(raw: pl.DataFrame, lines: pl.DataFrame, matched: pl.Series, format_name: str) -> RawBlock:
    """Separate records from lines that are none.

    Args:
        raw: a raw row for each line, in the same order.
        lines: `_line` and `text`.
        matched: the line is in the format, whether its timestamp makes sense or not.
        format_name: for the reason.
    """
    record = raw["ts"].is_not_null() & matched
    if record.all():
        return RawBlock(raw, no_rejects())
    reasons = pl.DataFrame({"matched": matched}).select(
        pl.when("matched").then(pl.lit("timestamp")).otherwise(_not_in(format_name)).alias("reason")
    )
    rejects = lines.with_columns(reasons).filter(~record).select("_line", "reason", "text")
    return RawBlock(raw.filter(record), rejects)


def only_rejects(lines: pl.DataFrame, format_name: str) -> RawBlock:
    """Lines (`_line` and `text`) of which none is in the format."""
    return RawBlock(pl.DataFrame(schema=RAW_SCHEMA), lines.select("_line", _not_in(format_name).alias("reason"), "text"))


def _not_in(format_name: str) -> pl.Expr:
    return pl.lit(f"not in format {format_name}")


def no_rejects() -> pl.DataFrame:
    """An empty frame of rejects."""
    return pl.DataFrame(schema={"_line": pl.Int64, "reason": pl.String, "text": pl.String})
