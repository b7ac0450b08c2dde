"""The formats of access logs by name, how one is found, and known lines of servers that are no access."""

from collections.abc import Mapping
from difflib import get_close_matches

import polars as pl

from lakehouse.datasets.access_logs.alb import ALB
from lakehouse.datasets.access_logs.combined import CombinedFormat
from lakehouse.datasets.access_logs.directives import directive_format, is_directive
from lakehouse.datasets.access_logs.fields import Format
from lakehouse.datasets.access_logs.haproxy import HAPROXY
from lakehouse.datasets.access_logs.json_lines import APACHE_JSON, CADDY_JSON, NGINX_JSON, TRAEFIK_JSON
from lakehouse.datasets.access_logs.lines import Block
from lakehouse.datasets.base import ParseContext
from lakehouse.errors import FormatError, SettingsError

COMBINED = CombinedFormat("combined")

FORMATS: Mapping[str, Format] = {
    found.name: found
    for found in (
        COMBINED,
        CombinedFormat("common"),
        CombinedFormat("vhost-combined"),
        CombinedFormat("traefik"),
        HAPROXY,
        ALB,
        NGINX_JSON,
        APACHE_JSON,
        TRAEFIK_JSON,
        CADDY_JSON,
    )
}
"""All formats that have a name."""

_TEXT_FORMATS: tuple[Format, ...] = (COMBINED, HAPROXY, ALB)
_JSON_FORMATS: tuple[Format, ...] = (NGINX_JSON, APACHE_JSON, TRAEFIK_JSON, CADDY_JSON)

_HAPROXY_ERROR = r"[^ ]+:[0-9]+ \[[0-9]{2}/[A-Z][a-z]{2}/[^\]]+\] [^ /]+/[^ :]+: "
_KNOWN_LINES: tuple[tuple[str, str], ...] = (
    ("blank line", r"^\s*$"),
    (
        "nginx error log",
        r"^[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9:]{8} \[(?:debug|info|notice|warn|error|crit|alert|emerg)\] [0-9]+#[0-9]+: ",
    ),
    ("Apache error log", r"^\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]?[0-9] [0-9:]{8}(?:\.[0-9]+)? [0-9]{4}\] \["),
    ("HAProxy SSL handshake failure", _HAPROXY_ERROR + "(?:SSL handshake failure|.* during SSL handshake)"),
    ("HAProxy connection error", _HAPROXY_ERROR + "[A-Z]"),
    (
        "HAProxy notice",
        r"^\[(?:NOTICE|WARNING|ALERT)\] |(?:^|\]: )(?:Proxy [^ ]+ (?:started|stopped)|"
        r"Stopping (?:frontend|backend|proxy|[A-Z]+) |(?:Backup )?Server [^ /]+/[^ ]+ is |"
        r"(?:backend|proxy) [^ ]+ has no server available)",
    ),
)
"""Reasons, and what their lines look like; the first that fits counts."""

_PREVIEW = 100


def known_reason(text: pl.Expr) -> pl.Expr:
    """Why a line is no access, if it is a known kind of line; null otherwise."""
    return pl.coalesce(pl.when(text.str.contains(pattern)).then(pl.lit(reason)) for reason, pattern in _KNOWN_LINES)


def named_format(text: str) -> Format:
    """The format of a name, a directive or a regular expression.

    Raises:
        SettingsError: there is no such format, or the directive is wrong.
    """
    if text in FORMATS:
        return FORMATS[text]
    if is_directive(text):
        return directive_format(text)
    near = get_close_matches(text.lower(), FORMATS, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise SettingsError(
        f"The format {text!r} is unknown{hint}; give one of {', '.join(FORMATS)}, the server's own"
        " log_format or LogFormat string, or a regular expression with named groups such as (?P<ts>...)."
    )


def detected_format(head: bytes, context: ParseContext) -> Format | None:
    """The format in which most of the first lines make sense; None if there are no lines to tell it by.

    Args:
        head: the first bytes of an input; a last line that is cut off counts only if no other tells anything.
        context: zone and modification time, for formats whose timestamps need them.

    Raises:
        FormatError: no format fits; shows the first line and tells what can be done.
    """
    block = head[: head.rfind(b"\n") + 1]
    unknown = _unknown_lines(block)
    if unknown.is_empty():
        block = head
        unknown = _unknown_lines(block)
    if unknown.is_empty():
        return None
    is_json = unknown["text"].str.starts_with("{").mean()
    candidates = _JSON_FORMATS if isinstance(is_json, float) and is_json > 0.5 else _TEXT_FORMATS
    scores = {found.name: _score(found, block, context) for found in candidates}
    best = max(candidates, key=lambda found: scores[found.name])
    if scores[best.name] > (0, 0):
        return best
    first = unknown["text"][0]
    shown = ascii(first[:_PREVIEW]) + (" ..." if len(first) > _PREVIEW else "")
    raise FormatError(
        f"No known format of access logs fits: line {unknown['_line'][0]} is {shown}; formats are {', '.join(FORMATS)};"
        " for any other give --format the server's own log_format or LogFormat string, or a regular expression."
    )


def _unknown_lines(block: bytes) -> pl.DataFrame:
    return Block(block).lines(1).filter(known_reason(pl.col("text")).is_null())


def _score(found: Format, block: bytes, context: ParseContext) -> tuple[int, int]:
    """Rows, and values in them that are more than text kept as it is."""
    rows = found.parse(block, 1, context).rows.drop("_line", "extra")
    return rows.height, rows.height * rows.width - sum(rows.null_count().row(0)) if rows.height else 0
