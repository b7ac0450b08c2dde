"""Fields as rows of the user's table."""

from collections.abc import Iterable

import polars as pl

from lakehouse.datasets.base import MAX_REJECT_TEXT, Column
from lakehouse.datasets.custom.definition import ColumnDefinition, CsvFormat, Definition
from lakehouse.datasets.custom.fields import Fields
from lakehouse.datasets.timestamps import timestamp_expr
from lakehouse.datasets.values import typed

BLANK = "blank line"


def table_columns(definition: Definition) -> tuple[Column, ...]:
    """The dataset's columns: `ts`, the user's, `extra`."""
    own = (Column(column.name, column.type, column.doc, column.private) for column in definition.columns)
    return (
        Column("ts", "timestamp", "When it happened, UTC."),
        *own,
        Column("extra", "string", "Fields that have no column, as a JSON object."),
    )


def paths_of(column: ColumnDefinition) -> list[str]:
    """Where a column's value may stand; the first place that is filled counts."""
    return column.path or [column.name]


def every_path(definition: Definition) -> list[str]:
    """All fields that the definition names."""
    moment = definition.timestamp
    places = [*(moment.path or []), *(moment.join or [])]
    if definition.site is not None:
        places += definition.site.path or []
    return list(dict.fromkeys([*places, *(path for column in definition.columns for path in paths_of(column))]))


def build_rows(definition: Definition, lines: pl.DataFrame, fields: Fields, zone: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows and rejects of records.

    Args:
        lines: `_line` and `text` of each record.
        fields: of the same records.
        zone: IANA time zone of timestamps without an offset, where the definition names none.
    """
    taken: dict[str, pl.Series] = {}
    moment = definition.timestamp
    moment_zone = moment.zone or zone
    if moment.join:
        text = (
            pl.DataFrame([fields.text(path).alias(path) for path in moment.join])
            .select(pl.concat_str(pl.all(), separator=" "))
            .to_series()
        )
        chosen = {path: pl.repeat(True, len(text), eager=True) for path in moment.join}
    else:
        text, chosen = _first(fields, moment.path or [])
    ts = _timestamps(text, moment.kind, moment_zone)
    _take(taken, chosen, ts.is_not_null())
    columns, missing = {"ts": ts}, []
    decimal = definition.format.decimal if isinstance(definition.format, CsvFormat) else "."
    for column in definition.columns:
        text, chosen = _first(fields, paths_of(column))
        if column.type == "timestamp":
            values = _timestamps(text, column.kind or moment.kind, column.zone or moment_zone)
        else:
            values = typed(_with_point(text, column.type) if decimal == "," else text, column.type)
        # A value of another type than the column's stays where it is seen: in `extra`.
        _take(taken, chosen, values.is_not_null() | text.is_null())
        columns[column.name] = values
        if not column.optional:
            missing.append(pl.when(values.is_null()).then(pl.lit(f"column {column.name}")))
    columns |= _site(definition, fields, taken, lines.height)
    columns["extra"] = fields.extra(taken)
    reason = pl.coalesce(pl.when(pl.col("ts").is_null()).then(pl.lit("timestamp")), *missing, pl.lit(None, pl.String))
    frame = lines.select("_line", _text="text").with_columns(**columns).with_columns(_reason=reason)
    names = [column.name for column in table_columns(definition)]
    rows = frame.filter(pl.col("_reason").is_null()).select(*names, *(["site"] if "site" in columns else []), "_line")
    refused = frame.filter(pl.col("_reason").is_not_null()).with_columns(text=pl.col("_text"))
    return rows, rejects(refused, pl.col("_reason"), pl.lit(False))


def rejects(lines: pl.DataFrame, reason: pl.Expr, known: pl.Expr) -> pl.DataFrame:
    """Rejects of lines with `_line` and `text`; blank ones are known."""
    blank = pl.col("text").str.strip_chars() == ""
    return lines.select(
        pl.col("_line").cast(pl.Int64),
        pl.when(blank).then(pl.lit(BLANK)).otherwise(reason).alias("reason"),
        pl.col("text").cast(pl.String).str.head(MAX_REJECT_TEXT),
        (blank | known).alias("known"),
    )


def _first(fields: Fields, paths: list[str]) -> tuple[pl.Series, dict[str, pl.Series]]:
    """The first value of each row, and for each path in which rows it is the one."""
    text = fields.text(paths[0])
    chosen = {paths[0]: text.is_not_null()}
    for path in paths[1:]:
        other = fields.text(path)
        chosen[path] = text.is_null() & other.is_not_null()
        text = text.zip_with(text.is_not_null(), other)
    return text, chosen


def _take(taken: dict[str, pl.Series], chosen: dict[str, pl.Series], fits: pl.Series) -> None:
    for path, flags in chosen.items():
        flags = flags & fits
        taken[path] = taken[path] | flags if path in taken else flags


def _timestamps(text: pl.Series, kinds: Iterable[str], zone: str) -> pl.Series:
    frame = text.to_frame("text")
    return frame.select(pl.coalesce(timestamp_expr(pl.col("text"), kind, zone) for kind in kinds)).to_series()


def _with_point(text: pl.Series, column_type: str) -> pl.Series:
    """A number with a decimal comma, groups parted by blanks or points, as a number with a point."""
    if column_type not in ("int", "long", "double"):
        return text
    return text.str.replace_all(r"[\s.]", "").str.replace(",", ".", literal=True)


def _site(definition: Definition, fields: Fields, taken: dict[str, pl.Series], height: int) -> dict[str, pl.Series]:
    """The site of each row, if the definition tells it; null where the loader's value is to be used."""
    if definition.site is None:
        return {}
    if definition.site.path is None:
        return {"site": pl.repeat(definition.site.name, height, dtype=pl.String, eager=True)}
    text, chosen = _first(fields, definition.site.path)
    _take(taken, chosen, text.is_not_null())
    return {"site": text}
