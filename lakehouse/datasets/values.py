"""Text as values of a dataset's column types."""

import polars as pl

from lakehouse.datasets.base import COLUMN_TYPES
from lakehouse.datasets.json_records import string_lists
from lakehouse.datasets.timestamps import timestamp_expr

_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "y", "oui", "vrai"), True),
    **dict.fromkeys(("false", "0", "no", "n", "non", "faux"), False),
}


def typed(text: pl.Series, column_type: str, zone: str = "UTC") -> pl.Series:
    """Text as values of one column type; null where it is none.

    Args:
        text: numbers with a decimal point; a list as a JSON array; dates and timestamps in ISO 8601.
        column_type: a key of `COLUMN_TYPES`.
        zone: IANA time zone of timestamps without an offset.
    """
    kind = COLUMN_TYPES[column_type]
    if column_type == "string":
        return text
    if column_type == "list<string>":
        return string_lists(text)
    trimmed = text.str.strip_chars()
    if column_type in ("int", "long"):
        whole = trimmed.str.strip_prefix("+").cast(pl.Int64, strict=False)
        # JSON has one kind of number: 5.0 is as whole as 5.
        number = trimmed.cast(pl.Float64, strict=False)
        exact = number.is_finite() & (number == number.floor()) & (number.abs() < 2**53)
        return whole.zip_with(whole.is_not_null() | ~exact.fill_null(False), number.cast(pl.Int64, strict=False)).cast(
            kind, strict=False
        )
    if column_type == "double":
        number = trimmed.cast(pl.Float64, strict=False)
        # A single NaN makes a NaN of every sum over the column.
        return number.set(~number.is_finite(), None)
    if column_type == "boolean":
        return trimmed.str.to_lowercase().replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
    if column_type == "date":
        # A date is what was written, in whatever zone.
        return (
            text.to_frame("text")
            .select(timestamp_expr(pl.col("text").str.strip_chars().str.head(10), "iso8601"))
            .to_series()
            .dt.date()
        )
    return text.to_frame("text").select(timestamp_expr(pl.col("text"), "iso8601", zone)).to_series()
