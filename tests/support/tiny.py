"""The smallest dataset that can be loaded: lines `EPOCH_SECONDS TEXT`. Tests of loading need no more."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from lakehouse.datasets.base import Column, ParseContext, Parsed, Rollup, View


class TinyParser:
    def parse(self, block: bytes, first_line: int, final: bool) -> Parsed:
        lines = block.split(b"\n")
        if lines and lines[-1] == b"":
            lines.pop()
        frame = pl.DataFrame(
            {
                "_line": range(first_line, first_line + len(lines)),
                "raw": [line.decode("utf-8", "replace") for line in lines],
            },
            schema={"_line": pl.Int64, "raw": pl.String},
        ).with_columns(
            ts=pl.from_epoch(pl.col("raw").str.extract(r"^(\d{1,10}) ", 1).cast(pl.Int64), "s")
            .dt.cast_time_unit("us")
            .dt.replace_time_zone("UTC"),
            text=pl.col("raw").str.extract(r"^\d{1,10} (.*)$", 1),
        )
        rows = frame.filter(pl.col("ts").is_not_null()).select("_line", "ts", "text")
        bad = frame.filter(pl.col("ts").is_null())
        rejects = bad.select(
            "_line", pl.lit("not EPOCH TEXT").alias("reason"), pl.col("raw").alias("text"), pl.lit(False).alias("known")
        )
        return Parsed(rows, rejects, len(block), len(lines))

    def state(self) -> Mapping[str, Any]:
        return {}


class TinyDataset:
    name = "tiny"
    doc = "A dataset for tests."
    columns = (Column("ts", "timestamp", "When."), Column("text", "string", "What."))
    views: tuple[View, ...] = ()
    rollups: tuple[Rollup, ...] = ()
    line_based = True
    site: str | None = None

    def validate_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        return options

    def open_parser(self, head: bytes, context: ParseContext, state: Mapping[str, Any] | None) -> TinyParser:
        return TinyParser()


TINY = TinyDataset()
DAY = 86_400


def lines(count: int, start: int = 0, step: int = 3600, text: str = "x") -> bytes:
    """Lines `step` seconds apart from `start` on, each with its number in the text."""
    return b"".join(b"%d %s%d\n" % (start + index * step, text.encode(), index) for index in range(count))
