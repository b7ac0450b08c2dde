"""Views and the rollup of the dataset, in Trino's dialect."""

from lakehouse.datasets.base import Column, Rollup, View
from lakehouse.datasets.coverage import coverage_view

# Divisions (the first two digits) of the 21 sections of NAF rev. 2, which are those of NACE rev. 2 and ISIC rev. 4.
_SECTIONS = {
    "A": (1, 3), "B": (5, 9), "C": (10, 33), "D": (35, 35), "E": (36, 39), "F": (41, 43), "G": (45, 47), "H": (49, 53),
    "I": (55, 56), "J": (58, 63), "K": (64, 66), "L": (68, 68), "M": (69, 75), "N": (77, 82), "O": (84, 84),
    "P": (85, 85), "Q": (86, 88), "R": (90, 93), "S": (94, 96), "T": (97, 98), "U": (99, 99),
}  # fmt: skip

_SECTION = " ".join(
    f"WHEN try_cast(substr(digits, 1, 2) AS integer) BETWEEN {first} AND {last} THEN '{section}'"
    for section, (first, last) in _SECTIONS.items()
)

_LEVELS = {"division": 2, "group": 3, "class": 4, "subclass": 5}
"""Levels below the section, by the characters of the code without its dot."""

HOURLY = Rollup(
    "api_logs_hourly",
    "Requests by hour, endpoint, best code and confidence.",
    (
        Column("date", "date", "UTC day of the requests."),
        Column("site", "string", "Site that the log is from."),
        Column("hour", "timestamp", "Begin of the hour, UTC."),
        Column("endpoint", "string", "Path of the API that was called."),
        Column("code", "string", "Code of the best proposal; null: none was made."),
        Column("confidence_percent", "int", "Confidence in whole percent, rounded down, from 0 to 100."),
        Column("requests", "long", "Number of requests."),
        Column("failed", "long", "Number of requests with a status of 400 or more."),
    ),
    # The small addend undoes what binary fractions lose: 0.29 * 100 is a little less than 29.
    """
    SELECT
        date,
        site,
        date_trunc('hour', ts) AS hour,
        endpoint,
        code,
        CASE
            WHEN confidence < 0 THEN 0
            WHEN confidence >= 1 THEN 100
            WHEN confidence IS NOT NULL THEN CAST(floor(confidence * 100 + 0.000001) AS integer)
        END AS confidence_percent,
        count(*) AS requests,
        CAST(sum(CASE WHEN status >= 400 THEN 1 ELSE 0 END) AS bigint) AS failed
    FROM api_logs
    GROUP BY 1, 2, 3, 4, 5, 6
    """,
    portable=True,
)

ROLLUPS = (HOURLY,)

# Without a join: each is a stage more on Trino, for a few thousand rows.
_AUTOMATIC = """
    WITH answers AS (
        SELECT
            date,
            site,
            CASE WHEN code IS NOT NULL THEN confidence_percent END AS percent,
            CAST(sum(requests) AS bigint) AS requests
        FROM api_logs_hourly
        GROUP BY 1, 2, 3
    ), counted AS (
        SELECT
            date,
            site,
            levels.percent,
            CAST(sum(requests) AS bigint) AS requests,
            CAST(sum(CASE WHEN answers.percent >= levels.percent THEN requests ELSE 0 END) AS bigint) AS automatic
        FROM answers
        CROSS JOIN UNNEST({sequence}(0, 100)) AS levels(percent)
        GROUP BY date, site, levels.percent
    )
    SELECT
        date,
        site,
        CAST(percent AS double) / 100 AS threshold,
        requests,
        automatic,
        CAST(automatic AS double) / requests AS share
    FROM counted
"""

VIEWS = (
    View(
        "api_logs_automatic",
        "Share of requests a day that are coded automatically, for every threshold of confidence from 0.00 to 1.00.",
        _AUTOMATIC.format(sequence="sequence"),
        needs=(HOURLY.name,),
        duckdb=_AUTOMATIC.format(sequence="generate_series"),
    ),
    View(
        "api_logs_daily",
        "Requests a day.",
        """
        SELECT date, site, CAST(sum(requests) AS bigint) AS requests, CAST(sum(failed) AS bigint) AS failed
        FROM api_logs_hourly
        GROUP BY date, site
        """,
        needs=(HOURLY.name,),
        portable=True,
    ),
    View(
        "api_logs_weekly",
        "Requests a week; weeks begin on Monday (ISO 8601).",
        """
        SELECT
            CAST(date_trunc('week', date) AS date) AS week,
            site,
            CAST(sum(requests) AS bigint) AS requests,
            CAST(sum(failed) AS bigint) AS failed
        FROM api_logs_hourly
        GROUP BY 1, site
        """,
        needs=(HOURLY.name,),
        portable=True,
    ),
    View(
        "api_logs_codes",
        "Requests a day by best code, at each level of the nomenclature (NAF rev. 2): section, division, group, class, subclass.",
        f"""
        WITH codes AS (
            SELECT date, site, upper(replace(trim(code), '.', '')) AS digits, CAST(sum(requests) AS bigint) AS requests
            FROM api_logs_hourly
            WHERE code IS NOT NULL
            GROUP BY 1, 2, 3
        ), leveled AS (
            SELECT date, site, 'section' AS level, CASE {_SECTION} END AS code, requests FROM codes
            {
            " ".join(
                f"UNION ALL SELECT date, site, '{level}', CASE WHEN length(digits) >= {length} "
                f"THEN substr(digits, 1, {length}) END, requests FROM codes"
                for level, length in _LEVELS.items()
            )
        }
        )
        SELECT date, site, level, code, CAST(sum(requests) AS bigint) AS requests FROM leveled GROUP BY date, site, level, code
        """,
        needs=(HOURLY.name,),
        portable=True,
    ),
    View(
        "api_logs_code_tree",
        "Requests a day by best code, each with its place in the nomenclature (NAF rev. 2): section, division, group and class.",
        f"""
        WITH codes AS (
            SELECT date, site, endpoint, upper(replace(trim(code), '.', '')) AS digits, CAST(sum(requests) AS bigint) AS requests
            FROM api_logs_hourly
            WHERE code IS NOT NULL
            GROUP BY 1, 2, 3, 4
        )
        SELECT
            date,
            site,
            endpoint,
            coalesce(CASE {_SECTION} END, '?') AS section,
            substr(digits, 1, 2) AS division,
            substr(digits, 1, 3) AS code_group,
            substr(digits, 1, 4) AS class,
            digits AS code,
            requests
        FROM codes
        """,
        needs=(HOURLY.name,),
        portable=True,
    ),
    coverage_view("api_logs", "requests"),
    View(
        "api_logs_requests",
        "The requests themselves with the best proposal of each, and without what was sent.",
        """
        SELECT date, site, ts, endpoint, query_type, code, label, probability, confidence, status
        FROM api_logs
        """,
        needs=("api_logs",),
        portable=True,
    ),
    View(
        "api_logs_last_20_days",
        "Every column of the requests of the last 20 days that have any.",
        """
        SELECT * FROM api_logs
        WHERE date IN (SELECT DISTINCT date FROM api_logs ORDER BY date DESC LIMIT 20)
        """,
    ),
)
