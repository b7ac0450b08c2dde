"""An application of which nothing more is known than its name."""

import polars as pl

from lakehouse.datasets.access_logs.applications import ogc


def describe(requests: pl.DataFrame) -> pl.DataFrame:
    """See `applications.Module`. Every field is null."""
    return ogc.only(requests)
