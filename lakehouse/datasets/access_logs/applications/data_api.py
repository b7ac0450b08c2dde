"""A data API: collections of features by the paths of OGC API, at any depth."""

import polars as pl

from lakehouse.datasets.access_logs.applications import ogc

_ROOT = r"(?i)/(?:ogc/[a-z]+|ogcapi|wfs3)(?:/|$)"


def describe(requests: pl.DataFrame) -> pl.DataFrame:
    """See `applications.Module`. Collections below another root, such as `/api/collections`, are read all the same."""
    path = pl.col("path")
    rooted = path.str.replace(r"(?i)^.*?/collections(/|$)", "/ogcapi/collections$1")
    frame = requests.with_columns(path=pl.when(path.str.contains(_ROOT)).then("path").otherwise(rooted))
    return ogc.read_api(frame)
