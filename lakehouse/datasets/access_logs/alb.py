"""Access logs of AWS Application Load Balancers.

Format: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html
"""

from lakehouse.datasets.access_logs.fields import Field
from lakehouse.datasets.access_logs.patterns import PatternFormat

_WORD = r"([^ ]+)"
_SECONDS = r"(-?[0-9.]+)"
_QUOTED = r'"((?:[^"\\]|\\.)*)"'

_COLUMNS: tuple[tuple[str, Field, str], ...] = (
    ("type", Field(""), r"(https?|h2|grpcs|wss?)"),
    ("time", Field("ts", "iso8601"), _WORD),
    ("elb", Field(""), _WORD),
    ("client", Field("client_ip", "port"), _WORD),
    ("target", Field(""), _WORD),
    ("request_processing_time", Field(""), _SECONDS),
    ("target_processing_time", Field("response_time_ms", "s"), _SECONDS),
    ("response_processing_time", Field(""), _SECONDS),
    ("status", Field("status"), r"([0-9]{3}|-)"),
    ("target_status", Field(""), _WORD),
    ("received_bytes", Field(""), r"([0-9]+|-)"),
    ("sent_bytes", Field("bytes"), r"([0-9]{1,18}|-)"),
    ("request", Field("request"), _QUOTED),
    ("user_agent", Field("user_agent"), _QUOTED),
    ("ssl_cipher", Field(""), _WORD),
    ("ssl_protocol", Field(""), _WORD),
)
_LATER_COLUMNS: tuple[tuple[str, Field, str], ...] = (
    ("target_group_arn", Field(""), _WORD),
    ("trace_id", Field(""), _QUOTED),
    ("domain_name", Field("server"), _QUOTED),
    ("chosen_cert_arn", Field(""), _QUOTED),
    ("matched_rule_priority", Field(""), _WORD),
    ("request_creation_time", Field(""), _WORD),
    ("actions_executed", Field(""), _QUOTED),
    ("redirect_url", Field(""), _QUOTED),
    ("error_reason", Field(""), _QUOTED),
    ("target_list", Field(""), _QUOTED),
    ("target_status_list", Field(""), _QUOTED),
    ("classification", Field(""), _QUOTED),
    ("classification_reason", Field(""), _QUOTED),
)
"""Columns that were added over the years: a line may end before any of them."""

_ALL_COLUMNS = (*_COLUMNS, *_LATER_COLUMNS, ("trailing", Field(""), "(.+)"))


def _pattern() -> str:
    later = ""
    for _, _, pattern in reversed(_ALL_COLUMNS[len(_COLUMNS) :]):
        later = f"(?: {pattern}{later})?"
    return "^" + " ".join(pattern for _, _, pattern in _COLUMNS) + later + "$"


ALB = PatternFormat("alb", _pattern(), {name: field for name, field, _ in _ALL_COLUMNS})
