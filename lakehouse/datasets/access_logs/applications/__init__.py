"""Which application a request was for, and what its module reads from path and query."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from lakehouse.datasets.access_logs.applications import (
    data_api,
    generic,
    geonetwork,
    geoserver,
    mapproxy,
    mapserver,
    mapstore,
    ogc,
)
from lakehouse.datasets.access_logs.encoded import encode

Module = Callable[[pl.DataFrame], pl.DataFrame]
"""Fills in the working columns of `ogc` by what `path` (behind the application's prefix, decoded) says of each row."""

MODULES: Mapping[str, Module] = {
    "geoserver": geoserver.describe,
    "geonetwork": geonetwork.describe,
    "mapserver": mapserver.describe,
    "mapproxy": mapproxy.describe,
    "mapstore": mapstore.describe,
    "data_api": data_api.describe,
    "generic": generic.describe,
}
"""Modules by the name that settings use; `generic` names an application of which nothing more is known."""


@dataclass(frozen=True)
class Application:
    """An application's name, as rows carry it, and the module that reads its requests."""

    name: str
    module: str


DEFAULT_APPLICATIONS: Mapping[str, Application] = {
    "geoserver": Application("geoserver", "geoserver"),
    "geonetwork": Application("geonetwork", "geonetwork"),
    "mapserver": Application("mapserver", "mapserver"),
    "mapserv": Application("mapserver", "mapserver"),
    "cgi-bin/mapserv": Application("mapserver", "mapserver"),
    "cgi-bin/mapserv.exe": Application("mapserver", "mapserver"),
    "cgi-bin/mapserv.fcgi": Application("mapserver", "mapserver"),
    "mapproxy": Application("mapproxy", "mapproxy"),
    "mapstore": Application("mapstore", "mapstore"),
    "data": Application("data", "data_api"),
}
"""Path prefix to application, without settings."""

ROOT = "/"
"""Name of the application that serves what lies in no folder."""

_FOLDER = r"^/+([A-Za-z0-9_~-]{1,64})/"


def describe(path: pl.Series, query: pl.Series, applications: Mapping[str, Application]) -> pl.DataFrame:
    """Application and module fields of requests.

    Args:
        path: decoded; null where the request is malformed.
        query: raw, null if there is none.
        applications: path prefix to application; of two that fit, the longer one counts.

    Returns:
        `application` and `ogc.FIELDS`, row by row. Elsewhere than below the prefixes, `application` is the first
        segment of the path if something follows it and it has no dot (`/blog/a.html` is `blog`; `/index.html`,
        `/about` and `/robots.txt` are `/`: page and file names are no applications), and the fields are null.
    """
    paths = encode(path)
    application = paths.values.str.extract(_FOLDER).fill_null(ROOT).gather(paths.positions).alias("application")
    prefixes = "|".join(re.escape(prefix) for prefix in sorted(applications, key=len, reverse=True))
    split = paths.values.str.extract_groups(rf"(?s)^/+(?P<prefix>{prefixes})(?P<path>[/;].*)?$").struct.unnest()
    rows = split["prefix"].is_not_null().gather(paths.positions).fill_null(False).arg_true()
    if rows.is_empty():
        return application.to_frame().with_columns(ogc.no_fields())
    queries = encode(ogc.known_parameters(query.gather(rows)))
    # What is asked for over and over, but for the place on the map and the like, is read once.
    count = max(len(queries.values), 1)
    requests = encode(paths.positions.gather(rows).cast(pl.Int64()) * count + queries.positions)
    of_path, of_query = np.divmod(requests.values.to_numpy(), count)
    parameters = ogc.read_parameters(queries.values).select(pl.all().gather(of_query))
    distinct = split.select("prefix", pl.col("path").fill_null("")).select(pl.all().gather(of_path)).hstack(parameters)
    numbers = pl.repeat(None, len(path), dtype=pl.Int32(), eager=True).scatter(rows, requests.positions)
    found = describe_distinct(distinct, applications).select(pl.all().gather(numbers))
    return found.with_columns(found["application"].fill_null(application))


def describe_distinct(requests: pl.DataFrame, applications: Mapping[str, Application]) -> pl.DataFrame:
    """`application` and `ogc.FIELDS` of distinct requests: `prefix`, the `path` behind it, and working columns."""
    requests = requests.with_row_index("number").with_columns(
        application=pl.col("prefix").replace_strict({key: value.name for key, value in applications.items()}),
        module=pl.col("prefix").replace_strict({key: value.module for key, value in applications.items()}),
    )
    parts = [
        MODULES[module](part).select("number", "application", *ogc.WORKING)
        for (module,), part in requests.partition_by("module", as_dict=True).items()
    ]
    return ogc.finish(pl.concat(parts).sort("number"), "application")
