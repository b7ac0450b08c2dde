"""A view that shows which days have no rows, for any dataset with an hourly rollup."""

from lakehouse.datasets.base import View


def coverage_view(dataset: str, count: str) -> View:
    """Rows of every day from a site's first to the newest day of all sites, days without any included.

    Args:
        dataset: with a rollup `<dataset>_hourly`.
        count: the rollup's column that counts rows.
    """
    hourly = f"{dataset}_hourly"
    sql = f"""
        WITH present AS (
            SELECT date, site, CAST(sum({count}) AS bigint) AS n FROM {hourly} GROUP BY date, site
        ), spans AS (
            SELECT site, min(date) AS first_day, (SELECT max(date) FROM present) AS last_day FROM present GROUP BY site
        ), expected AS (
            SELECT spans.site, CAST({{next_day}} AS date) AS date
            FROM spans
            CROSS JOIN UNNEST({{sequence}}(0, date_diff('day', spans.first_day, spans.last_day))) AS days(number)
        )
        SELECT
            expected.date,
            expected.site,
            coalesce(present.n, 0) AS row_count,
            CASE WHEN present.n IS NULL THEN 1 ELSE 0 END AS missing
        FROM expected
        LEFT JOIN present ON present.date = expected.date AND present.site = expected.site
    """
    return View(
        f"{dataset}_coverage",
        "Rows a UTC day, from a site's first day to the newest of all sites; missing is 1 for a day without any.",
        sql.format(next_day="date_add('day', days.number, spans.first_day)", sequence="sequence"),
        needs=(hourly,),
        duckdb=sql.format(next_day="spans.first_day + INTERVAL (days.number) DAY", sequence="generate_series"),
    )
