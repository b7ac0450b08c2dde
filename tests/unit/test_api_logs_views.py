"""The rollup and the views of api_logs, over rows of its own parser."""

from datetime import date

import duckdb
import polars as pl
import pytest
import sqlglot

from lakehouse.datasets.api_logs import DATASET
from tests.unit.test_api_logs import parse, record


@pytest.fixture(scope="module")
def database() -> duckdb.DuckDBPyConnection:
    """Rows of 25 days, the rollup, and all views, as DuckDB runs them."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    codes = ["4711A", "47.11B", "0111Z", "9900Z", "XX", None]
    confidences = [None, -0.2, 0.0, 0.29, 0.57, 0.999999, 1.0, 1.7]
    log = b"".join(
        record(
            {"Query": {}, "Response": {"1": {"code": codes[index % 6]}, "IC": confidences[index % 8]}},
            f"2024-01-{1 + index % 25:02d} 23:59:59.500",
        )
        for index in range(600)
    )
    rows = parse(log).rows.with_columns(date=pl.col("ts").dt.date(), site=pl.lit("demo"))
    connection.register("api_logs", rows.to_arrow())
    (rollup,) = DATASET.rollups
    connection.execute(f"CREATE TABLE {rollup.name} AS {duckdb_sql(rollup.sql)}")
    for view in DATASET.views:
        connection.execute(f"CREATE VIEW {view.name} AS {duckdb_sql(view.sql)}")
    return connection


def duckdb_sql(sql: str) -> str:
    return sqlglot.transpile(sql, read="trino", write="duckdb")[0]


class TestViews:
    def test_rollup_has_its_columns(self, database: duckdb.DuckDBPyConnection) -> None:
        (rollup,) = DATASET.rollups
        relation = database.sql(f"SELECT * FROM {rollup.name}")
        assert relation.columns == [column.name for column in rollup.columns]
        assert [str(kind) for kind in relation.types] == [
            "DATE", "VARCHAR", "TIMESTAMP WITH TIME ZONE", "VARCHAR", "VARCHAR", "INTEGER", "BIGINT", "BIGINT",
        ]  # fmt: skip
        assert relation.sum("requests").fetchone() == (600,)

    def test_last_second_of_a_day_belongs_to_it(self, database: duckdb.DuckDBPyConnection) -> None:
        assert database.sql("SELECT count(*), min(requests), max(requests) FROM api_logs_daily").fetchone() == (25, 24, 24)
        weeks = database.sql("SELECT week, requests FROM api_logs_weekly ORDER BY 1").fetchall()
        assert weeks == [(date(2024, 1, 1 + 7 * week), requests) for week, requests in enumerate((168, 168, 168, 96))]

    @pytest.mark.parametrize("threshold", [0.0, 0.01, 0.29, 0.3, 0.57, 0.58, 0.99, 1.0])
    def test_automatic_share_is_the_share_of_the_rows(self, database: duckdb.DuckDBPyConnection, threshold: float) -> None:
        expected = database.execute(
            "SELECT date, count(*), count(CASE WHEN code IS NOT NULL AND greatest(confidence, 0) >= ? "
            "AND confidence IS NOT NULL THEN 1 END) FROM api_logs GROUP BY 1 ORDER BY 1",
            [threshold],
        ).fetchall()
        found = database.execute(
            "SELECT date, requests, automatic FROM api_logs_automatic WHERE threshold = ? ORDER BY 1", [threshold]
        ).fetchall()
        assert found == expected

    def test_automatic_has_every_threshold(self, database: duckdb.DuckDBPyConnection) -> None:
        found = database.sql("SELECT count(DISTINCT threshold), min(share), max(share), count(*) FROM api_logs_automatic")
        count, lowest, highest, rows = found.fetchone() or ()
        assert (count, rows) == (101, 2525)
        assert 0 <= lowest < highest <= 1

    def test_codes_by_level(self, database: duckdb.DuckDBPyConnection) -> None:
        found = database.sql("SELECT level, code, sum(requests)::bigint FROM api_logs_codes GROUP BY 1, 2").fetchall()
        assert {(level, code): requests for level, code, requests in found} == {
            ("section", "G"): 200, ("section", "A"): 100, ("section", "U"): 100, ("section", None): 100,
            ("division", "47"): 200, ("division", "01"): 100, ("division", "99"): 100, ("division", "XX"): 100,
            ("group", "471"): 200, ("group", "011"): 100, ("group", "990"): 100, ("group", None): 100,
            ("class", "4711"): 200, ("class", "0111"): 100, ("class", "9900"): 100, ("class", None): 100,
            ("subclass", "4711A"): 100, ("subclass", "4711B"): 100, ("subclass", "0111Z"): 100,
            ("subclass", "9900Z"): 100, ("subclass", None): 100,
        }  # fmt: skip

    def test_requests_are_without_what_was_sent(self, database: duckdb.DuckDBPyConnection) -> None:
        relation = database.sql("SELECT * FROM api_logs_requests")
        assert relation.columns == [
            "date", "site", "ts", "endpoint", "query_type", "code", "label", "probability", "confidence", "status",
        ]  # fmt: skip
        assert relation.count("*").fetchone() == (600,)

    def test_last_20_days(self, database: duckdb.DuckDBPyConnection) -> None:
        found = database.sql("SELECT min(date), max(date), count(*) FROM api_logs_last_20_days").fetchone()
        assert found == (date(2024, 1, 6), date(2024, 1, 25), 480)
