"""Files that others wrote, in folders inside folders, read where they are by the hive catalog."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cluster.tools import Release

pytestmark = pytest.mark.cluster
FILES = 3
ROWS = 10


def put(landing: Any, key: str, first: int) -> None:
    """Write a Parquet file of ROWS rows into the landing bucket."""
    content = io.BytesIO()
    pq.write_table(pa.table({"id": pa.array(range(first, first + ROWS), pa.int64())}), content)
    landing.put_object(Bucket="landing", Key=key, Body=content.getvalue())


@pytest.mark.parametrize("folder", ["2026-11-0{}", "date=2026-11-0{}"])
def test_folders_inside_folders(configured: Release, landing: Any, folder: str) -> None:
    name = "hive_style" if "=" in folder else "plain_folders"
    for number in range(FILES):
        put(landing, f"{name}/{folder.format(number + 1)}/part.parquet", number * ROWS)
    put(landing, f"{name}/top.parquet", FILES * ROWS)
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
