"""Columns of the dataset, and under which names the log has them."""

from collections.abc import Mapping

import polars as pl

from lakehouse.datasets.api_logs.lines import rejects
from lakehouse.datasets.base import Column
from lakehouse.datasets.json_records import JsonPath, dotted_paths, leftovers, values_at
from lakehouse.datasets.timestamps import timestamp_expr
from lakehouse.datasets.values import typed

_RANKS = range(2, 6)

COLUMNS = (
    Column("ts", "timestamp", "When the API answered, UTC."),
    Column("level", "string", "Level of the log line, such as INFO."),
    Column("endpoint", "string", "Path of the API that was called."),
    Column("query_text", "string", "Text to be coded, as it was sent.", private=True),
    Column("query_type", "string", "Type of the form the text comes from."),
    Column("query_nature", "string", "Nature of the activity."),
    Column("query_surface", "string", "Surface of the place of activity, as it was sent."),
    Column("query_event", "string", "Event that the form declares."),
    Column("max_proposals", "int", "Number of proposals asked for at most."),
    Column("min_probability", "double", "Lowest probability of a proposal asked for, 0 to 1."),
    Column("code", "string", "Code of the best proposal."),
    Column("label", "string", "Label of the best proposal."),
    Column("probability", "double", "Probability of the best proposal, 0 to 1."),
    Column("confidence", "double", "Confidence index of the answer; 0 to 1, but some versions exceed 1."),
    *(
        Column(f"{name}_{rank}", kind, f"{doc} of proposal number {rank}.")
        for rank in _RANKS
        for name, kind, doc in (
            ("code", "string", "Code"),
            ("label", "string", "Label"),
            ("probability", "double", "Probability (0 to 1)"),
        )
    ),
    Column("status", "int", "HTTP status of the answer."),
    Column("response_time_ms", "double", "Time to answer, milliseconds."),
    Column("extra", "string", "Everything else in the record, as a JSON object."),
)

_DOTTED_NAMES: Mapping[str, tuple[str, ...]] = {
    "ts": ("Timestamp", "timestamp", "ts", "time", "@timestamp", "asctime"),
    "level": ("LogLevel", "level", "levelname", "severity"),
    "endpoint": ("endpoint", "Endpoint", "path", "route"),
    "query_text": ("Query.text_description", "Query.description_activity", "Query.text_feature", "Query.text"),
    "query_type": ("Query.type_", "Query.type_liasse", "Query.type_form", "Query.type"),
    "query_nature": ("Query.nature",),
    "query_surface": ("Query.surface",),
    "query_event": ("Query.event",),
    "max_proposals": ("Query.nb_echos_max", "Query.top_k"),
    "min_probability": ("Query.prob_min",),
    "code": ("Response.1.code",),
    "label": ("Response.1.libelle",),
    "probability": ("Response.1.probabilite",),
    "confidence": ("Response.IC",),
    **{f"code_{rank}": (f"Response.{rank}.code",) for rank in _RANKS},
    **{f"label_{rank}": (f"Response.{rank}.libelle",) for rank in _RANKS},
    **{f"probability_{rank}": (f"Response.{rank}.probabilite",) for rank in _RANKS},
    "status": ("status", "status_code", "Status"),
    "response_time_ms": ("response_time_ms", "duration_ms"),
}
"""Names of each column in the log; the first one that holds a value is taken, the others go to `extra`."""

ORIGINAL_NAMES: Mapping[str, str] = {column.name: _DOTTED_NAMES[column.name][0] for column in COLUMNS[:-1]}
"""Column to the dotted name that flattening the log's own records gives, for `publish --names original`."""

_REQUEST_COLUMNS = tuple(name for name, names in _DOTTED_NAMES.items() if names[0].startswith(("Query.", "Response.")))
_REQUEST_PATHS: tuple[JsonPath, ...] = (("Query",), ("Response",))

NO_REQUEST, BAD_TIMESTAMP = "no request", "timestamp"


def fields(objects: pl.Series, zone: str, timestamps: pl.Series | None = None, levels: pl.Series | None = None) -> pl.DataFrame:
    """The dataset's columns of some records, and `_reason`: why one is none, else null.

    Args:
        objects: JSON objects from `json_records.read_objects`, without nulls.
        zone: IANA time zone of timestamps without an offset.
        timestamps: texts that stand before the objects; null: they are keys of the objects, like the levels.
        levels: see `timestamps`.
    """
    given = {"ts": timestamps, "level": levels}
    sources = {
        name: [path for dotted in names for path in dotted_paths(dotted)]
        for name, names in _DOTTED_NAMES.items()
        if given.get(name) is None
    }
    every_path = list(dict.fromkeys([*(path for paths in sources.values() for path in paths), *_REQUEST_PATHS]))
    raw = values_at(objects, every_path)
    found = {path: raw[str(index)] for index, path in enumerate(every_path)}
    columns: dict[str, pl.Series] = {}
    taken: dict[JsonPath, pl.Series] = {}
    for column in COLUMNS[:-1]:
        text = given.get(column.name)
        if text is None:
            text, chosen = _first(found, sources[column.name])
        else:
            chosen = {}
        values = _timestamps(text, zone) if column.name == "ts" else typed(text, column.type)
        # A value of another type than the column's stays where it is seen: in `extra`.
        lost = values.is_null() & text.is_not_null()
        taken |= {path: flags & ~lost for path, flags in chosen.items()}
        columns[column.name] = values.alias(column.name)
    columns["extra"] = leftovers(objects, taken)
    frame = pl.DataFrame(columns)
    request = pl.any_horizontal(pl.col(_REQUEST_COLUMNS).is_not_null())
    nested = pl.any_horizontal(pl.lit(found[path].is_not_null()) for path in _REQUEST_PATHS)
    return frame.with_columns(
        pl.when(~(request | nested))
        .then(pl.lit(NO_REQUEST))
        .when(pl.col("ts").is_null())
        .then(pl.lit(BAD_TIMESTAMP))
        .alias("_reason")
    )


def _first(found: Mapping[JsonPath, pl.Series], paths: list[JsonPath]) -> tuple[pl.Series, dict[JsonPath, pl.Series]]:
    """The first value of each row, and for each path in which rows it is not needed any more: taken, or null."""
    text = found[paths[0]]
    chosen = {paths[0]: pl.repeat(True, len(text), eager=True)}
    for path in paths[1:]:
        chosen[path] = text.is_null() | found[path].is_null()
        text = text.zip_with(text.is_not_null(), found[path])
    return text, chosen


def _timestamps(text: pl.Series, zone: str) -> pl.Series:
    """ISO 8601, or numbers since 1970, whose unit the number of digits tells for the years 1973 to 2286."""
    digits = pl.col("text").str.strip_chars().str.extract(r"^([0-9]+)(?:\.[0-9]*)?$").str.len_bytes()
    kinds = {kind: timestamp_expr(pl.col("text"), kind) for kind in ("epoch_s", "epoch_ms", "epoch_us")}
    return (
        text.to_frame("text")
        .select(
            pl.when(digits.is_null())
            .then(timestamp_expr(pl.col("text"), "iso8601", zone))
            .when(digits <= 10)
            .then(kinds["epoch_s"])
            .when(digits <= 13)
            .then(kinds["epoch_ms"])
            .otherwise(kinds["epoch_us"])
        )
        .to_series()
    )


def split_rows(lines: pl.DataFrame, values: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows and rejects of records.

    Args:
        lines: `_line` and `text` of each record.
        values: from `fields`.
    """
    read = pl.concat([lines, values], how="horizontal")
    rows = read.filter(pl.col("_reason").is_null()).select(*(column.name for column in COLUMNS), "_line")
    refused = read.filter(pl.col("_reason").is_not_null())
    return rows, rejects(refused, pl.col("_reason"), pl.col("_reason") == NO_REQUEST)
