"""Parsers of formats whose every line is a record."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from lakehouse.datasets.base import Parsed
from lakehouse.datasets.custom.definition import Definition, LogFormat, RegexFormat
from lakehouse.datasets.custom.fields import JsonFields, TableFields
from lakehouse.datasets.custom.rows import build_rows, every_path, rejects
from lakehouse.datasets.json_records import read_objects


def decoded(block: bytes, encoding: str, first_line: int) -> str:
    """Text of a block; bytes that the encoding does not have become their escape `\\xNN`."""
    text = block.decode("cp1252" if encoding == "windows-1252" else encoding, errors="backslashreplace")
    return text.removeprefix("\ufeff") if first_line == 1 else text


def split_lines(text: str, first_line: int) -> pl.DataFrame:
    """Lines of a text: `_line` (number) and `text` (without its end)."""
    lines = pl.Series("text", [text]).str.split("\n").explode()
    if text.endswith("\n") or not text:
        lines = lines.head(-1)
    frame = lines.str.strip_suffix("\r").to_frame().with_row_index("_line", offset=first_line)
    return frame.with_columns(pl.col("_line").cast(pl.Int64))


class _LineParser:
    def __init__(self, definition: Definition, zone: str) -> None:
        self._definition = definition
        self._zone = zone

    def state(self) -> Mapping[str, Any]:
        """Nothing of the head matters to a line."""
        return {}

    def _answer(self, block: bytes, lines: pl.DataFrame, rows: pl.DataFrame, *rejected: pl.DataFrame) -> Parsed:
        return Parsed(rows, pl.concat(rejected).sort("_line", maintain_order=True), len(block), lines.height)


class PatternParser(_LineParser):
    """Parser of lines that match a regular expression."""

    def parse(self, block: bytes, first_line: int, final: bool) -> Parsed:
        """See `Parser.parse`."""
        form = self._definition.format
        assert isinstance(form, (RegexFormat, LogFormat))
        lines = split_lines(decoded(block, form.encoding, first_line), first_line)
        groups = lines["text"].str.extract_groups(form.regex).struct.unnest()
        groups = groups.select(column for column in groups if not column.name.isdigit())
        matched = lines["text"].str.contains(form.regex)
        # nginx and Apache write a dash for what is not there.
        nothing = ["", "-"] if isinstance(form, LogFormat) else [""]
        groups = groups.select(pl.when(~pl.all().is_in(nothing)).then(pl.all()))
        rows, refused = build_rows(self._definition, lines.filter(matched), TableFields(groups.filter(matched)), self._zone)
        return self._answer(
            block, lines, rows, refused, rejects(lines.filter(~matched), pl.lit("no match of the pattern"), pl.lit(False))
        )


class NdjsonParser(_LineParser):
    """Parser of one JSON object a line."""

    def parse(self, block: bytes, first_line: int, final: bool) -> Parsed:
        """See `Parser.parse`."""
        lines = split_lines(decoded(block, "utf-8", first_line), first_line)
        objects = read_objects(lines["text"])
        matched = objects.is_not_null()
        fields = JsonFields(objects.filter(matched), every_path(self._definition))
        rows, refused = build_rows(self._definition, lines.filter(matched), fields, self._zone)
        return self._answer(block, lines, rows, refused, rejects(lines.filter(~matched), pl.lit("no JSON object"), pl.lit(False)))
