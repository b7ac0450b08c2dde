"""What the standards of the Open Geospatial Consortium have in common, as requests in logs use them.

Requests are read in three steps: `read_parameters` makes working columns of the query, the application's module and
`read_api` fill in what the path says, `finish` makes `FIELDS` of them.

Expressions are made once, with the module: for a block with few new requests that takes longer than evaluating them.
"""

from collections.abc import Mapping

import polars as pl

from lakehouse.datasets.access_logs.urls import percent_decode

FIELDS: Mapping[str, pl.DataType] = {
    "service": pl.String(),
    "request": pl.String(),
    "layers": pl.List(pl.String()),
    "workspace": pl.String(),
    "crs": pl.String(),
    "image_format": pl.String(),
    "image_width": pl.Int32(),
    "image_height": pl.Int32(),
    "tiled": pl.Boolean(),
    "is_download": pl.Boolean(),
    "record_uuid": pl.String(),
}
"""What an application's module tells of a request, in order."""

_PARAMETERS: Mapping[str, str] = {
    "service": "service",
    "request": "request",
    "layers": "layers?|typenames?|coverage(?:id)?|query_layers",
    "crs": "crs|srs|srsname|outputcrs|tilematrixset",
    "image_format": "format|outputformat",
    "image_width": "width",
    "image_height": "height",
    "tiled": "tiled",
    "result_type": "resulttype",
    "f": "f",
    "map": "map",
    "uuid": "_?uuid",
    "id": "id",
}
"""Working column to the names of the parameters that fill it; the first one in the query counts."""

PARAMETERS = len(_PARAMETERS)
"""Working columns that parameters fill."""

_NOT_IN_QUERY: Mapping[str, pl.Expr] = {
    "workspace": pl.lit(None, pl.String()),
    "record_uuid": pl.lit(None, pl.String()),
    "is_download": pl.lit(False),
    "grid": pl.lit(False),
}

WORKING: Mapping[str, pl.DataType] = dict.fromkeys([*_PARAMETERS, "workspace", "record_uuid"], pl.String()) | dict.fromkeys(
    ["is_download", "grid"], pl.Boolean()
)
"""Working columns: text as it was asked for, whether that is data, and whether it is one tile of a grid."""

_UNKNOWN: Mapping[str, pl.Expr] = {name: pl.lit(None, data_type) for name, data_type in WORKING.items()}

_PARAMETER = r"(?i)(?:^|[&?;])(?:{})=([^&]+)"
"""`&amp;` copied from a page's source, and a second `?`, part parameters too."""

_KNOWN = _PARAMETER.format("|".join(_PARAMETERS.values())).replace("([^&]+)", "[^&]+")

_EXTRACTED = {name: pl.col("query").str.extract(_PARAMETER.format(names)) for name, names in _PARAMETERS.items()}

_OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "WMS": ("GetMap", "GetFeatureInfo", "GetLegendGraphic", "DescribeLayer", "GetStyles"),
    "WFS": (
        "GetFeature",
        "GetFeatureWithLock",
        "GetPropertyValue",
        "GetGmlObject",
        "DescribeFeatureType",
        "LockFeature",
        "Transaction",
        "ListStoredQueries",
        "DescribeStoredQueries",
        "CreateStoredQuery",
        "DropStoredQuery",
    ),
    "WMTS": ("GetTile",),
    "WCS": ("GetCoverage", "DescribeCoverage", "DescribeEOCoverageSet"),
    "WPS": ("Execute", "DescribeProcess", "GetStatus", "GetResult", "Dismiss", "GetExecutionStatus"),
    "CSW": ("GetRecords", "GetRecordById", "DescribeRecord", "GetDomain", "Harvest"),
}
"""Operations by the service that they belong to, in the case of their standards."""

_SERVICE_OF: Mapping[str, str] = {name: service for service, names in _OPERATIONS.items() for name in names}
_CANONICAL: Mapping[str, str] = {name.lower(): name for name in _SERVICE_OF} | {
    "getcapabilities": "GetCapabilities",
    # WMS 1.0.0 has its own names.
    "capabilities": "GetCapabilities",
    "map": "GetMap",
    "feature_info": "GetFeatureInfo",
}

_DATA_OPERATIONS = ("GetFeature", "GetFeatureWithLock", "GetPropertyValue", "GetCoverage", "Execute")
_DATA_FORMATS = r"pdf|tiff|zip|shape|csv|excel|xlsx|openxml|ooxml|ods|gpkg|geopackage|mbtiles|kml|kmz|dxf|postscript|netcdf"
_NAME = r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$"
_EPSG = (
    r"(?i)^(?:urn:(?:x-)?ogc:def:crs:epsg:[^:]*:|https?://www\.opengis\.net/def/crs/epsg/[^/]+/"
    r"|https?://www\.opengis\.net/gml/srs/epsg\.xml#|epsg::?)([0-9]+)$"
)

_API = (
    r"(?i)^(?:/(?P<workspace>[^/]+))*?/(?P<root>ogc/(?P<part>features|maps|tiles|styles|coverages|processes|records)"
    r"(?:/v[0-9.]+)?|ogcapi|wfs3)(?P<rest>/.*)?$"
)
_RESOURCES: Mapping[str, str] = {
    r"^/?$": "LandingPage",
    r"^/conformance/?$": "Conformance",
    r"^/(?:api|openapi)\b": "API",
    r"/tiles(?:/[^/]+){4}$": "Tile",
    r"/(?:tiles|tilematrixsets)\b": "Tiles",
    r"^/collections/?$": "Collections",
    r"^/collections/[^/]+/?$": "Collection",
    r"^/collections/[^/]+/items(?:\.[a-z]+)?/?$": "Items",
    r"^/collections/[^/]+/items/": "Item",
    r"^/collections/[^/]+/(?:queryables|schema)\b": "Queryables",
    r"/map(?:\.[a-z]+)?$": "Map",
    r"/coverage\b": "Coverage",
    r"/styles\b": "Styles",
    r"^/processes/[^/]+/execution$": "Execution",
    r"^/processes\b": "Processes",
    r"^/jobs\b": "Jobs",
}
"""Rest of an OGC API path to the name of the resource; the first that fits counts."""

_RESOURCE = pl.coalesce(
    pl.when(pl.col("api_rest").fill_null("").str.contains(pattern)).then(pl.lit(name)) for pattern, name in _RESOURCES.items()
).alias("resource")
_API_COLUMNS = {name: f"api_{name}" for name in ("workspace", "root", "part", "rest")}

_PART_OF: Mapping[str, str] = {
    "Items": "Features",
    "Item": "Features",
    "Queryables": "Features",
    "Tile": "Tiles",
    "Tiles": "Tiles",
    "Map": "Maps",
    "Coverage": "Coverages",
    "Styles": "Styles",
    "Execution": "Processes",
    "Processes": "Processes",
    "Jobs": "Processes",
}
"""Part of the standard that a resource belongs to, where the path does not say."""

_PART = pl.coalesce(
    pl.col("api_part").str.to_titlecase(),
    pl.col("resource").replace_strict(_PART_OF, default=None, return_dtype=pl.String()),
)
_WHOLE = pl.col("resource").eq("Items") & ~pl.col("f").str.to_lowercase().str.contains("html", literal=True)
_IF_API = pl.when(pl.col("api_root").is_not_null())
_READ: Mapping[str, pl.Expr] = {
    "service": _IF_API.then(pl.concat_str(pl.lit("OGCAPI"), _PART, separator="-", ignore_nulls=True)).otherwise("service"),
    "request": _IF_API.then("resource").otherwise("request"),
    "layers": _IF_API.then(pl.col("api_rest").fill_null("").str.extract(r"^/collections/([^/]+)")).otherwise("layers"),
    "workspace": pl.coalesce("workspace", "api_workspace"),
    "image_format": _IF_API.then(pl.coalesce("f", "image_format")).otherwise("image_format"),
    "grid": _IF_API.then(pl.col("resource").eq("Tile").fill_null(False)).otherwise("grid"),
    "is_download": pl.col("is_download") | _WHOLE.fill_null(False),
}


def known_parameters(query: pl.Series) -> pl.Series:
    """Queries reduced to the parameters that are read, which leaves few distinct ones; "" for none."""
    # A value ends at an ampersand, and what is left out may have been one.
    return query.str.extract_all(_KNOWN).list.join("&").fill_null("")


def read_parameters(query: pl.Series) -> pl.DataFrame:
    """The working columns, filled from parameters (OGC 06-042, section 6.8), percent-decoded.

    Args:
        query: raw, not null.
    """
    return _working(_extracted(query))


def parameters_of(values: list[pl.Series]) -> pl.DataFrame:
    """The same of queries that the compiled library has read.

    Args:
        values: by the parameters' working columns, "" for none; of a query that the library does not read, which it gives in
            place of the first, the others are null.
    """
    unread = values[1].is_null().arg_true()
    if not unread.is_empty():
        found = _extracted(known_parameters(values[0].gather(unread).fill_null("")))
        values = [value.scatter(unread, own) for value, own in zip(values, found, strict=True)]
    return _working(values)


def _extracted(query: pl.Series) -> list[pl.Series]:
    return query.to_frame("query").select(**_EXTRACTED).get_columns()


def _working(values: list[pl.Series]) -> pl.DataFrame:
    """The working columns of values as they stand in queries, null or "" for none."""
    # All columns as one: that saves many small steps.
    joined = pl.concat([value.alias("") for value in values])
    decoded = percent_decode(joined.zip_with(joined != "", pl.Series([None], dtype=pl.String())))
    rows = len(values[0])
    return pl.DataFrame([decoded.slice(place * rows, rows).alias(name) for place, name in enumerate(_PARAMETERS)]).with_columns(
        **_NOT_IN_QUERY
    )


def read_api(frame: pl.DataFrame) -> pl.DataFrame:
    """Read the paths of OGC API (`/ogc/features/v1/collections/parks/items`) into the working columns.

    `service` becomes `OGCAPI-` and the part of the standard, `request` the name of the resource. A whole collection in
    a format of its own (`f=`, and no page) is a download.
    """
    found = frame["path"].str.extract_groups(_API).struct.unnest()
    if found["root"].null_count() == frame.height:
        return frame
    return frame.hstack(found.rename(_API_COLUMNS)).with_columns(_RESOURCE).with_columns(**_READ)


_WORDS = pl.col("layers").str.replace_all(r"[()]", ",").str.split(",")
_REQUEST = pl.col("request").str.extract(f"({_NAME})")
_TIDIED: Mapping[str, pl.Expr] = {
    "service": pl.col("service").str.extract(f"({_NAME})"),
    "request": _REQUEST.str.to_lowercase().replace_strict(_CANONICAL, default=_REQUEST),
    "layers": _WORDS.list.eval(pl.element().str.strip_chars().filter(pl.element().str.strip_chars() != "")),
    "image_format": pl.col("image_format").str.strip_chars().str.to_lowercase(),
    "crs": pl.coalesce(pl.concat_str(pl.lit("EPSG:"), pl.col("crs").str.extract(_EPSG)), "crs"),
}
_SERVICE: Mapping[str, pl.Expr] = {
    "service": pl.when(pl.col("service").str.to_lowercase().str.starts_with("ogcapi"))
    .then("service")
    .otherwise(
        pl.coalesce(
            pl.col("service").str.to_uppercase(),
            pl.col("request").replace_strict(_SERVICE_OF, default=None, return_dtype=pl.String()),
        )
    ),
    "layers": pl.when(pl.col("layers").list.len() > 0).then("layers"),
}
# The type names of a catalogue are record schemas, not data.
_OF_DATA = pl.when(pl.col("service").ne_missing("CSW"))
_FIRST = pl.col("layers").list.first()
_FINISHED: Mapping[str, pl.Expr] = {
    "service": pl.col("service"),
    "request": pl.col("request"),
    "layers": _OF_DATA.then("layers"),
    "workspace": pl.coalesce(
        "workspace",
        _OF_DATA.then(_FIRST.str.extract(r"^([^:/]+):[^/]")),
        # WCS 2.0 allows no colon in an identifier.
        pl.when(pl.col("service").eq("WCS")).then(_FIRST.str.extract(r"^(.+?)__")),
    ),
    "crs": pl.col("crs"),
    "image_format": pl.col("image_format"),
    "image_width": pl.col("image_width").cast(pl.Int32(), strict=False),
    "image_height": pl.col("image_height").cast(pl.Int32(), strict=False),
    "tiled": pl.when(pl.col("request").is_in(["GetMap", "GetTile", "Tile", "Map"])).then(
        pl.col("grid") | pl.col("request").eq("GetTile") | pl.col("tiled").str.to_lowercase().eq("true").fill_null(False)
    ),
    "is_download": pl.col("is_download")
    | (pl.col("request").is_in(_DATA_OPERATIONS) & pl.col("result_type").str.to_lowercase().ne_missing("hits")).fill_null(False)
    | (pl.col("request").is_in(["GetMap", "Map"]) & pl.col("image_format").str.contains(_DATA_FORMATS)).fill_null(False),
    "record_uuid": pl.col("record_uuid"),
}


def finish(frame: pl.DataFrame, *kept: str) -> pl.DataFrame:
    """Make `FIELDS` of the working columns.

    `service` is upper-case and follows from the request where it is not named; `request` has the case of its standard;
    EPSG codes lose their many prefixes; `workspace` is the prefix of the first layer where the path names none. `tiled`
    is null for what is no map. `is_download`: data (GetFeature but for a count, GetCoverage, Execute), and maps in a
    format for print or for other programs, whatever the status.

    Args:
        frame: the working columns.
        kept: columns that the answer begins with.
    """
    return frame.with_columns(**_TIDIED).with_columns(**_SERVICE).select(*kept, **_FINISHED)


def no_fields() -> list[pl.Expr]:
    """`FIELDS` in order, all null."""
    return [pl.lit(None, data_type).alias(name) for name, data_type in FIELDS.items()]


def only(frame: pl.DataFrame, **known: pl.Expr) -> pl.DataFrame:
    """The frame with working columns that are null but for those that are known."""
    return frame.with_columns(**{**_UNKNOWN, **known})
