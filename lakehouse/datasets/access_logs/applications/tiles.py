"""Tiles that are named by their path: WMTS in its RESTful encoding, and TMS."""

import polars as pl

# OGC 07-057r7, section 10: layer, perhaps a style, tile matrix set, tile matrix, row, column.
_WMTS = r"^(?:/rest)?/(?P<layer>[^/]+)/(?:[^/]+/)?(?P<grid>[^/]+)/[^/]+/[0-9]+/[0-9]+(?:\.(?P<extension>[A-Za-z0-9]+))?$"
# OSGeo's Tile Map Service 1.0.0: a tile map, named layer@grid@format or layer/grid, then level, column, row.
_TMS = (
    r"^(?:/1\.0\.0)?/(?P<layer>[^/@]+)(?:[@/](?P<grid>[^/@]+))?(?:@[^/@]+)?/[0-9]+/[0-9]+/[0-9]+"
    r"\.(?P<extension>[A-Za-z0-9]+)$"
)
_VECTOR_TILE = "application/vnd.mapbox-vector-tile"
_MEDIA_TYPES = {"jpg": "image/jpeg", "pbf": _VECTOR_TILE, "mvt": _VECTOR_TILE}


def read_tiles(frame: pl.DataFrame, service: str, rest: str) -> pl.DataFrame:
    """Read the tiles among paths into the working columns of `ogc`.

    Args:
        frame: with the working columns.
        service: column with the name that the path gives the service, in lower case: wmts, tms, or any other.
        rest: column with what stands in the path behind that name.
    """
    tile = pl.coalesce(
        pl.when(pl.col(service) == name).then(pl.col(rest).str.extract_groups(pattern))
        for name, pattern in (("wmts", _WMTS), ("tms", _TMS))
    ).struct
    frame = frame.with_columns(
        tile_layer=tile.field("layer"),
        tile_grid=tile.field("grid"),
        tile_extension=tile.field("extension").str.to_lowercase(),
    )
    media_type = pl.col("tile_extension").replace_strict(_MEDIA_TYPES, default=pl.concat_str(pl.lit("image/"), "tile_extension"))
    is_tile = pl.col("tile_layer").is_not_null()
    return frame.with_columns(
        request=pl.when(is_tile).then(pl.lit("GetTile")).otherwise("request"),
        layers=pl.coalesce("tile_layer", "layers"),
        crs=pl.coalesce("tile_grid", "crs"),
        image_format=pl.coalesce("image_format", media_type),
        grid=pl.col("grid") | is_tile,
    )
