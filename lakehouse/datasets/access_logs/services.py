"""Rollups of what geographic services, catalogues and signed-in users ask for, in Trino's dialect.

A table for each thing that has many values: of one by all of them nearly every request would be a row.
"""

from lakehouse.datasets.access_logs.rollup_columns import APPLICATION, BYTES, DATE, FAILED, HITS, MEASURED, SITE, SUMMED
from lakehouse.datasets.base import Column, Rollup

_SERVICE = Column("service", "string", "OGC service, such as WMS, WFS or WMTS, or the application's own.")
_REQUEST = Column("request", "string", "Operation of the service, such as GetMap or GetFeature.")
_WORKSPACE = Column("workspace", "string", "Workspace or map that the layers belong to.")
_ORG = Column("org", "string", "Organisation of the authenticated user.")
_IS_DOWNLOAD = Column("is_download", "boolean", "The requests were for data or files.")

SERVICES_DAILY = Rollup(
    "access_logs_services_daily",
    "Requests of services, downloads and requests of signed-in users, by UTC day, operation, workspace and organisation.",
    (DATE, SITE, APPLICATION, _SERVICE, _REQUEST, _WORKSPACE, _ORG, _IS_DOWNLOAD, HITS, BYTES, FAILED),
    f"""
    SELECT
        date,
        site,
        application,
        service,
        request,
        workspace,
        org,
        is_download,
        {MEASURED}
    FROM access_logs
    WHERE service IS NOT NULL OR is_download OR org IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    """,
    portable=True,
)

LAYERS_DAILY = Rollup(
    "access_logs_layers_daily",
    "Requests a UTC day by service and layer; one for several layers counts for each of them.",
    (
        DATE,
        SITE,
        APPLICATION,
        _SERVICE,
        _REQUEST,
        _WORKSPACE,
        Column("layer", "string", "Layer, feature type, coverage or collection that was asked for."),
        _IS_DOWNLOAD,
        HITS,
        BYTES,
    ),
    f"""
    SELECT
        date,
        site,
        application,
        service,
        request,
        workspace,
        asked.layer AS layer,
        is_download,
        {SUMMED}
    FROM access_logs
    CROSS JOIN UNNEST(layers) AS asked(layer)
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    """,
    portable=True,
)

RECORDS_DAILY = Rollup(
    "access_logs_records_daily",
    "Requests of catalogue records by UTC day, record and organisation.",
    (
        DATE,
        SITE,
        APPLICATION,
        Column("record_uuid", "string", "Identifier of the metadata record that was asked for."),
        _ORG,
        HITS,
        BYTES,
    ),
    f"""
    SELECT
        date,
        site,
        application,
        record_uuid,
        org,
        {SUMMED}
    FROM access_logs
    WHERE record_uuid IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
    """,
    portable=True,
)

ROLES_DAILY = Rollup(
    "access_logs_roles_daily",
    "Requests a UTC day by role of the signed-in user; one with several roles counts for each of them.",
    (
        DATE,
        SITE,
        APPLICATION,
        _ORG,
        Column("role", "string", "Role of the authenticated user."),
        HITS,
        BYTES,
    ),
    f"""
    SELECT
        date,
        site,
        application,
        org,
        held.role AS role,
        {SUMMED}
    FROM access_logs
    CROSS JOIN UNNEST(roles) AS held(role)
    GROUP BY 1, 2, 3, 4, 5
    """,
    portable=True,
)
