"""Rollups of what access logs are broken down by: agents, the paths asked for most, the newest errors. In Trino's dialect."""

from lakehouse.datasets.access_logs.rollup_columns import (
    AGENT_FAMILY,
    APPLICATION,
    BYTES,
    DATE,
    FAILED,
    HITS,
    MEASURED,
    PATH,
    SITE,
)
from lakehouse.datasets.base import Column, Rollup

PATHS = 1000
"""Paths kept of a day, site and application: tiles and crawlers ask for as many different ones as there are requests."""
ERRORS = 50
"""Server errors kept of an hour, site and application: a server that is down answers every request with one."""

AGENTS_DAILY = Rollup(
    "access_logs_agents_daily",
    "Hits, bytes and failures by UTC day, application and family of agents.",
    (
        DATE,
        SITE,
        APPLICATION,
        AGENT_FAMILY,
        Column("agent_os", "string", "Operating system of the user agent."),
        Column("is_bot", "boolean", "Whether the agent is a robot."),
        HITS,
        BYTES,
        FAILED,
    ),
    f"""
        SELECT
            date,
            site,
            application,
            agent_family,
            agent_os,
            is_bot,
            {MEASURED}
        FROM access_logs
        GROUP BY 1, 2, 3, 4, 5, 6
    """,
    portable=True,
)

PATHS_DAILY = Rollup(
    "access_logs_paths_daily",
    f"Hits, bytes and failures of the {PATHS:,} paths asked for most by UTC day, site and application.",
    (DATE, SITE, APPLICATION, PATH, HITS, BYTES, FAILED),
    f"""
    WITH counted AS (
        SELECT
            date,
            site,
            application,
            path,
            {MEASURED}
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

SERVER_ERRORS = Rollup(
    "access_logs_server_errors",
    f"The newest {ERRORS} requests of each hour, site and application that were answered with a server error (5xx), a row each.",
    (
        DATE,
        SITE,
        Column("ts", "timestamp", "When the request was logged, UTC."),
        APPLICATION,
        Column("http_status", "int", "HTTP status, 500 or more."),
        PATH,
        AGENT_FAMILY,
    ),
    f"""
    WITH failed AS (
        SELECT
            date,
            site,
            ts,
            application,
            status AS http_status,
            path,
            agent_family,
            row_number() OVER (
                PARTITION BY date, site, application, date_trunc('hour', ts)
                ORDER BY ts DESC, _input, _line DESC
            ) AS place
        FROM access_logs
        WHERE status >= 500
    )
    SELECT date, site, ts, application, http_status, path, agent_family FROM failed WHERE place <= {ERRORS}
    """,
    portable=True,
)
