"""Blocks of a log as lines, where a crashed host left NUL bytes too."""

import re

import numpy as np
import polars as pl

from lakehouse.datasets.base import MAX_REJECT_TEXT

_BLANK, _MESSAGE, _OUTSIDE = "blank line", "log message", "outside a record"


def split_lines(block: bytes, first_line: int) -> pl.DataFrame:
    """The lines of a block: `_line` (number), `text` (without its end) and `after_nul`.

    A file system that lost a write leaves NUL bytes: what stands before them ends there, even without a newline, and
    what stands behind them begins anew. So NULs split a line; one of nothing but NULs has an empty `text`.
    """
    # A run of them parts as one does, and may be so long that pieces of nothing between them would fill the memory.
    text = (re.sub(b"\0+", b"\0", block) if b"\0" in block else block).decode(errors="backslashreplace")
    if first_line == 1:
        text = text.removeprefix("\ufeff")
    lines = pl.Series("text", [text]).str.split("\n").explode()
    if text.endswith("\n") or not text:
        lines = lines.head(-1)
    frame = lines.str.strip_suffix("\r").to_frame().with_row_index("_line", offset=first_line)
    frame = frame.with_columns(pl.col("_line").cast(pl.Int64), after_nul=pl.lit(False))
    if b"\0" not in block:
        return frame
    pieces = frame.with_columns(pl.col("text").str.split("\0")).explode("text")
    number = pl.int_range(pl.len()).over("_line")
    filled = pl.col("text") != ""
    return (
        pieces.with_columns(after_nul=number > 0)
        .with_columns(alone=~filled.any().over("_line") & (number == 0))
        .filter(filled | pl.col("alone"))
        .drop("alone")
    )


def rejects(lines: pl.DataFrame, reason: pl.Expr, known: pl.Expr) -> pl.DataFrame:
    """Rejects of lines with `_line` and `text`."""
    return lines.select(
        pl.col("_line").cast(pl.Int64),
        reason.cast(pl.String).alias("reason"),
        pl.col("text").cast(pl.String).str.head(MAX_REJECT_TEXT),
        known.cast(pl.Boolean).alias("known"),
    )


def reject_lines(lines: pl.DataFrame, in_message: pl.Expr) -> pl.DataFrame:
    """Rejects of lines that no record wants.

    Args:
        lines: with `_line` and `text`.
        in_message: of lines that belong to a message which is no request; these are known.
    """
    blank = pl.col("text").str.strip_chars("\0 \t\r") == ""
    reason = pl.when(blank).then(pl.lit(_BLANK)).when(in_message).then(pl.lit(_MESSAGE)).otherwise(pl.lit(_OUTSIDE))
    return rejects(lines, reason, blank | in_message)


def count_lines(block: bytes) -> int:
    """Lines in a block, the last one counted even without a newline."""
    return block.count(b"\n") + (bool(block) and not block.endswith(b"\n"))


def offset_of_line(block: bytes, index: int) -> int:
    """Where a line of the block begins, counted from 0."""
    ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n"))
    return int(ends[index - 1]) + 1 if index else 0
