"""MapProxy: WMS at /service, tiles by path, several configurations side by side."""

import polars as pl

from lakehouse.datasets.access_logs.applications.tiles import read_tiles

_SERVICE = r"(?i)^(?:/(?P<workspace>[^/]+))??/(?P<service>service|wms|wmts|tms|tiles|kml|ows)(?P<rest>/.*)?$"


def describe(requests: pl.DataFrame) -> pl.DataFrame:
    """See `applications.Module`. `workspace` is the configuration's name where several are served."""
    found = requests["path"].str.extract_groups(_SERVICE).struct.unnest().select(pl.all().name.prefix("path_"))
    # /tiles answers as /tms does, with the origin in another corner.
    service = pl.col("path_service").str.to_lowercase().replace("tiles", "tms")
    frame = requests.with_columns(found.with_columns(service)).with_columns(
        service=pl.coalesce("service", pl.when(~pl.col("path_service").is_in(["service", "ows"])).then("path_service")),
        workspace="path_workspace",
    )
    return read_tiles(frame, "path_service", "path_rest")
