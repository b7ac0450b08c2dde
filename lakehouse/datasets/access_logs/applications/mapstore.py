"""MapStore: a map viewer. What it draws is asked of other servers; its own answers are maps, searches and prints."""

import polars as pl

from lakehouse.datasets.access_logs.applications import ogc

_REQUESTS = {
    r"^/proxy\b": "Proxy",
    r"^/(?:pdf|print)/[^/]+\.printout$": "Print",
    r"^/rest/geostore/data/[0-9]+": "GetResource",
    r"^/rest/geostore/(?:extjs/search|resources|categories|misc)\b": "Search",
}
"""Path to what MapStore's own server was asked for; the first that fits counts."""


_REQUEST = pl.coalesce(pl.when(pl.col("path").str.contains(pattern)).then(pl.lit(name)) for pattern, name in _REQUESTS.items())
_IS_DOWNLOAD = pl.col("request").eq_missing(pl.lit("Print"))


def describe(requests: pl.DataFrame) -> pl.DataFrame:
    """See `applications.Module`. A finished print is a download."""
    return ogc.only(requests, request=_REQUEST).with_columns(is_download=_IS_DOWNLOAD)
