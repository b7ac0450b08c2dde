"""What existing dashboards do: the address form of the archived sqlalchemy-trino, through the dialect that took its place."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import MetaData, Table, func, inspect, select
from sqlalchemy.exc import DBAPIError

from tests.cluster.outside import query_engine
from tests.cluster.tools import Release

pytestmark = pytest.mark.cluster


def test_the_address_of_existing_dashboards(configured: Release, landing: Any, tmp_path: Path) -> None:
    content = io.BytesIO()
    pq.write_table(pa.table({"id": pa.array([1, 2, 3], pa.int64()), "word": ["one", "two", "three"]}), content)
    for folder in ("2026-11-01", "2026-11-02"):
        landing.put_object(Bucket="landing", Key=f"dashboard/{folder}/part.parquet", Body=content.getvalue())
    configured.trino(
        "CREATE TABLE dashboard (id bigint COMMENT 'a number', word varchar) "
        "WITH (external_location = 's3://landing/dashboard', format = 'PARQUET')",
        catalog="hive",
        schema="default",
    )
    configured.trino("CREATE SCHEMA dashboards")
    configured.trino("CREATE TABLE dashboards.visits AS SELECT 1 AS id")
    with query_engine(configured, "analyst", "hive/default", tmp_path) as engine:
        found = inspect(engine)
        assert {"default", "dashboards"} <= set(found.get_schema_names())
        assert "dashboard" in found.get_table_names()
        assert [(column["name"], str(column["type"]), column["comment"]) for column in found.get_columns("dashboard")] == [
            ("id", "BIGINT", "a number"),
            ("word", "VARCHAR", None),
        ]
        table = Table("dashboard", MetaData(), autoload_with=engine)
        count = func.count()
        with engine.connect() as connection:
            query = select(table.c.word, count).group_by(table.c.word).order_by(table.c.word)
            assert connection.execute(query).fetchall() == [("one", 2), ("three", 2), ("two", 2)]
            # The hive catalog leads to Iceberg tables, too: those that loads write.
            assert connection.exec_driver_sql("SELECT id FROM dashboards.visits").scalar_one() == 1
            with pytest.raises(DBAPIError, match="Access Denied"):
                connection.exec_driver_sql("INSERT INTO dashboard VALUES (4, 'four')")
