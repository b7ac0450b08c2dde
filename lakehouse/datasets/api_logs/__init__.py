"""Log of a classification API: what was asked, which codes were proposed, and how sure the model was."""

import re
from collections.abc import Mapping
from typing import Any

from lakehouse.datasets.api_logs import json_log, literal_log, parquet_log
from lakehouse.datasets.api_logs.columns import COLUMNS, ORIGINAL_NAMES
from lakehouse.datasets.api_logs.views import ROLLUPS, VIEWS
from lakehouse.datasets.base import Column, FileParser, ParseContext, Parser, Rollup, View
from lakehouse.datasets.timestamps import validate_kind
from lakehouse.errors import FormatError, SettingsError

__all__ = ["DATASET", "ORIGINAL_NAMES", "ApiLogs"]

FORMATS = (literal_log.FORMAT, json_log.FORMAT, parquet_log.FORMAT)

_BEGINNING = re.compile(literal_log.BEGINNING)


class ApiLogs:
    """The dataset "api_logs"."""

    name = "api_logs"
    doc = "Requests to a classification API, with the codes it proposed."
    columns: tuple[Column, ...] = COLUMNS
    views: tuple[View, ...] = VIEWS
    rollups: tuple[Rollup, ...] = ROLLUPS
    line_based = True
    site: str | None = None
    original_names = ORIGINAL_NAMES

    def validate_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """There are none.

        Raises:
            SettingsError: the section has a key.
        """
        for key in options:
            raise SettingsError(f"The dataset api_logs has no option {key!r}; remove it from its section.")
        return {}

    def open_parser(self, head: bytes, context: ParseContext, state: Mapping[str, Any] | None) -> Parser | FileParser:
        """See `Dataset.open_parser`; the formats are `FORMATS`."""
        validate_kind("iso8601", context.zone)
        chosen = (state or {}).get("format") or context.format or _detected(head)
        if chosen == literal_log.FORMAT:
            return literal_log.LiteralLogParser(context.zone, bool((state or {}).get("in_message")))
        if chosen == json_log.FORMAT:
            return json_log.JsonLogParser(context.zone)
        if chosen == parquet_log.FORMAT:
            return parquet_log.ParquetLogParser(context.zone)
        raise FormatError(f"The dataset api_logs has no format {chosen!r}; choose one of {', '.join(FORMATS)}.")


def _detected(head: bytes) -> str:
    if head.startswith(parquet_log.MAGIC):
        return parquet_log.FORMAT
    lines = [line.strip() for line in re.split(r"[\n\0]+", head.decode(errors="replace").removeprefix("\ufeff"))]
    if any(_BEGINNING.match(line) for line in lines):
        return literal_log.FORMAT
    if any(line.startswith("{") for line in lines):
        return json_log.FORMAT
    seen = next((line for line in lines if line), "")
    raise FormatError(
        f"The input is in no format of the dataset api_logs; it begins with {seen[:80]!r}. "
        "Formats are python-literal ('2024-01-15 10:23:45,123 - INFO - {...}'), ndjson and parquet; "
        "name one with --format if the beginning is damaged."
    )


DATASET = ApiLogs()
