"""What is called portable means the same to DuckDB as it stands, and reads what it says it reads."""

import pytest
import sqlglot

from lakehouse.datasets import access_logs, api_logs
from lakehouse.datasets.base import Rollup, View
from lakehouse.engines.dialect import NEWEST_DAYS, tables_of, to_duckdb

BUILT_IN = (access_logs.DATASET, api_logs.DATASET)
VIEWS = tuple(view for dataset in BUILT_IN for view in dataset.views if view.portable)
PORTABLE: tuple[View | Rollup, ...] = (*VIEWS, *(rollup for dataset in BUILT_IN for rollup in dataset.rollups if rollup.portable))


@pytest.mark.parametrize("query", PORTABLE, ids=lambda query: query.name)
def test_duckdb_reads_what_the_transpiler_would_have_written(query: View | Rollup) -> None:
    for sql in [query.sql_in("UTC"), query.sql_in("Europe/Paris")] if isinstance(query, View) else [query.sql]:
        assert sqlglot.parse_one(sql, read="duckdb") == sqlglot.parse_one(to_duckdb(sql), read="duckdb")
        # This one has to be answered from manifests, for which it must be transpiled.
        assert NEWEST_DAYS.split("{")[0] not in sql


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_portable_view_names_what_it_needs(view: View) -> None:
    assert list(view.needs) == tables_of(view.sql_in("UTC"))
