"""Rollup and views of what geographic services, catalogues and signed-in users ask for, in Trino's dialect."""

from lakehouse.datasets.access_logs.rollup_columns import APPLICATION, BYTES, DATE, FAILED, HITS, MEASURED, SITE
from lakehouse.datasets.base import Column, Rollup, View

SERVICES_DAILY = Rollup(
    "access_logs_services_daily",
    "Requests of services, downloads, catalogue records and signed-in users, by UTC day and what was asked for.",
    (
        DATE,
        SITE,
        APPLICATION,
        Column("service", "string", "OGC service, such as WMS, WFS or WMTS, or the application's own."),
        Column("request", "string", "Operation of the service, such as GetMap or GetFeature."),
        Column("workspace", "string", "Workspace or map that the layers belong to."),
        Column("layers", "list<string>", "Layers, feature types, coverages or collections that were asked for."),
        Column("record_uuid", "string", "Identifier of the metadata record that was asked for."),
        Column("org", "string", "Organisation of the authenticated user."),
        Column("roles", "list<string>", "Roles of the authenticated user."),
        Column("is_download", "boolean", "The requests were for data or files."),
        HITS,
        BYTES,
        FAILED,
    ),
    f"""
    SELECT
        date,
        site,
        application,
        service,
        request,
        workspace,
        layers,
        record_uuid,
        org,
        roles,
        is_download,
        {MEASURED}
    FROM access_logs
    WHERE service IS NOT NULL OR is_download OR record_uuid IS NOT NULL OR org IS NOT NULL OR roles IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    """,
    portable=True,
)

LAYERS = View(
    "access_logs_layers",
    "Requests a UTC day by service and layer; one for several layers counts for each of them.",
    """
    SELECT
        date,
        site,
        application,
        service,
        request,
        workspace,
        asked.layer AS layer,
        is_download,
        CAST(sum(hits) AS bigint) AS hits,
        CAST(sum(bytes) AS bigint) AS bytes
    FROM access_logs_services_daily
    CROSS JOIN UNNEST(layers) AS asked(layer)
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    """,
    needs=(SERVICES_DAILY.name,),
    portable=True,
)

ROLES = View(
    "access_logs_roles",
    "Requests a UTC day by role of the signed-in user; one with several roles counts for each of them.",
    """
    SELECT
        date,
        site,
        application,
        org,
        held.role AS role,
        CAST(sum(hits) AS bigint) AS hits,
        CAST(sum(bytes) AS bigint) AS bytes
    FROM access_logs_services_daily
    CROSS JOIN UNNEST(roles) AS held(role)
    GROUP BY 1, 2, 3, 4, 5
    """,
    needs=(SERVICES_DAILY.name,),
    portable=True,
)
