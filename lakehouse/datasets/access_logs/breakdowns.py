"""Rollups of what access logs are broken down by a UTC day: agents, and the paths asked for most. In Trino's dialect."""

from lakehouse.datasets.base import Column, Rollup

PATHS = 1000
"""Paths kept of a day, site and application: tiles and crawlers ask for as many different ones as there are requests."""

_GROUP = (
    Column("date", "date", "UTC day of the requests."),
    Column("site", "string", "Site that the inputs were loaded for."),
    Column("application", "string", "Application that was asked."),
)
_MEASURES = (
    Column("hits", "long", "Number of requests."),
    Column("bytes", "long", "Bytes sent."),
    Column("failed", "long", "Number of requests with a status of 400 or more."),
)
_MEASURED = """
            count(*) AS hits,
            CAST(coalesce(sum(bytes), 0) AS bigint) AS bytes,
            CAST(sum(CASE WHEN status >= 400 THEN 1 ELSE 0 END) AS bigint) AS failed
"""

AGENTS_DAILY = Rollup(
    "access_logs_agents_daily",
    "Hits, bytes and failures by UTC day, application and family of agents.",
    (
        *_GROUP,
        Column("agent_family", "string", "Family of the user agent, such as Firefox or curl."),
        Column("agent_os", "string", "Operating system of the user agent."),
        Column("is_bot", "boolean", "Whether the agent is a robot."),
        *_MEASURES,
    ),
    f"""
        SELECT
            date,
            site,
            application,
            agent_family,
            agent_os,
            is_bot,
            {_MEASURED.strip()}
        FROM access_logs
        GROUP BY 1, 2, 3, 4, 5, 6
    """,
    portable=True,
)

PATHS_DAILY = Rollup(
    "access_logs_paths_daily",
    f"Hits, bytes and failures of the {PATHS:,} paths asked for most by UTC day, site and application.",
    (*_GROUP, Column("path", "string", "Path of the request target, percent-decoded."), *_MEASURES),
    f"""
    WITH counted AS (
        SELECT
            date,
            site,
            application,
            path,
            {_MEASURED.strip()}
        FROM access_logs
        WHERE path IS NOT NULL
        GROUP BY 1, 2, 3, 4
    ), ranked AS (
        SELECT
            date,
            site,
            application,
            path,
            hits,
            bytes,
            failed,
            row_number() OVER (PARTITION BY date, site, application ORDER BY hits DESC, path) AS place
        FROM counted
    )
    SELECT date, site, application, path, hits, bytes, failed FROM ranked WHERE place <= {PATHS}
    """,
    portable=True,
)
