"""GeoServer: OGC services by query and by path, its tile cache GeoWebCache, OGC API."""

import polars as pl

from lakehouse.datasets.access_logs.applications import ogc
from lakehouse.datasets.access_logs.applications.tiles import read_tiles

# A virtual service is /workspace/wms or /workspace/layer/wms; GeoWebCache answers below gwc/service.
_SERVICE = (
    r"(?i)^(?:/(?P<workspace>[^/]+)(?:/(?P<layer>[^/]+))??)??/(?P<cache>gwc/service/)?"
    r"(?P<service>ows|wms|wfs|wcs|wps|csw|wmts|tms|gmaps)(?P<rest>/.*)?$"
)
_NO_WORKSPACES = ("gwc", "rest", "web", "www", "ogc", "styles", "openlayers", "openlayers3")


def describe(requests: pl.DataFrame) -> pl.DataFrame:
    """See `applications.Module`. `workspace` comes from the path, else from the first layer's prefix."""
    found = requests["path"].str.extract_groups(_SERVICE).struct.unnest().select(pl.all().name.prefix("path_"))
    virtual = ~pl.col("path_workspace").str.to_lowercase().is_in(_NO_WORKSPACES).fill_null(False)
    found = found.select(pl.when(virtual).then(pl.all())).with_columns(pl.col("path_service").str.to_lowercase())
    service, rest = pl.col("path_service"), pl.col("path_rest")
    frame = requests.with_columns(found).with_columns(
        # `ows` answers for any service.
        service=pl.coalesce("service", pl.when(service != "ows").then(service)),
        request=pl.coalesce(
            "request",
            pl.when(rest.str.starts_with("/reflect")).then(pl.lit("GetMap")),
            pl.when(service == "gmaps").then(pl.lit("GetTile")),
        ),
        layers=pl.coalesce("layers", "path_layer"),
        workspace="path_workspace",
        grid=pl.col("path_cache").is_not_null(),
    )
    return ogc.read_api(read_tiles(frame, "path_service", "path_rest"))
