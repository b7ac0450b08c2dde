"""What is not transpiled means the same to DuckDB as it stands, and reads what it says it reads."""

import pytest
import sqlglot

from lakehouse.datasets import access_logs, api_logs
from lakehouse.datasets.base import Dataset, Rollup, View
from lakehouse.engines.dialect import NEWEST_DAYS, tables_of, to_duckdb

BUILT_IN = (access_logs.DATASET, api_logs.DATASET)
VIEWS = tuple(view for dataset in BUILT_IN for view in dataset.views if view.duckdb_sql_in("UTC"))
ROLLUPS = tuple(rollup for dataset in BUILT_IN for rollup in dataset.rollups if rollup.portable)


def test_what_has_to_be_transpiled_is_known() -> None:
    """One more would make every small command slower by the import of a compiler."""
    left = {view.name for dataset in BUILT_IN for view in dataset.views} - {view.name for view in VIEWS}
    assert left == {"api_logs_last_20_days"}  # must be answered from manifests, for which it is transpiled


@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris"])
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_duckdb_reads_of_a_view_what_the_transpiler_would_have_written(view: View, zone: str) -> None:
    known = view.duckdb_sql_in(zone)
    assert known is not None
    assert sqlglot.parse_one(known, read="duckdb") == sqlglot.parse_one(to_duckdb(view.sql_in(zone)), read="duckdb")
    assert NEWEST_DAYS.split("{")[0] not in known


@pytest.mark.parametrize("rollup", ROLLUPS, ids=lambda rollup: rollup.name)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris"])
def test_duckdb_reads_of_a_rollup_what_the_transpiler_would_have_written(rollup: Rollup, zone: str) -> None:
    sql = rollup.sql_in(zone)
    assert sqlglot.parse_one(sql, read="duckdb") == sqlglot.parse_one(to_duckdb(sql), read="duckdb")


@pytest.mark.parametrize("dataset", BUILT_IN, ids=lambda dataset: dataset.name)
def test_a_rollup_names_the_one_table_that_it_is_made_from(dataset: Dataset) -> None:
    before: list[str] = []
    for rollup in dataset.rollups:
        assert tables_of(rollup.sql_in("UTC")) == [rollup.of or dataset.name]
        assert not rollup.of or rollup.of in before
        before.append(rollup.name)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_view_names_what_it_needs(view: View) -> None:
    assert list(view.needs) == tables_of(view.sql_in("UTC"))
