"""Rollups and views of access logs, in Trino's dialect.

Rollups by the hour hold state that plain SQL adds up again: counts, integer sums, a latency histogram with a row for each
bucket, and a distinct-count sketch with a row for each register. The last two have thousands of rows an hour; tables of
their own have them added up by the day.

The sketch is HyperLogLog (Flajolet et al. 2007) over the keyed visitor number, whose bits are uniform: 11 bits choose one of
2,048 registers, of 32 further bits the position of the first one counts. Its standard error is 1.04 / sqrt(2048) = 2.3 %;
below some 5,000 visitors linear counting is closer still.
"""

from lakehouse.datasets.access_logs.breakdowns import AGENTS_DAILY, PATHS_DAILY, SERVER_ERRORS
from lakehouse.datasets.access_logs.rollup_columns import APPLICATION, BYTES, DATE, HITS, SITE, SUMMED
from lakehouse.datasets.access_logs.services import LAYERS_DAILY, RECORDS_DAILY, ROLES_DAILY, SERVICES_DAILY
from lakehouse.datasets.base import Column, Rollup, View
from lakehouse.datasets.coverage import coverage_view

REGISTERS = 2048
_HOUR = Column("hour", "timestamp", "Begin of the hour, UTC.")
_STATUS_CLASS = Column("status_class", "int", "First digit of the status: 2 for 200 to 299; null: none was logged.")
_METHOD = Column("method", "string", "HTTP method; null for malformed requests.")
_IS_BOT = Column("is_bot", "boolean", "Whether the agent is a robot.")
_DAY = Column("day", "date", "Day in the table's time zone.")
_BUCKET = Column("bucket", "int", "Response times from 1.02 ^ bucket to 1.02 ^ (bucket + 1) ms; -1000: less than 0.001 ms.")
_REGISTER = Column("register", "int", f"Register of the sketch, 0 to {REGISTERS - 1}.")
_RANK = Column("rank", "int", "Highest position of the first one bit among the visitors of this register, 1 to 33.")

HOURLY = Rollup(
    "access_logs_hourly",
    "Hits and bytes by hour, application, status class, method and kind of agent.",
    (
        DATE, SITE, _HOUR, APPLICATION, _STATUS_CLASS, _METHOD, _IS_BOT,
        HITS,
        BYTES,
    ),
    f"""
    SELECT
        date,
        site,
        date_trunc('hour', ts) AS hour,
        application,
        CAST(floor(status / 100e0) AS integer) AS status_class,
        method,
        is_bot,
        {SUMMED}
    FROM access_logs
    GROUP BY 1, 2, 3, 4, 5, 6, 7
    """,
    portable=True,
)  # fmt: skip

LATENCY_HOURLY = Rollup(
    "access_logs_latency_hourly",
    "Histogram of response times by hour, application, status class and method: a row for each bucket of 2 %.",
    (
        DATE, SITE, _HOUR, APPLICATION, _STATUS_CLASS, _METHOD, _BUCKET,
        HITS,
    ),
    """
    SELECT
        date,
        site,
        date_trunc('hour', ts) AS hour,
        application,
        CAST(floor(status / 100e0) AS integer) AS status_class,
        method,
        CASE
            WHEN response_time_ms < 0.001 THEN -1000
            ELSE CAST(floor(ln(response_time_ms) / ln(1.02e0)) AS integer)
        END AS bucket,
        count(*) AS hits
    FROM access_logs
    WHERE response_time_ms IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 6, 7
    """,
    portable=True,
)  # fmt: skip

VISITORS_HOURLY = Rollup(
    "access_logs_visitors_hourly",
    "Sketch of the distinct visitors by hour, robots left out: a row for each register that is not empty.",
    (DATE, SITE, _HOUR, _REGISTER, _RANK),
    # Of a register, the highest position is that of the lowest number: so only that one's logarithm is needed. Trino divides
    # integers, DuckDB divides floating numbers: with the register taken off first, both are exact.
    f"""
    WITH registers AS (
        SELECT
            date,
            site,
            date_trunc('hour', ts) AS hour,
            CAST(visitor % {REGISTERS} AS integer) AS register,
            min(visitor % {REGISTERS * 2**32}) AS lowest
        FROM access_logs
        WHERE visitor IS NOT NULL AND NOT coalesce(is_bot, false)
        GROUP BY 1, 2, 3, 4
    )
    SELECT
        date,
        site,
        hour,
        register,
        CASE
            WHEN lowest = register THEN 33
            ELSE 32 - CAST(floor(log2((lowest - register) / {REGISTERS})) AS integer)
        END AS rank
    FROM registers
    """,
    portable=True,
)

LATENCY_DAILY = Rollup(
    "access_logs_latency_daily_histogram",
    "Histogram of response times by day of the table's time zone and application: a row for each bucket of 2 %.",
    (DATE, SITE, _DAY, APPLICATION, _BUCKET, HITS),
    f"""
    SELECT date, site, {{day}} AS day, application, bucket, CAST(sum(hits) AS bigint) AS hits
    FROM {LATENCY_HOURLY.name}
    GROUP BY 1, 2, 3, 4, 5
    """,
    of=LATENCY_HOURLY.name,
    portable=True,
)

VISITORS_DAILY = Rollup(
    "access_logs_visitors_daily_sketch",
    "Sketch of the distinct visitors by day of the table's time zone: a row for each register that is not empty.",
    (DATE, SITE, _DAY, _REGISTER, _RANK),
    f"""
    SELECT date, site, {{day}} AS day, register, max(rank) AS rank
    FROM {VISITORS_HOURLY.name}
    GROUP BY 1, 2, 3, 4
    """,
    of=VISITORS_HOURLY.name,
    portable=True,
)

ROLLUPS = (
    HOURLY,
    LATENCY_HOURLY,
    VISITORS_HOURLY,
    LATENCY_DAILY,
    VISITORS_DAILY,
    SERVICES_DAILY,
    LAYERS_DAILY,
    RECORDS_DAILY,
    ROLES_DAILY,
    AGENTS_DAILY,
    PATHS_DAILY,
    SERVER_ERRORS,
)

_MONTH_OF_HOUR = "CAST(date_trunc('month', {day}) AS date)"
_MONTH_OF_DAY = "CAST(date_trunc('month', day) AS date)"


def _totals(name: str, doc: str, period: str, period_name: str) -> View:
    return View(
        name,
        doc,
        f"""
        SELECT
            {period} AS {period_name},
            site,
            application,
            status_class,
            method,
            is_bot,
            CAST(sum(hits) AS bigint) AS hits,
            CAST(sum(bytes) AS bigint) AS bytes
        FROM access_logs_hourly
        GROUP BY 1, 2, 3, 4, 5, 6
        """,
        needs=(HOURLY.name,),
        portable=True,
    )


def _latency(name: str, doc: str, period: str, period_name: str) -> View:
    """Percentiles of histogram rows: the middle of the bucket in which the wanted share of the hits is reached."""
    percentiles = ", ".join(
        f"min(CASE WHEN running >= {share}e0 * total THEN middle_ms END) AS {column}"
        for column, share in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99))
    )
    return View(
        name,
        doc,
        f"""
        WITH buckets AS (
            SELECT {period} AS {period_name}, site, application, bucket, CAST(sum(hits) AS bigint) AS hits
            FROM access_logs_latency_daily_histogram
            GROUP BY 1, 2, 3, 4
        ), counted AS (
            SELECT
                {period_name},
                site,
                application,
                CASE WHEN bucket = -1000 THEN 0e0 ELSE power(1.02e0, bucket + 0.5e0) END AS middle_ms,
                sum(hits) OVER (PARTITION BY {period_name}, site, application ORDER BY bucket) AS running,
                sum(hits) OVER (PARTITION BY {period_name}, site, application) AS total
            FROM buckets
        )
        SELECT {period_name}, site, application, CAST(max(total) AS bigint) AS hits, {percentiles}
        FROM counted
        GROUP BY 1, 2, 3
        """,
        needs=(LATENCY_DAILY.name,),
        portable=True,
    )


def _visitors(name: str, doc: str, period: str, rollup: Rollup) -> View:
    """The estimate of HyperLogLog, with linear counting while there are empty registers and few visitors."""
    return View(
        name,
        doc,
        f"""
        WITH registers AS (
            SELECT {period}, site, register, max(rank) AS rank
            FROM {rollup.name}
            GROUP BY 1, 2, 3
        ), sums AS (
            SELECT
                {period},
                site,
                {REGISTERS} - count(*) AS empty,
                0.7213e0 / (1 + 1.079e0 / {REGISTERS}) * {REGISTERS} * {REGISTERS}
                    / ({REGISTERS} - count(*) + sum(power(2e0, -rank))) AS estimate
            FROM registers
            GROUP BY 1, 2
        )
        SELECT
            {period},
            site,
            CAST(round(
                CASE WHEN estimate <= 2.5e0 * {REGISTERS} AND empty > 0
                    THEN {REGISTERS} * ln({REGISTERS} / CAST(empty AS double))
                    ELSE estimate
                END
            ) AS bigint) AS visitors
        FROM sums
        """,
        needs=(rollup.name,),
        portable=True,
    )


TRAFFIC = View(
    "access_logs_traffic",
    "Hits and bytes an hour, with the day and the hour of the day in the table's time zone.",
    """
    SELECT
        hour,
        {day} AS day,
        CAST(extract(hour FROM hour AT TIME ZONE '{zone}') AS integer) AS hour_of_day,
        site,
        application,
        CASE status_class
            WHEN 1 THEN '1xx informational'
            WHEN 2 THEN '2xx success'
            WHEN 3 THEN '3xx redirection'
            WHEN 4 THEN '4xx client error'
            WHEN 5 THEN '5xx server error'
            ELSE 'no status'
        END AS status,
        status_class,
        method,
        is_bot,
        hits,
        bytes
    FROM access_logs_hourly
    """,
    needs=(HOURLY.name,),
    portable=True,
)

LATENCY = View(
    "access_logs_latency",
    "Histogram of response times by day of the table's time zone: rows of buckets of 2 %, with the middle of each, to add up.",
    """
    SELECT
        day,
        site,
        application,
        CASE WHEN bucket = -1000 THEN 0e0 ELSE power(1.02e0, bucket + 0.5e0) END AS middle_ms,
        hits
    FROM access_logs_latency_daily_histogram
    """,
    needs=(LATENCY_DAILY.name,),
    portable=True,
)

VIEWS = (
    TRAFFIC,
    LATENCY,
    coverage_view("access_logs", "hits"),
    _totals("access_logs_daily", "Hits and bytes a day of the table's time zone.", "{day}", "day"),
    _totals("access_logs_monthly", "Hits and bytes a month of the table's time zone.", _MONTH_OF_HOUR, "month"),
    _latency("access_logs_latency_daily", "Response times a day: percentiles within 1 %.", "day", "day"),
    _latency("access_logs_latency_monthly", "Response times a month: percentiles within 1 %.", _MONTH_OF_DAY, "month"),
    _visitors(
        "access_logs_visitors_by_hour", "Distinct visitors an hour, within some 2 %; robots left out.", "hour", VISITORS_HOURLY
    ),
    _visitors("access_logs_visitors_daily", "Distinct visitors a day, within some 2 %; robots left out.", "day", VISITORS_DAILY),
)
