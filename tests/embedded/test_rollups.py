"""Rollups equal the query over the rows, whatever happened to the rows (DESIGN 9)."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import Mock

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.table import Table

from lakehouse import rollups
from lakehouse.catalog import ensure_table, open_catalog
from lakehouse.datasets.access_logs import DATASET
from lakehouse.derived import files_of_days
from lakehouse.engines import duckdb as engine
from lakehouse.engines.dialect import to_duckdb
from lakehouse.inputs import InputFile
from lakehouse.reading import Reader
from lakehouse.rollups import update_rollups
from tests.support.home import Home

pytestmark = pytest.mark.embedded


def line(day: int, hour: int, address: int, status: int, path: str, millis: int) -> bytes:
    return (
        f"10.{address}.0.1 - - [{day:02d}/Mar/2026:{hour:02d}:30:00 +0000] "
        f'"GET /{path}/x HTTP/1.1" {status} {100 * address} "-" "agent/{address % 3}" {millis}\n'
    ).encode()


FORMAT = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
    '"$http_referer" "$http_user_agent" $request_time'
)


class StoppedError(Exception):
    pass


class StopAt:
    """Ends a load at a step, as a kill does: nothing after it runs."""

    def __init__(self, step: str):
        self.wanted = step

    def step(self, name: str) -> None:
        if name == self.wanted:
            raise StoppedError

    def read(self, found: InputFile, size: int) -> None:
        pass


@contextmanager
def reader(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    with Reader(home.settings).connect() as connection:
        yield connection


def assert_rollups_hold(home: Home) -> None:
    with reader(home) as connection:
        for rollup in DATASET.rollups:
            names = ", ".join(engine.identifier(column.name) for column in rollup.columns)
            stored, wanted = f"SELECT {names} FROM {rollup.name}", to_duckdb(rollup.sql)
            assert connection.execute(f"({stored}) EXCEPT ALL ({wanted})").fetchall() == [], rollup.name
            assert connection.execute(f"({wanted}) EXCEPT ALL ({stored})").fetchall() == [], rollup.name


def test_a_load_computes_the_days_that_it_touched_and_no_others(tmp_path: Path) -> None:
    home = Home(tmp_path, DATASET)
    home.load(home.write("a.log", b"".join(line(day, 5, 1, 200, "a", 3) for day in range(1, 6))), format=FORMAT)
    before = {str(row["partition"]["date"]): row for row in _partitions(home, "access_logs_hourly")}
    home.load(home.write("b.log", line(3, 7, 2, 404, "b", 9)), format=FORMAT)
    after = {str(row["partition"]["date"]): row for row in _partitions(home, "access_logs_hourly")}
    changed = [day for day in after if after[day]["last_updated_snapshot_id"] != before[day]["last_updated_snapshot_id"]]
    assert changed == ["2026-03-03"]
    assert_rollups_hold(home)


def _partitions(home: Home, name: str) -> list[dict[str, dict[str, date]]]:
    rows: list[dict[str, dict[str, date]]] = Reader(home.settings).tables()[name].inspect.partitions().to_pylist()
    return rows


@pytest.mark.parametrize("step", ["committed", "rolled up"])
def test_a_crash_leaves_the_days_due(tmp_path: Path, step: str) -> None:
    home = Home(tmp_path, DATASET)
    home.load(home.write("a.log", line(1, 5, 1, 200, "a", 3)), format=FORMAT)
    with pytest.raises(StoppedError):
        home.load(home.write("b.log", line(2, 5, 1, 200, "a", 3)), format=FORMAT, observer=StopAt(step))
    # The next load has nothing new to commit, and does what the killed one has left undone.
    home.load(home.folder / "b.log", format=FORMAT)
    assert_rollups_hold(home)


def test_an_unloaded_day_disappears_from_the_rollups(tmp_path: Path) -> None:
    home = Home(tmp_path, DATASET)
    home.load(home.write("a.log", line(1, 5, 1, 200, "a", 3)), format=FORMAT)
    home.unload(next(iter(home.ledger().inputs)))
    assert_rollups_hold(home)
    with reader(home) as connection:
        assert connection.execute("SELECT count(*) FROM access_logs_hourly").fetchone() == (0,)


def test_a_changed_definition_is_computed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path, DATASET)
    home.load(home.write("a.log", line(1, 5, 1, 200, "a", 3)), format=FORMAT)
    catalog = open_catalog(home.settings)
    assert [updated.days for updated in update_rollups(catalog, home.settings, DATASET)] == [()] * len(DATASET.rollups)
    monkeypatch.setattr("lakehouse.rollups.definition_digest", lambda rollup: "another")
    assert [updated.days for updated in update_rollups(catalog, home.settings, DATASET)] == [(date(2026, 3, 1),)] * len(
        DATASET.rollups
    )


def test_a_rival_that_loads_and_aggregates_meanwhile_is_not_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path, DATASET)
    home.load(home.write("a.log", line(1, 5, 1, 200, "a", 3)), format=FORMAT)
    rivals = [home.write("b.log", line(1, 6, 1, 200, "a", 3))]

    def ensure_after_the_rival(*arguments: Any, **options: Any) -> Table:
        if rivals:
            home.load(rivals.pop(), format=FORMAT)
        return ensure_table(*arguments, **options)

    monkeypatch.setattr(rollups, "ensure_table", ensure_after_the_rival)
    update_rollups(open_catalog(home.settings), home.settings, DATASET, rebuild=True)
    assert_rollups_hold(home)


def test_all_rollups_of_a_load_list_its_files_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path, DATASET)
    home.load(home.write("a.log", line(1, 5, 1, 200, "a", 3)), format=FORMAT)
    listed = Mock(side_effect=files_of_days)
    monkeypatch.setattr(rollups, "files_of_days", listed)
    home.load(home.write("b.log", line(1, 6, 1, 200, "a", 3)), format=FORMAT)
    assert listed.call_count == 1


def test_percentiles_and_visitors_are_within_their_bounds(tmp_path: Path) -> None:
    home = Home(tmp_path, DATASET)
    content = b"".join(line(1, number % 24, number % 200, 200, "a", number / 1000) for number in range(1, 2001))  # type: ignore[arg-type]
    home.load(home.write("a.log", content), format=FORMAT)
    with reader(home) as connection:
        (p50, p95, p99), exact = (
            connection.execute("SELECT p50_ms, p95_ms, p99_ms FROM access_logs_latency_daily").fetchone() or (0, 0, 0),
            (1000, 1900, 1980),
        )
        assert [p50, p95, p99] == [pytest.approx(value, rel=0.011) for value in exact]
        (visitors,) = connection.execute("SELECT visitors FROM access_logs_visitors_daily").fetchone() or (0,)
        (counted,) = connection.execute("SELECT count(DISTINCT visitor) FROM access_logs").fetchone() or (0,)
        assert visitors == pytest.approx(counted, rel=0.07)
        assert connection.execute("SELECT sum(hits) FROM access_logs_daily").fetchone() == (2000,)


def test_days_and_months_are_those_of_the_zone(tmp_path: Path) -> None:
    home = Home(tmp_path, DATASET, LAKEHOUSE_ZONE="Europe/Paris")
    # 23:30 UTC is the next day in Paris; the last night of March has 23 hours there.
    home.load(home.write("a.log", line(28, 23, 1, 200, "a", 3) + line(31, 22, 1, 200, "a", 3)), format=FORMAT)
    with reader(home) as connection:
        assert connection.execute("SELECT day FROM access_logs_daily ORDER BY 1").fetchall() == [
            (date(2026, 3, 29),),
            (date(2026, 4, 1),),
        ]
        assert connection.execute("SELECT month FROM access_logs_monthly ORDER BY 1").fetchall() == [
            (date(2026, 3, 1),),
            (date(2026, 4, 1),),
        ]


LINES = st.builds(
    line,
    st.integers(1, 4),
    st.integers(0, 23),
    st.integers(1, 9),
    st.sampled_from([200, 204, 301, 404, 500]),
    st.sampled_from(["a", "b", "geoserver"]),
    st.integers(0, 3),
)
STEPS = st.sampled_from(["intent declared", "staged", "ledger written", "commit prepared", "committed", None, None, None])
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("load"), st.integers(0, 3), st.lists(LINES, min_size=1, max_size=5), STEPS),
        st.tuples(st.just("unload"), st.integers(0, 3), st.none(), st.none()),
        st.tuples(st.just("replace"), st.integers(0, 3), st.lists(LINES, min_size=1, max_size=5), STEPS),
        st.tuples(st.just("day"), st.integers(1, 4), st.lists(LINES, min_size=1, max_size=3), STEPS),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=8, deadline=None)
@given(OPERATIONS)
def test_rollups_hold_after_any_sequence_of_changes(operations: list[tuple[str, int, list[bytes] | None, str | None]]) -> None:
    with TemporaryDirectory() as folder:
        home = Home(Path(folder), DATASET)
        logs: dict[int, bytes] = {}
        for number, (kind, index, new_lines, step) in enumerate(operations):
            content = b"".join(new_lines or [])
            records = {record.location: record.id for record in home.ledger().inputs.values()} if home.table() else {}
            loaded = records.get(str(home.folder / f"{index}.log"))
            try:
                observer = StopAt(step) if step else None
                if kind == "load":
                    logs[index] = logs.get(index, b"") + content
                    home.load(home.write(f"{index}.log", logs[index]), format=FORMAT, observer=observer)
                elif kind == "unload" and loaded:
                    home.unload(loaded)
                elif kind == "replace" and loaded:
                    logs[index] = content
                    home.load(home.write(f"{index}.log", content), format=FORMAT, replace=(loaded,), observer=observer)
                elif kind == "day":
                    path = home.write(f"day{number}.log", content)
                    home.load(path, format=FORMAT, replace_day=date(2026, 3, index), observer=observer)
            except StoppedError:
                continue
        if home.table():
            update_rollups(open_catalog(home.settings), home.settings, DATASET)
            assert_rollups_hold(home)
