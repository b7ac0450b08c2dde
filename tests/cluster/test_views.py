"""The package's views in Trino: the same answers as DuckDB's, and for analysts no more than the tables below them show."""

import math
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from trino.exceptions import TrinoUserError

from lakehouse.datasets import BUILT_IN, get_dataset
from lakehouse.datasets.base import Rollup, View
from lakehouse.engines import trino as engine
from lakehouse.inputs import find_inputs
from lakehouse.ledger import LOAD_REPORTS
from lakehouse.load import Loader, Request
from lakehouse.load_options import Options
from lakehouse.reading import Reader
from lakehouse.sample import fill, write_sample
from lakehouse.settings import Settings
from lakehouse.views import make_views
from tests.cluster.outside import outside_settings, trino_connection
from tests.cluster.tools import Release

pytestmark = pytest.mark.cluster
NAMESPACE = "both_engines"
DATASETS: dict[str, Any] = {name: get_dataset(name, Path()) for name in BUILT_IN}
VIEWS = [view for dataset in DATASETS.values() for view in dataset.views]
ROLLUPS = [rollup for dataset in DATASETS.values() for rollup in dataset.rollups]
TOLERANCE = 1e-9
"""Of floating sums, which are added up in another order."""


@pytest.fixture(scope="module")
def both(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A schema of its own with sample logs of every dataset, its days in a zone that is not UTC."""
    folder = tmp_path_factory.mktemp("both")
    with outside_settings(release, folder, LAKEHOUSE_NAMESPACE=NAMESPACE, LAKEHOUSE_ZONE="Europe/Paris") as settings:
        make_views(settings)  # before there is a row, as after an installation
        for name, dataset in DATASETS.items():
            for site in ("rennes", "lyon"):
                write_sample(
                    name, folder / name / site, 3, 900, site, 1, date(2026, 10, 26), response_time=name == "access_logs"
                )  # fmt: skip
            options = Options(format=fill.FORMAT if name == "access_logs" else None)
            Loader(settings, dataset).run(Request(find_inputs([str(folder / name / "{site}" / "*")], settings), options))
        yield settings
        for view in VIEWS:
            release.trino(f"DROP VIEW {view.name}", schema=NAMESPACE)
        for table in (LOAD_REPORTS, *(table.name for table in (*ROLLUPS, *DATASETS.values()))):
            release.trino(f"DROP TABLE {table}", schema=NAMESPACE)
        release.trino(f"DROP SCHEMA {NAMESPACE}", schema=NAMESPACE)


def rows(answer: pa.Table) -> list[tuple[Any, ...]]:
    """Rows in an order in which floating numbers come last, and rounded."""

    def key(row: tuple[Any, ...]) -> tuple[list[str], list[float]]:
        exact = [str(value) for value in row if not isinstance(value, float)]
        return exact, [float(f"{value:.9g}") for value in row if isinstance(value, float)]

    return sorted((tuple(row.values()) for row in answer.to_pylist()), key=key)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, floating ones within TOLERANCE."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE)
    return type(one) is type(other) and bool(one == other)


def assert_same(one: pa.Table, other: pa.Table) -> None:
    assert one.num_rows > 0
    for left, right in zip(rows(one), rows(other), strict=True):
        assert all(map(same, left, right)), f"{left}\n{right}"


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_view_answers_the_same_on_both_engines(both: Settings, view: View) -> None:
    there = engine.run(engine.connect(both), f"SELECT * FROM {view.name}")
    columns = ", ".join(f'"{name}"' for name in there.column_names)
    assert_same(there, Reader(both).sql(f"SELECT {columns} FROM {view.name}"))


@pytest.mark.parametrize("rollup", ROLLUPS, ids=lambda rollup: rollup.name)
def test_a_rollup_is_what_trino_would_have_made_of_the_rows(both: Settings, rollup: Rollup) -> None:
    there = engine.run(engine.connect(both), rollup.sql_in(both["zone"]))
    columns = ", ".join(f'"{name}"' for name in there.column_names)
    assert_same(there, Reader(both).sql(f"SELECT {columns} FROM {rollup.name}"))


def test_a_rollup_that_is_new_is_filled_when_views_are_made(release: Release, both: Settings) -> None:
    (name, *_) = [rollup.name for rollup in ROLLUPS if rollup.of]
    before = release.trino(f"SELECT count(*) FROM {name}", schema=NAMESPACE)
    release.trino(f"DROP TABLE {name}", schema=NAMESPACE)
    make_views(both)
    assert release.trino(f"SELECT count(*) FROM {name}", schema=NAMESPACE) == before != [[0]]


def test_views_are_made_by_the_release_and_by_its_job_again(release: Release) -> None:
    release.finished_job(release.job_of("loader-views"))
    wanted = {item.name for item in (*VIEWS, *ROLLUPS, *DATASETS.values())}
    for user in ("admin", "analyst"):
        assert wanted <= {name for (name,) in release.trino("SHOW TABLES", user=user)}
    release.trino("CREATE OR REPLACE VIEW access_logs_daily AS SELECT 1 AS nothing", user="writer")
    assert f"{len(VIEWS)} views in Trino's iceberg.lakehouse" in release.run_again("loader-views", "views-again")
    assert "hits" in [name for name, *_ in release.trino("DESCRIBE access_logs_daily")]


def test_sample_data_is_there_and_loaded_once(release: Release) -> None:
    counts = """
        SELECT site, count(DISTINCT date), count(*), count(DISTINCT (_input, _line))
        FROM access_logs WHERE site IN ('rennes', 'paris', 'lyon') GROUP BY 1
    """
    release.finished_job(release.job_of("loader-sample"))
    before = sorted(release.trino(counts))
    gaps = {fill.GAP[1]: 1}
    assert [(site, days) for site, days, *_ in before] == [
        (site, fill.DAYS - gaps.get(site, 0)) for site in sorted(fill.LINES["access_logs"])
    ]
    assert all(rows == lines for *_, rows, lines in before)
    release.run_again("loader-sample", "sample-again")
    assert sorted(release.trino(counts)) == before


@pytest.fixture
def ask(release: Release) -> Callable[[str, str, str], list[Any]]:
    """Asks Trino as a user in the name of somebody."""

    def ask(user: str, name: str, sql: str) -> list[Any]:
        with trino_connection(release, user, name) as connection:
            found: list[Any] = connection.cursor().execute(sql).fetchall()
            return found

    return ask


def test_an_analyst_reads_views_but_nothing_private(ask: Callable[[str, str, str], list[Any]]) -> None:
    for view in VIEWS:
        ask("analyst", "analyst", f"SELECT * FROM {view.name} LIMIT 1")
    for sql in ("SELECT client_ip FROM access_logs", "SELECT visitor FROM access_logs", "SELECT query_text FROM api_logs"):
        with pytest.raises(TrinoUserError, match="Access Denied"):
            ask("analyst", "analyst", sql)


def test_superset_asks_in_the_name_of_people(ask: Callable[[str, str, str], list[Any]]) -> None:
    assert ask("superset", "alice@example.org", "SELECT current_user") == [["alice@example.org"]]
    [[hits]] = ask("superset", "alice@example.org", "SELECT sum(hits) FROM access_logs_daily")
    assert hits > 0
    for sql in ("SELECT query_text FROM api_logs", "SELECT client_ip FROM access_logs", "DELETE FROM access_logs"):
        with pytest.raises(TrinoUserError, match="Access Denied"):
            ask("superset", "alice@example.org", sql)
    for name in ("admin", "writer", "shutdown"):
        with pytest.raises(Exception, match="cannot impersonate user"):
            ask("superset", name, "SELECT 1")


@pytest.mark.parametrize("user", ["admin", "analyst", "writer"])
def test_nobody_else_asks_in_the_name_of_people(ask: Callable[[str, str, str], list[Any]], user: str) -> None:
    assert ask(user, user, "SELECT current_user") == [[user]]
    with pytest.raises(Exception, match="cannot impersonate user"):
        ask(user, "alice@example.org", "SELECT 1")


def test_only_who_may_write_makes_views(release: Release, tmp_path: Path) -> None:
    password = release.secret("trino-users", "analyst")
    with (
        outside_settings(release, tmp_path, LAKEHOUSE_TRINO_USER="analyst", LAKEHOUSE_TRINO_PASSWORD=password) as settings,
        pytest.raises(Exception, match="Access Denied"),
    ):
        make_views(settings)
