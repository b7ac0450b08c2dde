"""Formats from a server's own words: an nginx `log_format`, an Apache `LogFormat`, or a regular expression.

nginx: https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format and the variables of its modules.
Apache: https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#formats
"""

import re
from collections.abc import Mapping

import polars as pl

from lakehouse.datasets.access_logs.columns import RAW_SCHEMA
from lakehouse.datasets.access_logs.fields import ANY_TIME, Field, Format, free_name
from lakehouse.datasets.access_logs.patterns import PatternFormat
from lakehouse.datasets.access_logs.templates import Piece, Variable, template_format
from lakehouse.errors import SettingsError

_NAMED_GROUP = re.compile(r"\(\?P?<[A-Za-z_]")
_NGINX_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))")
_NGINX_STATEMENT = re.compile(r"\s*(?:log_format\s+\S+\s+)?(?:escape=\w+\s+)?(?P<parts>.*?)\s*;?\s*", re.S)
_NGINX_PARTS = re.compile(r"""(?:\s*(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))+""", re.S)
_NGINX_PART = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""", re.S)
_NGINX_QUESTION_MARK = re.compile(r"\$is_args(?=\$(?:args|query_string)\b)")
_APACHE_STATEMENT = re.compile(r'\s*(?:LogFormat\s+)?"(?P<format>(?:[^"\\]|\\.)*)"(?:\s+[\w-]+)?\s*', re.S | re.I)
_APACHE_DIRECTIVE = re.compile(r"%(?:!?[0-9]+(?:,[0-9]+)*)?[<>]?(?:\{(?P<argument>[^}]*)\})?(?P<letter>\^ti|\^to|[a-zA-Z%])")
_APACHE_TIMES = re.compile(r"%\{[^}]*\}t(?:[-.,:T ]?%\{[^}]*\}t)*")
_APACHE_TIME = re.compile(r"([-.,:T ]?)%\{(?:begin:|end:)?([^}]*)\}t")

_WORD, _DIGITS, _DECIMAL = r"[^ ]*", "[0-9]+|-", r"[0-9.]+|-"
_NGINX: Mapping[str, tuple[Field, str]] = {
    "time_local": (Field("ts", "clf"), r"[^\]\"]+"),
    "time_iso8601": (Field("ts", "iso8601"), r"[^ \"]+"),
    "msec": (Field("ts", "epoch_s"), _DECIMAL),
    "remote_addr": (Field("client_ip"), _WORD),
    "remote_user": (Field("user_field"), ".*?"),
    "request": (Field("request"), ".*?"),
    "request_method": (Field("method"), _WORD),
    "request_uri": (Field("url"), ".*?"),
    "uri": (Field("url"), "[^?]*?"),
    "document_uri": (Field("url"), "[^?]*?"),
    "args": (Field("query"), ".*?"),
    "query_string": (Field("query"), ".*?"),
    "server_protocol": (Field("protocol"), _WORD),
    "status": (Field("status"), _DIGITS),
    "body_bytes_sent": (Field("bytes"), _DIGITS),
    "bytes_sent": (Field("bytes"), _DIGITS),
    "http_referer": (Field("referrer"), ".*?"),
    "http_user_agent": (Field("user_agent"), ".*?"),
    "request_time": (Field("response_time_ms", "s"), _DECIMAL),
    "host": (Field("server"), "[^ /]*?"),
    "http_host": (Field("server", "port"), "[^ /]*?"),
    "server_name": (Field("server"), "[^ /]*?"),
}
_APACHE: Mapping[str, tuple[str, Field, str]] = {
    "h": ("remote_host", Field("client_ip"), _WORD),
    "a": ("remote_ip", Field("client_ip"), _WORD),
    "l": ("ident", Field(""), _WORD),
    "u": ("remote_user", Field("user_field"), ".*?"),
    "t": ("time", Field("ts", ANY_TIME), r"\[[^\]]*\]"),
    "r": ("request", Field("request"), ".*?"),
    "m": ("method", Field("method"), _WORD),
    "U": ("url_path", Field("url"), "[^?]*?"),
    "q": ("query", Field("query"), r"(?:\?.*?)?"),
    "H": ("protocol", Field("protocol"), _WORD),
    "s": ("status", Field("status"), _DIGITS),
    "b": ("bytes", Field("bytes"), _DIGITS),
    "B": ("bytes", Field("bytes"), _DIGITS),
    "O": ("bytes_out", Field("bytes"), _DIGITS),
    "D": ("duration_us", Field("response_time_ms", "us"), _DIGITS),
    "T": ("duration_s", Field("response_time_ms", "s"), _DIGITS),
    "v": ("server_name", Field("server"), "[^ ]*?"),
    "V": ("canonical_name", Field("server"), "[^ ]*?"),
    "A": ("local_ip", Field(""), _WORD),
    "f": ("filename", Field(""), ".*?"),
    "I": ("bytes_in", Field(""), _DIGITS),
    "S": ("bytes_transferred", Field(""), _DIGITS),
    "k": ("keepalive_requests", Field(""), _WORD),
    "L": ("log_id", Field(""), _WORD),
    "p": ("port", Field(""), _DIGITS),
    "P": ("process", Field(""), _WORD),
    "R": ("handler", Field(""), ".*?"),
    "X": ("connection", Field(""), "[-+X]"),
}
_APACHE_WITH_ARGUMENT = {
    "i": "http_",
    "o": "sent_http_",
    "C": "cookie_",
    "e": "env_",
    "n": "note_",
    "^ti": "trailer_",
    "^to": "sent_trailer_",
}
_SECONDS_FRACTION = {"msec_frac": "%3f", "usec_frac": "%6f"}
_GROUPS: Mapping[str, Field] = {
    "time": Field("ts", ANY_TIME),
    "timestamp": Field("ts", ANY_TIME),
    "ip": Field("client_ip"),
    "user": Field("user_field"),
    "path": Field("url"),
    "referer": Field("referrer"),
    "agent": Field("user_agent"),
    "vhost": Field("server", "port"),
    "request_time": Field("response_time_ms", "s"),
    "response_time_s": Field("response_time_ms", "s"),
    "response_time_us": Field("response_time_ms", "us"),
}
"""Names of groups besides those of the raw columns and of nginx's variables."""


def is_directive(text: str) -> bool:
    """Whether this looks like a directive or a regular expression, rather than a format's name."""
    return bool(_NAMED_GROUP.search(text) or _NGINX_VARIABLE.search(text) or _APACHE_DIRECTIVE.search(text))


def directive_format(text: str) -> Format:
    """The format that a directive describes.

    Args:
        text: an nginx format string or `log_format` statement, an Apache format string or `LogFormat` line, each as it
            stands in the configuration; or a regular expression (syntax of Rust's regex crate) with named groups.

    Raises:
        SettingsError: it has no timestamp, or a part of it does not exist.
    """
    if _NAMED_GROUP.search(text):
        return _regular_expression(text)
    if _NGINX_VARIABLE.search(text):
        return template_format("log_format", _nginx_pieces(text))
    return template_format("LogFormat", _apache_pieces(text))


def _nginx_pieces(text: str) -> list[Piece]:
    statement = _NGINX_STATEMENT.fullmatch(text)
    template = statement["parts"] if statement else text
    if _NGINX_PARTS.fullmatch(template):
        parts = (match[1] or match[2] or "" for match in _NGINX_PART.finditer(template))
        template = "".join(_unescaped(part) for part in parts)
    # Arguments are read with or without their question mark.
    template = _NGINX_QUESTION_MARK.sub("", template)
    pieces: list[Piece] = []
    end = 0
    for match in _NGINX_VARIABLE.finditer(template):
        name = match[1] or match[2]
        field, pattern = _NGINX.get(name, (Field(""), ".*?"))
        pieces += [template[end : match.start()], Variable(name, field, pattern)]
        end = match.end()
    return [*pieces, template[end:]]


def _apache_pieces(text: str) -> list[Piece]:
    statement = _APACHE_STATEMENT.fullmatch(text)
    template = _unescaped(statement["format"] if statement else text)
    pieces: list[Piece] = []
    end = 0
    for match in re.finditer(f"{_APACHE_TIMES.pattern}|{_APACHE_DIRECTIVE.pattern}", template):
        pieces += [template[end : match.start()], _apache_piece(match)]
        end = match.end()
    return [*pieces, template[end:]]


def _apache_piece(match: re.Match[str]) -> Piece:
    letter, argument = match["letter"], match["argument"]
    if letter is None:
        return _apache_time(match[0])
    if letter == "%":
        return "%"
    if letter in _APACHE_WITH_ARGUMENT and argument:
        name = _APACHE_WITH_ARGUMENT[letter] + re.sub(r"\W", "_", argument.lower())
        return Variable(name, _NGINX.get(name, (Field(""), ""))[0], ".*?")
    if letter == "T" and argument in ("s", "ms", "us"):
        return Variable(f"duration_{argument}", Field("response_time_ms", argument), _DIGITS)
    if letter not in _APACHE:
        raise SettingsError(
            f"The LogFormat directive {match[0]!r} does not exist;"
            " give the format string as it stands in Apache's configuration, or a format's name."
        )
    name, field, pattern = _APACHE[letter]
    return Variable(f"{name}_{argument.lower()}" if argument else name, field, pattern)


def _apache_time(text: str) -> Variable:
    """One timestamp of `%{...}t` directives beside each other: Apache gives fractions and offset only one by one."""
    parts = _APACHE_TIME.findall(text)
    single = {"sec": "epoch_s", "msec": "epoch_ms", "usec": "epoch_us"}.get(parts[0][1])
    if len(parts) == 1 and single:
        return Variable("time", Field("ts", single), _DIGITS)
    kind = "".join(separator + _SECONDS_FRACTION.get(pattern, pattern) for separator, pattern in parts)
    return Variable("time", Field("ts", kind.replace(".%3f", "%.3f").replace(".%6f", "%.6f")), ".+?")


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: {"t": "\t", "n": "\n"}.get(match[1], match[1]), text, flags=re.S)


def _regular_expression(pattern: str) -> PatternFormat:
    anchored = f"^(?:{pattern})$"
    try:
        groups = pl.Series([""]).str.extract_groups(anchored).struct.fields
    except pl.exceptions.ComputeError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("error: ")
        raise SettingsError(
            f"The regular expression of the format is wrong: {reason}; its syntax is that of Rust's regex crate."
        ) from None
    # Groups without a name are numbered.
    fields = {free_name(f"group_{name}" if name.isdigit() else name): _group_field(name) for name in groups}
    if not any(field.target == "ts" for field in fields.values()):
        raise SettingsError(
            "The regular expression of the format has no group for the time;"
            " name one 'ts', 'time_local', 'time_iso8601' or 'msec', as in (?P<ts>[^ ]+)."
        )
    return PatternFormat("of the regular expression", anchored, fields)


def _group_field(name: str) -> Field:
    if name == "ts":
        return Field("ts", ANY_TIME)
    if name == "response_time_ms":
        return Field("response_time_ms", "ms")
    if name in RAW_SCHEMA and name not in ("_line", "extra"):
        return Field(name)
    return _GROUPS.get(name) or _NGINX.get(name, (Field(""), ""))[0]
