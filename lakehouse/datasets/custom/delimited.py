"""Delimited text (RFC 4180): records may span lines inside of quotes, and the header is what a tail must know."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from lakehouse.datasets.base import Parsed
from lakehouse.datasets.custom.definition import CsvFormat, Definition
from lakehouse.datasets.custom.fields import TableFields
from lakehouse.datasets.custom.parsers import decoded, split_lines
from lakehouse.datasets.custom.rows import build_rows, rejects
from lakehouse.errors import FormatError

_MOST_BYTES = 1_000_000
"""A quote that is still open after this many bytes was no opening quote."""


class DelimitedParser:
    """Parser of CSV and its like.

    Args:
        header: names of the fields, as they stand in the input.
        first: the header is the input's first record.
    """

    def __init__(self, definition: Definition, header: Sequence[str], first: bool, zone: str) -> None:
        assert isinstance(definition.format, CsvFormat)
        self._definition = definition
        self._format = definition.format
        self._header = list(header)
        self._first = first
        self._zone = zone

    def state(self) -> Mapping[str, Any]:
        """The header."""
        return {"header": self._header}

    def parse(self, block: bytes, first_line: int, final: bool) -> Parsed:
        """See `Parser.parse`; a record whose quote is open is left unconsumed."""
        lines = split_lines(decoded(block, self._format.encoding, first_line), first_line)
        consumed = len(block)
        record, is_open = _records(lines["text"], self._format.quote)
        if is_open:
            opening = int(np.argmax(record == record[-1]))
            offset = _offset_of_line(block, opening)
            if final or consumed - offset >= _MOST_BYTES:
                # The quote opened nothing: its line stands alone, and all quotes after it change their sense.
                later, _ = _records(lines["text"].slice(opening + 1), self._format.quote)
                record = np.concatenate([record[: opening + 1], later + record[opening] + 1])
            else:
                lines, record, consumed = lines.head(opening), record[:opening], offset
        rows, rejected = self._read(lines.with_columns(record=pl.Series(record, dtype=pl.Int64)))
        return Parsed(rows, rejected, consumed, lines.height)

    def _read(self, lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        split = self._split(lines)
        # Stray quotes may have tied lines together that are records of their own.
        wrong = split.filter((pl.col("lines") > 1) & (pl.col("fields").list.len() != len(self._header)))
        if wrong.height:
            alone = lines.filter(pl.col("record").is_in(wrong["record"].implode()))
            alone = alone.with_columns(record=-pl.int_range(1, alone.height + 1, dtype=pl.Int64))
            others = split.filter(~pl.col("record").is_in(wrong["record"].implode()))
            split = pl.concat([others, self._split(alone)]).sort("_line")
        is_header = pl.lit(self._first) & (pl.col("fields") == pl.lit(self._header, dtype=pl.List(pl.String)))
        is_record = (pl.col("fields").list.len() == len(self._header)) & (pl.col("text").str.strip_chars() != "")
        split = split.with_columns(is_header=is_header, is_record=is_record & ~is_header)
        records = split.filter("is_record")
        frame = records.select(
            pl.col("fields").list.get(index).alias(name) for index, name in enumerate(_named(self._header))
        ).select(pl.when(pl.all() != "").then(pl.all()))
        rows, refused = build_rows(self._definition, records.select("_line", "text"), TableFields(frame), self._zone)
        others = split.filter(~pl.col("is_record"))
        reason = pl.when("is_header").then(pl.lit("header")).otherwise(pl.lit("number of fields"))
        rejected = pl.concat([refused, rejects(others, reason, pl.col("is_header"))])
        return rows, rejected.sort("_line", maintain_order=True)

    def _split(self, lines: pl.DataFrame) -> pl.DataFrame:
        """Records with their `_line`, `text`, number of `lines` and `fields`."""
        records = lines.group_by("record", maintain_order=True).agg(
            pl.col("_line").first(), pl.col("text").str.join("\n"), lines=pl.len()
        )
        return records.with_columns(fields=split_fields(records["text"], self._format))


def split_fields(records: pl.Series, form: CsvFormat) -> pl.Series:
    """The fields of each record, without quotes and without blanks around them."""
    delimiter, quote = pl.escape_regex(form.delimiter), pl.escape_regex(form.quote)
    plain = f"{delimiter}[^{delimiter}]*"
    blanks = "[" + " \t".replace(form.delimiter, "") + "]*"
    quoted = f"{delimiter}{blanks}{quote}(?:[^{quote}]|{quote}{quote})*{quote}[^{delimiter}]*|" if quote else ""
    # With a delimiter in front, every field begins with one, and an empty field is a match too.
    found = (form.delimiter + records).str.extract_all(quoted + plain)
    fields = pl.element().str.slice(1).str.strip_chars()
    if quote:
        inner = fields.str.extract(f"(?s)^{quote}(.*){quote}$")
        unquoted = inner.str.replace_all(form.quote * 2, form.quote, literal=True).str.strip_chars()
        fields = pl.coalesce(unquoted, fields)
    return found.to_frame("fields").select(pl.col("fields").list.eval(fields)).to_series()


def header_of(head: bytes, definition: Definition) -> list[str]:
    """The names of the fields, of an input's first record.

    Raises:
        FormatError: there is no header, or it lacks the field with the timestamp.
    """
    form = definition.format
    assert isinstance(form, CsvFormat)
    if isinstance(form.header, list):
        return form.header
    lines = split_lines(decoded(head, form.encoding, 1), 1)
    record, _ = _records(lines["text"], form.quote)
    text = "\n".join(lines["text"].filter(pl.Series(record == 0, dtype=pl.Boolean)).to_list())
    names: list[str] = split_fields(pl.Series([text]), form)[0].to_list()
    moment = definition.timestamp
    needed = moment.join or moment.path or []
    absent = [name for name in needed if name not in names]
    if absent if moment.join else len(absent) == len(needed):
        raise FormatError(
            f"The first line of the input is no header of the dataset {definition.name}: it has no field "
            f"{' or '.join(repr(name) for name in needed)}; its fields are {', '.join(names)[:200]!r}. "
            f"Check delimiter ({form.delimiter!r}) and encoding ({form.encoding}) of the dataset."
        )
    named = _named(names)
    if len(set(named)) < len(named):
        twice = next(name for name in named if named.count(name) > 1)
        raise FormatError(
            f"The header of the input has the field {twice!r} twice; name all fields in the dataset (format.header = [...])."
        )
    return names


def _named(header: Sequence[str]) -> list[str]:
    """Names of all fields; those without one are counted."""
    return [name or f"field_{index}" for index, name in enumerate(header, start=1)]


def _records(lines: pl.Series, quote: str) -> tuple[np.ndarray[Any, np.dtype[np.int64]], bool]:
    """Which record each line belongs to, from 0, and whether the last one's quote is open.

    A quote inside of quotes is doubled, so that a record ends with the first line after an even number of quotes.
    """
    if not quote:
        return np.arange(len(lines), dtype=np.int64), False
    quotes = lines.str.count_matches(quote, literal=True).cum_sum().to_numpy()
    ends = quotes % 2 == 0
    number = np.cumsum(ends, dtype=np.int64) - ends
    return number, bool(len(ends)) and not bool(ends[-1])


def _offset_of_line(block: bytes, index: int) -> int:
    ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n"))
    return int(ends[index - 1]) + 1 if index else 0
