"""The answers of another project's parser (`.expected`) for the logs beside them, against ours."""

import ast
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lakehouse.datasets.access_logs import DATASET
from lakehouse.datasets.base import ParseContext

ASSERTION = re.compile(r'results\["(s0[01]-\w+)"\]\["([^"]+)"\]\[(\d+)\]\.(?:Evt\.Parsed\["(\w+)"\]|(Success)) == (.+)')
COLUMNS = {
    "client_ip": ("remote_addr", "clientip", "client_ip"),
    "user_name": ("remote_user", "auth"),
    "method": ("verb", "http_verb"),
    "url": ("request",),
    "status": ("status", "response", "http_status_code"),
    "bytes": ("body_bytes_sent", "bytes", "bytes_read"),
    "referrer": ("http_referer", "referrer"),
    "user_agent": ("http_user_agent",),
    "server": ("target_fqdn", "frontend_name"),
    "response_time_ms": ("request_duration_in_ms", "time_duration"),
}
"""What the other parser calls our columns."""
TIMES = ("time_local", "timestamp", "accept_date")
USUAL, PRECISE = "%d/%b/%Y:%H:%M:%S %z", "%d/%b/%Y:%H:%M:%S.%f %z"

# Lines and rows. What is not a row is an event to the other parser and a known reject to us: lines of error logs and failed
# handshakes are no access. It has no answer at all for one of HAProxy's messages.
FILES = {
    "crowdsec_apache2-logs": (9, 7),
    "crowdsec_haproxy-logs": (5, 2),
    "crowdsec_nginx-http-malformed": (12, 12),
    "crowdsec_nginx_http-logs": (9, 8),
    "crowdsec_traefik_clf": (7, 7),
}


def test_every_file_of_answers_is_compared(test_data: Path) -> None:
    assert {path.stem for path in (test_data / "web").glob("*.expected")} == set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_our_rows_are_the_other_parsers(file: str, test_data: Path) -> None:
    log = (test_data / "web" / f"{file}.log").read_bytes()
    options = DATASET.validate_options({"client_ip": "keep", "user_name": "keep"})
    context = ParseContext("demo", key=b"0123456789abcdef", options=options)
    parsed = DATASET.open_parser(log, context, None).parse(log, 1, True)
    rows = {row["_line"]: row for row in parsed.rows.to_dicts()}
    messages, answers = read_answers(test_data / "web" / f"{file}.expected")
    lines = [line for line in log.decode().splitlines() if line]
    assert messages == lines, "answer and line have the same number"
    assert (len(lines), len(rows)) == FILES[file]
    for number, answer in answers.items():
        if number in rows:
            assert {column: rows[number][column] for column in ("ts", "protocol", *COLUMNS)} == as_row(answer), lines[number - 1]


def read_answers(path: Path) -> tuple[list[str], dict[int, dict[str, str]]]:
    """The lines, and the fields of each line's answer, by its number."""
    messages: list[str] = []
    answers: dict[int, dict[str, str]] = {}
    for found in map(ASSERTION.fullmatch, path.read_text().splitlines()):
        if not found:
            continue
        stage, parser, index, field, success, value = found.groups()
        if stage == "s00-raw" and parser.endswith("/non-syslog") and field == "message":
            messages.append(ast.literal_eval(value))
        elif stage == "s01-parse" and success and value == "true":
            answers[int(index) + 1] = {}
        elif stage == "s01-parse" and field:
            answers[int(index) + 1][field] = ast.literal_eval(value)
    return messages, answers


def as_row(answer: dict[str, str]) -> dict[str, Any]:
    """Our columns of an answer."""

    def value(*names: str) -> str | None:
        found = next((answer[name] for name in names if name in answer), "-")
        return None if found == "-" else found

    row: dict[str, Any] = {column: value(*names) for column, names in COLUMNS.items()}
    for column, kind in (("status", int), ("bytes", int), ("response_time_ms", float)):
        row[column] = None if row[column] is None else kind(row[column])
    # HAProxy marks a frontend that ends TLS so; it is no part of the name.
    row["server"] = row["server"] and row["server"].removesuffix("~")
    version = value("http_version", "httpversion")
    row["protocol"] = version and f"HTTP/{version}"
    moment = value(*TIMES) or ""
    # HAProxy's have milliseconds and no zone.
    row["ts"] = datetime.strptime(*((f"{moment} +0000", PRECISE) if "." in moment else (moment, USUAL)))
    return row
