"""The loader's schedule loads real logs from the landing bucket; Trino and pyiceberg count the same."""

from pathlib import Path
from typing import Any

import pytest

from tests.cluster.outside import metastore
from tests.cluster.tools import Release

pytestmark = pytest.mark.cluster
DAYS = [1632, 2893, 2896, 2579]
"""Lines of each of the four days in web/apache_combined_10k.log."""


def test_ten_thousand_real_lines(configured: Release, landing: Any, test_data: Path) -> None:
    landing.upload_file(str(test_data / "web" / "apache_combined_10k.log"), "landing", "web/a/access.log")
    configured.run_source("web", "first")
    query = "SELECT date, count(*) FROM access_logs WHERE site = 'web' GROUP BY 1 ORDER BY 1"
    assert [count for _, count in configured.trino(query)] == DAYS
    with metastore(configured) as catalog:
        assert catalog.load_table("lakehouse.access_logs").scan(row_filter="site = 'web'").count() == sum(DAYS)

    assert "unchanged" in configured.run_source("web", "second")
    assert [count for _, count in configured.trino(query)] == DAYS


def test_what_trino_inserts_pyiceberg_reads(configured: Release) -> None:
    with metastore(configured) as catalog:
        configured.trino("CREATE TABLE inserted (id bigint, word varchar)")
        configured.trino("INSERT INTO inserted VALUES (1, 'one'), (2, 'two')")
        assert sorted(catalog.load_table("lakehouse.inserted").scan().to_arrow()["word"].to_pylist()) == ["one", "two"]
