"""A format given by a regular expression."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from lakehouse.datasets.access_logs.fields import Field, RawBlock, only_rejects, raw_frame, rows_and_rejects
from lakehouse.datasets.access_logs.lines import Block
from lakehouse.datasets.base import ParseContext


@dataclass(frozen=True)
class PatternFormat:
    """Lines that a regular expression takes apart.

    Args:
        name: the format's name or directive.
        pattern: in the syntax of Rust's regex crate, anchored at both ends; each field is a group by its place.
        fields: what the groups mean, in their order; the group of at least one timestamp always takes part in a match.
    """

    name: str
    pattern: str
    fields: Mapping[str, Field]

    def parse(self, block: bytes, first_line: int, context: ParseContext) -> RawBlock:
        """Parse whole lines; see `Format`."""
        lines = Block(block).lines(first_line)
        groups = pl.col("text").str.extract_groups(self.pattern).struct.rename_fields(list(self.fields))
        values = lines.select("_line", groups.alias("groups")).unnest("groups")
        times = [name for name, field in self.fields.items() if field.target == "ts"]
        matched = values.select(pl.any_horizontal(pl.col(name).is_not_null() for name in times)).to_series()
        if not matched.any():  # as when an input of another format is looked at
            return only_rejects(lines, self.name)
        return rows_and_rejects(raw_frame(values, self.fields, context), lines, matched, self.name)
