"""GeoNetwork: the catalogue service CSW, records, searches and attachments, by its API and by its older services."""

import polars as pl

_UUID = r"([0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12})"
# The first segments are the portal (`srv` is the main one) and, but for the API, the language. An identifier need not
# be a UUID, but has a digit, which the names of operations on many records have not.
_RECORD = r"/records/([^/]*[0-9][^/]*)"
_CSW = r"^(?:/[^/]+){1,2}/csw(?:-[^/]*)?/?$"
_OLDER_SERVICE = r"^/[^/]+/[a-z]{2,3}/([A-Za-z][A-Za-z0-9._-]*)$"
_REQUESTS = {
    r"/records/[^/]*[0-9][^/]*/attachments/": "Attachment",
    r"/records/[^/]*[0-9][^/]*/formatters/": "Formatter",
    r"/records/[^/]*[0-9][^/]*(?:/|$)": "Record",
    r"/api/(?:[0-9.]+/)?search/": "Search",
}
"""Path to what the API was asked for; the first that fits counts."""

_DOWNLOAD = r"/attachments/[^/]+$|/formatters/(?:zip|pdf|csv)\b|/(?:resources\.get|mef\.export|csv\.search|pdf\.search)$"

_PATH, _IS_CSW = pl.col("path"), pl.col("is_csw")
_FOUND = {
    "service": pl.coalesce("service", pl.when(_IS_CSW).then(pl.lit("CSW"))),
    "request": pl.coalesce(
        "request",
        *(pl.when(_PATH.str.contains(pattern)).then(pl.lit(name)) for pattern, name in _REQUESTS.items()),
        pl.when(~_IS_CSW).then(_PATH.str.extract(_OLDER_SERVICE)),
    ),
    "record_uuid": pl.coalesce(
        _PATH.str.extract(_RECORD),
        "uuid",
        # Elsewhere than in CSW, `id` is a number of the catalogue's own.
        pl.when(_IS_CSW).then("id").otherwise(pl.col("id").str.extract(_UUID)),
    ),
    "is_download": _PATH.str.contains(_DOWNLOAD),
}


def describe(requests: pl.DataFrame) -> pl.DataFrame:
    """See `applications.Module`. `request` is the operation of CSW, the API's resource or the older service's name."""
    path = requests["path"].str.strip_chars_end("/")
    return requests.with_columns(path, path.str.contains(_CSW).alias("is_csw")).with_columns(**_FOUND)
