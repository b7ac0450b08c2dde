"""The log as NDJSON: one JSON object a line, nested or flattened to dotted keys."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from lakehouse.datasets.api_logs.columns import fields, split_rows
from lakehouse.datasets.api_logs.lines import count_lines, reject_lines, rejects, split_lines
from lakehouse.datasets.base import Parsed
from lakehouse.datasets.json_records import read_objects

FORMAT = "ndjson"


class JsonLogParser:
    """Parser of the log.

    Args:
        zone: IANA time zone of timestamps without an offset.
    """

    def __init__(self, zone: str) -> None:
        self._zone = zone

    def state(self) -> Mapping[str, Any]:
        """The format; nothing else of the head matters."""
        return {"format": FORMAT}

    def parse(self, block: bytes, first_line: int, final: bool) -> Parsed:
        """See `Parser.parse`; every line is a record."""
        lines = split_lines(block, first_line)
        lines = lines.with_columns(object=read_objects(lines["text"]))
        is_object = pl.col("object").is_not_null()
        records = lines.filter(is_object)
        rows, refused = split_rows(records.select("_line", "text"), fields(records["object"], self._zone))
        opens = pl.col("text").str.strip_chars_start().str.starts_with("{")
        others = lines.filter(~is_object)
        broken = rejects(others.filter(opens), pl.lit("not JSON"), pl.lit(False))
        loose = reject_lines(others.filter(~opens), pl.lit(False))
        rejected = pl.concat([refused, broken, loose]).sort("_line", maintain_order=True)
        return Parsed(rows, rejected, len(block), count_lines(block))
