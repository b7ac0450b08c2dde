"""Columns of access logs: the raw frame that every format yields, and the table's columns behind the enrichment."""

from collections.abc import Mapping

import polars as pl

from lakehouse.datasets.base import COLUMN_TYPES, Column

RAW_SCHEMA: Mapping[str, pl.DataType] = {
    "_line": pl.Int64(),
    "ts": pl.Datetime("us", "UTC"),
    "client_ip": pl.String(),
    "user_field": pl.String(),
    "method": pl.String(),
    "url": pl.String(),
    "protocol": pl.String(),
    "status": pl.Int32(),
    "bytes": pl.Int64(),
    "referrer": pl.String(),
    "user_agent": pl.String(),
    "response_time_ms": pl.Float64(),
    "server": pl.String(),
    "extra": pl.String(),
}
"""What a format yields for a line, in order: values as logged, "-" and "" are null, `ts` is never null."""

COLUMNS: tuple[Column, ...] = (
    Column("ts", "timestamp", "When the request was logged, UTC, microseconds."),
    Column("client_ip", "string", "Address of the client; truncated, hashed or left out as the settings say.", True),
    Column("visitor", "long", "Keyed hash of address and user agent that changes every day.", True),
    Column("user_name", "string", "Name of the authenticated user; null unless the settings keep it.", True),
    Column("org", "string", "Organisation of the authenticated user."),
    Column("roles", "list<string>", "Roles of the authenticated user."),
    Column("method", "string", "HTTP method; null for a request that is no HTTP."),
    Column("url", "string", "Request target as logged; the whole request text where it is no HTTP."),
    Column("path", "string", "Path of the request target, percent-decoded."),
    Column("query", "string", "Query string of the request target, as logged, without the question mark."),
    Column("protocol", "string", "Protocol and version of the request; null for a request that is no HTTP."),
    Column("status", "int", "HTTP status of the response."),
    Column("bytes", "long", "Size of the response as the server logged it, bytes."),
    Column("referrer", "string", "Referer header of the request."),
    Column("user_agent", "string", "User-Agent header of the request."),
    Column("agent_family", "string", "Family of the user agent, such as Firefox or QGIS."),
    Column("agent_os", "string", "Operating system of the user agent."),
    Column("is_bot", "boolean", "The user agent is a robot, a tool or an HTTP library: no person sits in front of it."),
    Column("response_time_ms", "double", "Time the server took for the request, milliseconds."),
    Column("server", "string", "Virtual host or front end that answered."),
    Column("application", "string", "Application that served the request, by the path's first segment."),
    Column("service", "string", "OGC service, such as WMS, WFS or WMTS, or the application's own."),
    Column("request", "string", "Operation of the service, such as GetMap or GetFeature."),
    Column("layers", "list<string>", "Layers, feature types, coverages or collections that were asked for."),
    Column("workspace", "string", "Workspace or map that the layers belong to."),
    Column("crs", "string", "Coordinate reference system that was asked for, such as EPSG:3857."),
    Column("image_format", "string", "Format of the image or data that was asked for: a media type or a WFS output format."),
    Column("image_width", "int", "Width of the image that was asked for, pixels."),
    Column("image_height", "int", "Height of the image that was asked for, pixels."),
    Column("tiled", "boolean", "The request was for one tile of a grid."),
    Column("is_download", "boolean", "The request was for data or a file, not for a picture or a page."),
    Column("record_uuid", "string", "Identifier of the metadata record that was asked for."),
    Column("extra", "string", "All other fields of the line, as a JSON object; null if there are none."),
)
"""The table's columns in order; `site`, `date` and `_input` are the loader's."""

ROW_SCHEMA: Mapping[str, pl.DataType] = {"_line": pl.Int64()} | {column.name: COLUMN_TYPES[column.type] for column in COLUMNS}
"""What `enrich` yields: the line number, then `COLUMNS`."""
