"""Common Log Format and what grew out of it: combined, combined behind a virtual host, Traefik's.

Lines of all four may be mixed in one file. Nearly all lines in the wild are regular, and those are cut at their quotes,
whose positions numpy finds; the others take the general path, regular expressions. Both give the same rows: the fast
path only takes lines whose quotes, blanks and digits are exactly where the general path would find them.

Formats: https://httpd.apache.org/docs/2.4/logs.html, https://nginx.org/en/docs/http/ngx_http_log_module.html,
https://doc.traefik.io/traefik/observability/access-logs/
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from lakehouse.datasets.access_logs.columns import RAW_SCHEMA
from lakehouse.datasets.access_logs.fields import Field, RawBlock, no_rejects, only_rejects, raw_frame, rows_and_rejects
from lakehouse.datasets.access_logs.lines import NEWLINE, Block, line_begins
from lakehouse.datasets.access_logs.regular import Cuts, regular_rows
from lakehouse.datasets.base import ParseContext

_QUOTE = ord('"')
_REGULAR_QUOTES = (6, 2)

_USER = r'((?:[^"]|\\")*?)'
_ADDRESS = r"([0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)"
_HEADS: tuple[tuple[tuple[str, ...], str], ...] = (
    # A proxy's list of addresses may stand for the client's; nothing is there for the user if the server left it out.
    (("client_ip", "forwarded", "user_field"), rf"([^ ]+?)((?:, [^ ]+)*) - (?:{_USER} )?"),
    (("server", "client_ip", "user_field"), rf"([^ ]*[^ ,]) ([^ ]+) - {_USER} "),
    (("server", "client_ip"), rf"([^ ]*[^ ,]) {_ADDRESS} - "),
    (("server", "client_ip", "ident", "user_field"), rf"([^ ]*[^ ,]) {_ADDRESS} ([^ ]+) {_USER} "),
    (("client_ip", "ident", "user_field"), rf"([^ ]+) ([^ ]+) {_USER} "),
)
"""What may stand before the timestamp, with the names of the groups; the first that fits counts."""

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_UNESCAPED = r'"(.*?)"'
"""Servers before 2004, and some appliances, write quotes inside a quoted value as they are."""

_TRAEFIK = r'^([0-9]+|-) "(.*?)" "(.*?)" ([0-9]+)ms$'
"""Behind combined: number of the request, name of the router, URL of the server behind it, duration."""

_FIELDS = {
    "ts": Field("ts", "clf"),
    "client_ip": Field("client_ip"),
    "user_field": Field("user_field"),
    "request": Field("request"),
    "status": Field("status"),
    "bytes": Field("bytes"),
    "referrer": Field("referrer"),
    "user_agent": Field("user_agent"),
    "server": Field("server", "port"),
    "duration": Field("response_time_ms", "ms"),
    "ident": Field(""),
    "forwarded": Field(""),
    "request_count": Field(""),
    "router": Field(""),
    "upstream": Field(""),
    "trailing": Field(""),
}


def _pattern(quoted: str) -> str:
    heads = "|".join(pattern for _, pattern in _HEADS)
    return (
        rf"^(?:{heads})\[([^\[\]]*)\] {quoted} ([0-9]{{3}}|-) ([0-9]{{1,18}}|-)"
        rf"(?: {quoted} {quoted})?(?: (.+))?$"
    )


_HEAD_GROUPS = tuple(name for names, _ in _HEADS for name in names)
_GROUPS = (*_HEAD_GROUPS, "ts", "request", "status", "bytes", "referrer", "user_agent", "trailing")


@dataclass(frozen=True)
class CombinedFormat:
    """Common, combined, vhost-combined or Traefik's: the name only says what was asked for, each reads all four."""

    name: str

    def parse(self, block: bytes, first_line: int, context: ParseContext) -> RawBlock:
        """Parse whole lines; see `Format`."""
        text = Block(block)
        marks = text.positions_of(_QUOTE, NEWLINE)
        newline_marks = np.flatnonzero(text.bytes[marks] == NEWLINE)
        newline = marks[newline_marks]
        begin = line_begins(newline)
        end = text.line_ends(begin, newline)
        quotes = np.diff(newline_marks, prepend=-1) - 1

        rows = pl.DataFrame(schema=RAW_SCHEMA)
        for count in _REGULAR_QUOTES:
            chosen = quotes == count
            if chosen.any():
                positions = tuple(marks[newline_marks[chosen] - count + place] for place in range(count))
                number = np.flatnonzero(chosen) + first_line
                cuts = Cuts(number, begin[chosen], end[chosen], positions)
                rows = _in_order(rows, regular_rows(text, cuts))
        if rows.height == len(newline):
            return RawBlock(rows, no_rejects())

        general = np.ones(len(newline), dtype=np.bool_)
        general[rows["_line"].to_numpy() - first_line] = False
        numbers = pl.Series(np.flatnonzero(general) + first_line)
        lines = pl.DataFrame({"_line": numbers, "text": text.strings(begin[general], end[general])})
        others = self.parse_lines(lines, context)
        return RawBlock(_in_order(rows, others.rows), others.rejects)

    def parse_lines(self, lines: pl.DataFrame, context: ParseContext) -> RawBlock:
        """The general path.

        Args:
            lines: `_line` and `text`.
            context: not needed, as all timestamps carry their offset.
        """
        values = lines.select("_line", pl.col("text").str.extract_groups(_pattern(_QUOTED)).alias("groups"))
        matched = _matched(values)
        if not matched.all():
            lenient = lines.filter(~matched).select(
                "_line", pl.col("text").str.extract_groups(_pattern(_UNESCAPED)).alias("groups")
            )
            values = _in_order(values.filter(matched), lenient)
            matched = _matched(values)
        if not matched.any():  # the few lines that the fast path leaves are noise, and often nothing else
            return only_rejects(lines, self.name)
        values = _named(values)
        raw = raw_frame(values, _FIELDS, context)
        return rows_and_rejects(raw, lines, matched, self.name)


def _in_order(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """Rows of both by line number, in which each of them is sorted."""
    if first.is_empty() or second.is_empty():
        return second if first.is_empty() else first
    return first.merge_sorted(second, key="_line")


def _matched(values: pl.DataFrame) -> pl.Series:
    return values["groups"].struct.field(str(_GROUPS.index("ts") + 1)).is_not_null()


def _named(values: pl.DataFrame) -> pl.DataFrame:
    """The groups by name, those of the alternative heads as one, and Traefik's fields out of what trails."""
    places: dict[str, list[pl.Expr]] = {}
    for place, name in enumerate(_GROUPS, start=1):
        places.setdefault(name, []).append(pl.col("groups").struct.field(str(place)))
    names = ("request_count", "router", "upstream", "duration")
    traefik = pl.col("trailing").str.extract_groups(_TRAEFIK).struct.rename_fields(list(names))
    return (
        values.select("_line", *(pl.coalesce(groups).alias(name) for name, groups in places.items()))
        .with_columns(traefik.alias("traefik"))
        .unnest("traefik")
        .with_columns(
            pl.when(pl.col("duration").is_null()).then("trailing"),
            pl.col("forwarded").str.strip_prefix(", "),
        )
    )
