"""HAProxy's HTTP log, bare or behind a syslog header.

Format: https://docs.haproxy.org/3.0/configuration.html#8.2.3 (HTTP) and 8.2.5 (HTTPS, which appends fields).
"""

from lakehouse.datasets.access_logs.fields import Field
from lakehouse.datasets.access_logs.patterns import PatternFormat

_SYSLOG = (
    r"(?:(?:<[0-9]{1,3}>(?:1 )?)?"
    r"(?:[A-Z][a-z]{2} {1,2}[0-9]{1,2} [0-9:]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[^ ]+) (?:([^ ]+) )?"
    r"[^ \[]+(?:\[[0-9]+\]:| [0-9]+ [^ ]+ [^ ]+) )?"
)
"""RFC 3164 as rsyslog writes it, or RFC 5424; the host's name is kept, its time is that of the logging only."""

_PATTERN = (
    rf"^{_SYSLOG}([^ ]+):([0-9]{{1,5}}) \[([^\]]+)\] ([^ ]+?)(~?) ([^ /]+)/([^ ]+)"
    r" (-?[0-9]+)/(-?[0-9]+)/(-?[0-9]+)/(-?[0-9]+)/\+?(-?[0-9]+) (-?[0-9]{1,3}) \+?([0-9]+) ([^ ]+) ([^ ]+) ([^ ]{4})"
    r" ([0-9]+/[0-9]+/[0-9]+/[0-9]+/\+?[0-9]+) ([0-9]+/[0-9]+)"
    # Captured request headers, then response headers; a lone pair of braces is the request's, as nothing tells more.
    r'(?: \{([^}]*)\})?(?: \{([^}]*)\})? "(.*?)(?:"(?: (.*))?)?$'
)

_FIELDS = {
    "log_host": Field(""),
    "client": Field("client_ip"),
    "client_port": Field(""),
    "accept_date": Field("ts", "%d/%b/%Y:%H:%M:%S%.f"),
    "frontend": Field("server"),
    "tls": Field(""),
    "backend": Field(""),
    "backend_server": Field(""),
    "time_request": Field(""),
    "time_queue": Field(""),
    "time_connect": Field(""),
    "time_response": Field(""),
    "time_active": Field("response_time_ms", "ms"),
    "status": Field("status"),
    "bytes_read": Field("bytes"),
    "request_cookie": Field(""),
    "response_cookie": Field(""),
    "termination_state": Field(""),
    "connections": Field(""),
    "queues": Field(""),
    "request_headers": Field(""),
    "response_headers": Field(""),
    "request": Field("request"),
    "trailing": Field(""),
}

HAPROXY = PatternFormat("haproxy", _PATTERN, _FIELDS)
