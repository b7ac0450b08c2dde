"""The parser of access logs: blocks of bytes to rows, by one format."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from lakehouse.compiled import library
from lakehouse.datasets.access_logs.columns import ROW_SCHEMA
from lakehouse.datasets.access_logs.combined import CombinedFormat
from lakehouse.datasets.access_logs.enrich import Enricher
from lakehouse.datasets.access_logs.fields import Format, RawBlock
from lakehouse.datasets.access_logs.formats import COMBINED, detected_format, known_reason, named_format
from lakehouse.datasets.access_logs.lines import Block
from lakehouse.datasets.access_logs.native import NativeEncoder
from lakehouse.datasets.base import MAX_REJECT_TEXT, REJECT_SCHEMA, ParseContext, Parsed


class AccessLogParser:
    """Parses blocks of one input; see `Parser`.

    Args:
        context: of the input.
        chosen: name or directive of the format; None if the input's beginning does not tell.
    """

    def __init__(self, context: ParseContext, chosen: str | None) -> None:
        self._context = context
        self._chosen = chosen
        self._enricher = Enricher(context)
        self._format: Format = COMBINED if chosen is None else named_format(chosen)
        native = library() if isinstance(self._format, CombinedFormat) else None
        self._native = NativeEncoder(native, self._enricher.applications, self._enricher.privacy) if native else None

    def parse(self, block: bytes, first_line: int, final: bool) -> Parsed:
        """Parse a block; see `Parser`. Lines are records, so all of the block is consumed, whether final or not."""
        raw = self.parse_raw(block, first_line)
        rejects = _with_known_reasons(raw.rejects)
        lines = raw.rows.height + rejects.height
        return Parsed(self._enricher.enrich(raw.rows), rejects, consumed=len(block), lines=lines)

    def parse_encoded(self, block: bytes, first_line: int, final: bool) -> Parsed:
        """The same as `parse`, but the usual lines are cut by the compiled library and stay encoded, where there is one."""
        if self._native is None or not isinstance(self._format, CombinedFormat):
            return self.parse(block, first_line, final)
        encoded, others = self._native.encode(block, first_line)
        if encoded.height < len(others):  # of another kind than the library knows, such as with virtual hosts
            return self.parse(block, first_line, final)
        numbers, begins, ends = others.T
        text = memoryview(block)
        rest = b"".join(text[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True))
        lines = Block(rest).lines(0).with_columns(pl.Series("_line", numbers))
        raw = self._format.parse_lines(lines, self._context)
        rejects = _with_known_reasons(raw.rejects)
        rows = pl.DataFrame(schema=ROW_SCHEMA) if raw.rows.is_empty() else self._enricher.enrich(raw.rows)
        return Parsed(rows, rejects, len(block), encoded.height + len(others), encoded)

    def parse_raw(self, block: bytes, first_line: int) -> RawBlock:
        """What the format says of a block, before anything is derived from it."""
        return self._format.parse(block, first_line, self._context)

    def state(self) -> Mapping[str, Any]:
        """The format, by its name or directive; null while it is open."""
        return {"format": self._chosen}


def open_parser(head: bytes, context: ParseContext, state: Mapping[str, Any] | None) -> AccessLogParser:
    """The parser of an input; see `Dataset.open_parser`.

    Raises:
        FormatError: no format fits the first bytes.
        SettingsError: the format asked for does not exist.
    """
    chosen = context.format or (state or {}).get("format")
    if chosen is None:
        found = detected_format(head, context)
        chosen = found.name if found else None
    return AccessLogParser(context, chosen)


def _with_known_reasons(rejects: pl.DataFrame) -> pl.DataFrame:
    if rejects.is_empty():
        return pl.DataFrame(schema=REJECT_SCHEMA)
    return (
        rejects.with_columns(known_reason(pl.col("text")).alias("known_reason"))
        .with_columns(
            pl.coalesce("known_reason", "reason").alias("reason"),
            pl.col("text").str.head(MAX_REJECT_TEXT),
            pl.col("known_reason").is_not_null().alias("known"),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in REJECT_SCHEMA.items())
    )
