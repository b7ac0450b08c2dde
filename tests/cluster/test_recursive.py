"""Files that others wrote, in folders inside folders, read where they are by the hive catalog."""

import io
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cluster.tools import Release

pytestmark = pytest.mark.cluster
FILES = 3
ROWS = 10


def put(landing: Any, key: str, table: pa.Table) -> None:
    """Write a Parquet file into the landing bucket."""
    content = io.BytesIO()
    pq.write_table(table, content)
    landing.put_object(Bucket="landing", Key=key, Body=content.getvalue())


def numbers(first: int) -> pa.Table:
    """ROWS rows."""
    return pa.table({"id": pa.array(range(first, first + ROWS), pa.int64())})


@pytest.mark.parametrize("folder", ["2026-11-0{}", "date=2026-11-0{}"])
def test_folders_inside_folders(configured: Release, landing: Any, folder: str) -> None:
    name = "hive_style" if "=" in folder else "plain_folders"
    for number in range(FILES):
        put(landing, f"{name}/{folder.format(number + 1)}/part.parquet", numbers(number * ROWS))
    put(landing, f"{name}/top.parquet", numbers(FILES * ROWS))
    configured.trino(
        f"CREATE TABLE {name} (id bigint) WITH (external_location = 's3://landing/{name}', format = 'PARQUET')",
        catalog="hive",
        schema="default",
    )
    count = f"SELECT count(*), count(DISTINCT id) FROM {name}"
    everything = (FILES + 1) * ROWS
    assert configured.trino(count, catalog="hive", schema="default") == [[everything, everything]]
    # What it is for: without the property only the top level is read, and nothing says so.
    assert configured.trino(count, catalog="flat", schema="default") == [[ROWS, ROWS]]
    paths = configured.trino(f'SELECT DISTINCT "$path" FROM {name}', catalog="hive", schema="default")
    assert len(paths) == FILES + 1


def test_timestamps_keep_their_microseconds(configured: Release, landing: Any) -> None:
    """Asked for in the hive catalog, or in the iceberg catalog, which leads to it as well as the other way round."""
    moments = [datetime(2026, 11, 1, 12, 34, 56, 123456), datetime(1969, 12, 31, 23, 59, 59, 999999)]
    put(landing, "moments/part.parquet", pa.table({"moment": pa.array(moments, pa.timestamp("us"))}))
    configured.trino(
        "CREATE TABLE moments (moment timestamp(6)) WITH (external_location = 's3://landing/moments', format = 'PARQUET')",
        catalog="hive",
        schema="default",
    )
    for catalog in ("hive", "iceberg"):
        rows = configured.trino("SELECT moment FROM moments ORDER BY moment DESC", catalog=catalog, schema="default")
        assert rows == [[moment] for moment in moments], catalog
