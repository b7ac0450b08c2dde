"""MapServer: OGC services of the map that the query or the path names."""

import polars as pl

from lakehouse.datasets.access_logs.applications import ogc

# A map is a file, named with its folder and extension, or by the name that the server's configuration gives it.
_MAP = r"(?i)([^/\\]+?)(?:\.map)?$"
_MAP_IN_PATH = r"(?i)^/([^/]+?)(?:\.map)?(?:/(?:ows|wms|wfs|wcs|ogcapi)(?:/.*)?)?/?$"
_SERVICE_IN_PATH = r"(?i)/(wms|wfs|wcs)/?$"
_NO_MAPS = ("ows", "wms", "wfs", "wcs", "ogcapi")


def describe(requests: pl.DataFrame) -> pl.DataFrame:
    """See `applications.Module`. `workspace` is the name of the map."""
    path = pl.col("path")
    in_path = path.str.extract(_MAP_IN_PATH)
    return ogc.read_api(
        requests.with_columns(
            service=pl.coalesce("service", path.str.extract(_SERVICE_IN_PATH)),
            workspace=pl.coalesce(
                pl.col("map").str.extract(_MAP),
                pl.when(~in_path.str.to_lowercase().is_in(_NO_MAPS)).then(in_path),
            ),
        )
    )
