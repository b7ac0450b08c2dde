"""Rollups equal the query over the rows, whatever happened to the rows (DESIGN 9)."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyiceberg.table import Table

from lakehouse import derived, rollups
from lakehouse.catalog import ensure_table, open_catalog
from lakehouse.cli import main
from lakehouse.datasets import get_dataset
from lakehouse.datasets.access_logs import DATASET, AccessLogs
from lakehouse.derived import files_of_days, replace_days
from lakehouse.reading import Reader
from lakehouse.rollups import update_rollups
from lakehouse.storage import Store
from tests.support import processes
from tests.support.home import Home
from tests.support.rollups import ACCESS_FORMAT, access_line, api_line, assert_rollups_hold, reader
from tests.support.stops import EXIT_CODE

pytestmark = pytest.mark.embedded


def test_a_load_computes_the_days_that_it_touched_and_no_others(tmp_path: Path) -> None:
    home = Home(tmp_path, DATASET)
    home.load(home.write("a.log", b"".join(access_line(day, 5, 1, 200, "a", 3) for day in range(1, 6))), format=ACCESS_FORMAT)
    before = {str(row["partition"]["date"]): row for row in _partitions(home, "access_logs_latency_hourly")}
    home.load(home.write("b.log", access_line(3, 7, 2, 404, "b", 9)), format=ACCESS_FORMAT)
    after = {str(row["partition"]["date"]): row for row in _partitions(home, "access_logs_latency_hourly")}
    changed = [day for day in after if after[day]["last_updated_snapshot_id"] != before[day]["last_updated_snapshot_id"]]
    assert changed == ["2026-03-03"]
    assert_rollups_hold(home)


@pytest.mark.parametrize("few_rows", [rollups.FEW_ROWS, 0], ids=["read once", "read by each rollup"])
def test_days_and_sites_are_told_apart_where_some_have_files_of_one_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_rows: int
) -> None:
    monkeypatch.setattr(rollups, "FEW_ROWS", few_rows)
    home = Home(tmp_path, DATASET)
    for site, days in (("a", (1, 2)), ("it's", (2,)), ("a", (1,)), ("b", (3,))):
        log = b"".join(access_line(day, 5, len(site), 500, site[0], 3) for day in days)
        home.load(home.write(f"{site}-{len(days)}.log", log), site=site, format=ACCESS_FORMAT)
        assert_rollups_hold(home)


def test_hours_before_1970_and_long_after(tmp_path: Path) -> None:
    home = Home(tmp_path, DATASET)
    years = (b"0001", b"1969", b"1970", b"9999")
    lines = (access_line(day, 5, 1, 200, "a", 3).replace(b"2026", year) for year in years for day in (1, 2))
    home.load(home.write("a.log", b"".join(lines)), format=ACCESS_FORMAT)
    assert_rollups_hold(home)
    with reader(home) as connection:
        hours = connection.execute("SELECT DISTINCT year(hour) FROM access_logs_hourly ORDER BY 1").fetchall()
    assert hours == [(1,), (1969,), (1970,), (9999,)]


def _partitions(home: Home, name: str) -> list[dict[str, dict[str, date]]]:
    rows: list[dict[str, dict[str, date]]] = Reader(home.settings).tables()[name].inspect.partitions().to_pylist()
    return rows


@pytest.mark.parametrize("step", ["committed", "rolled up"])
def test_the_death_of_the_process_leaves_the_days_due(tmp_path: Path, step: str) -> None:
    home = Home(tmp_path, DATASET)
    home.load(home.write("a.log", access_line(1, 5, 1, 200, "a", 3)), format=ACCESS_FORMAT)
    log = home.write("b.log", access_line(2, 5, 1, 200, "a", 3))
    process = processes.start(processes.load, home.folder, [str(log)], {"format": ACCESS_FORMAT}, step, DATASET)
    assert processes.wait(process) == EXIT_CODE
    # The next load has nothing new to commit, and does what the killed one has left undone.
    home.load(log, format=ACCESS_FORMAT)
    assert_rollups_hold(home)


def test_an_unloaded_day_disappears_from_the_rollups(tmp_path: Path) -> None:
    home = Home(tmp_path, DATASET)
    home.load(home.write("a.log", access_line(1, 5, 1, 200, "a", 3)), format=ACCESS_FORMAT)
    home.unload(next(iter(home.ledger().inputs)))
    assert_rollups_hold(home)
    with reader(home) as connection:
        assert connection.execute("SELECT count(*) FROM access_logs_hourly").fetchone() == (0,)


def test_a_changed_definition_is_computed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path, DATASET)
    home.load(home.write("a.log", access_line(1, 5, 1, 200, "a", 3)), format=ACCESS_FORMAT)
    catalog = open_catalog(home.settings)
    assert [updated.days for updated in update_rollups(catalog, home.settings, DATASET)] == [()] * len(DATASET.rollups)
    monkeypatch.setattr("lakehouse.rollups.definition_digest", lambda *_: "another")
    assert [updated.days for updated in update_rollups(catalog, home.settings, DATASET)] == [(date(2026, 3, 1),)] * len(
        DATASET.rollups
    )


def test_a_rival_that_loads_and_aggregates_meanwhile_is_not_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path, DATASET)
    home.load(home.write("a.log", access_line(1, 5, 1, 200, "a", 3)), format=ACCESS_FORMAT)
    rivals = [home.write("b.log", access_line(1, 6, 1, 200, "a", 3))]

    def ensure_after_the_rival(*arguments: Any, **options: Any) -> Table:
        if rivals:
            home.load(rivals.pop(), format=ACCESS_FORMAT)
        return ensure_table(*arguments, **options)

    monkeypatch.setattr(rollups, "ensure_table", ensure_after_the_rival)
    update_rollups(open_catalog(home.settings), home.settings, DATASET, rebuild=True)
    assert_rollups_hold(home)


def test_all_rollups_of_a_load_list_its_files_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path, DATASET)
    home.load(home.write("a.log", access_line(1, 5, 1, 200, "a", 3)), format=ACCESS_FORMAT)
    listed = Mock(side_effect=files_of_days)
    monkeypatch.setattr(rollups, "files_of_days", listed)
    home.load(home.write("b.log", access_line(1, 6, 1, 200, "a", 3)), format=ACCESS_FORMAT)
    assert listed.call_count == len({rollup.of for rollup in DATASET.rollups}), "once for each table that some are made from"


def test_percentiles_and_visitors_are_within_their_bounds(tmp_path: Path) -> None:
    # With a key of its own, so that the visitors' hashes are the same each time.
    home = Home(tmp_path, DATASET, LAKEHOUSE_KEY="the same key each time")
    # Two days: responses in 1 ms to 1 s, and in up to 2 s; 200 addresses, and in any hour 25 of them.
    content = b"".join(
        access_line(1 + (number > 1000), number % 24, number % 200, 200, "a", number / 1000) for number in range(1, 2001)
    )
    home.load(home.write("a.log", content), format=ACCESS_FORMAT)
    with reader(home) as connection:
        percentiles = connection.execute("SELECT p50_ms, p95_ms, p99_ms FROM access_logs_latency_daily ORDER BY day").fetchall()
        for found, exact in zip(percentiles, [(500, 950, 990), (1500, 1950, 1990)], strict=True):
            assert found == pytest.approx(exact, rel=0.011)
        assert connection.execute("SELECT month, p50_ms, p95_ms, p99_ms FROM access_logs_latency_monthly").fetchall() == [
            (date(2026, 3, 1), *(pytest.approx(value, rel=0.011) for value in (1000, 1900, 1980)))
        ]
        visitors = connection.execute("SELECT visitors FROM access_logs_visitors_daily").fetchall()
        assert visitors == [(pytest.approx(200, rel=0.07),)] * 2
        by_hour = connection.execute("SELECT hour, visitors FROM access_logs_visitors_by_hour ORDER BY 1").fetchall()
        begin = datetime(2026, 3, 1, tzinfo=UTC)
        assert by_hour == [(begin + timedelta(hours=hour), pytest.approx(25, abs=1)) for hour in range(48)]
        assert connection.execute("SELECT sum(hits) FROM access_logs_daily").fetchone() == (2000,)


def test_days_and_months_are_those_of_the_zone(tmp_path: Path) -> None:
    home = Home(tmp_path, DATASET, LAKEHOUSE_ZONE="Europe/Paris")
    # 23:30 UTC is the next day in Paris; the last night of March has 23 hours there.
    home.load(
        home.write("a.log", access_line(28, 23, 1, 200, "a", 3) + access_line(31, 22, 1, 200, "a", 3)), format=ACCESS_FORMAT
    )
    with reader(home) as connection:
        assert connection.execute("SELECT day FROM access_logs_daily ORDER BY 1").fetchall() == [
            (date(2026, 3, 29),),
            (date(2026, 4, 1),),
        ]
        assert connection.execute("SELECT month FROM access_logs_monthly ORDER BY 1").fetchall() == [
            (date(2026, 3, 1),),
            (date(2026, 4, 1),),
        ]
        for view in ("access_logs_latency_daily", "access_logs_visitors_daily"):
            assert connection.execute(f"SELECT day FROM {view} ORDER BY 1").fetchall() == [
                (date(2026, 3, 29),),
                (date(2026, 4, 1),),
            ]


def test_another_zone_has_the_days_made_anew_and_only_them(tmp_path: Path) -> None:
    line = access_line(28, 23, 1, 200, "a", 3)
    home = Home(tmp_path, DATASET)
    home.load(home.write("a.log", line), format=ACCESS_FORMAT)
    moved = Home(tmp_path, DATASET, LAKEHOUSE_ZONE="Europe/Paris")

    def days() -> list[Any]:
        with reader(moved) as connection:
            return connection.execute("SELECT day FROM access_logs_visitors_daily").fetchall()

    assert days() == [(date(2026, 3, 29),)], "queries do not wait for a load"
    updated = update_rollups(open_catalog(moved.settings), moved.settings, DATASET)
    assert {update.name for update in updated if update.days} == {rollup.name for rollup in DATASET.rollups if rollup.of}
    assert_rollups_hold(moved)
    assert days() == [(date(2026, 3, 29),)]


def test_the_command_tells_dashboards_of_another_zone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path, DATASET)
    home.load(home.write("a.log", access_line(28, 23, 1, 200, "a", 3)), format=ACCESS_FORMAT)
    views = home.folder / "home" / "warehouse" / "lakehouse" / "_lakehouse" / "access_logs" / "views.json"
    assert "Europe/Paris" not in views.read_text()
    monkeypatch.setenv("LAKEHOUSE_HOME", str(home.folder / "home"))
    monkeypatch.setenv("LAKEHOUSE_ZONE", "Europe/Paris")
    assert main(["rollups", "access_logs"]) == 0
    assert "Europe/Paris" in views.read_text()


def test_what_another_version_has_not_brought_up_to_date_is_added_up(tmp_path: Path) -> None:
    home = Home(tmp_path, DATASET)
    home.load(home.write("a.log", access_line(1, 5, 1, 200, "a", 3)), format=ACCESS_FORMAT)

    class OlderVersion(AccessLogs):
        rollups = tuple(rollup for rollup in DATASET.rollups if not rollup.of)

    Home(tmp_path, OlderVersion()).load(home.write("b.log", access_line(2, 5, 1, 200, "a", 3)), format=ACCESS_FORMAT)
    for view in ("access_logs_latency_daily", "access_logs_visitors_daily"):
        with reader(home) as connection:
            days = connection.execute(f"SELECT day FROM {view} ORDER BY 1").fetchall()
        assert days == [(date(2026, 3, 1),), (date(2026, 3, 2),)]


def test_what_is_made_from_a_rollup_stays_due_until_it_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path, DATASET)
    home.load(home.write("a.log", access_line(1, 5, 1, 200, "a", 3)), format=ACCESS_FORMAT)
    made_from_rollups = {rollup.name for rollup in DATASET.rollups if rollup.of}

    def replace_until_then(store: Store, target: Table, *arguments: Any) -> None:
        if target.name()[-1] in made_from_rollups:
            raise KeyboardInterrupt
        replace_days(store, target, *arguments)

    # A killed load: what follows its hourly rollups is not reached.
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(rollups, "replace_days", replace_until_then)
        home.load(home.write("b.log", access_line(2, 5, 1, 200, "a", 3)), format=ACCESS_FORMAT)
    updated = update_rollups(open_catalog(home.settings), home.settings, DATASET)
    assert {update.name: update.days for update in updated if update.name in made_from_rollups} == dict.fromkeys(
        made_from_rollups, (date(2026, 3, 2),)
    )
    assert_rollups_hold(home)


# Deaths of the process: its number of effects (files written and deleted, commits of the catalog) up to its end. ------------


@dataclass(frozen=True)
class Sample:
    """A dataset with rollups, lines of it, and how many effects a load of some of them has: up to its commit, and in all."""

    dataset: Any
    lines: st.SearchStrategy[bytes]
    options: dict[str, Any]
    effects_to_commit: int
    effects: int

    def load(self, home: Home, paths: list[str], dies_at: int | None = None, **changes: Any) -> None:
        """Load, in a process that dies at this effect, if there is one."""
        if dies_at is None:
            home.load(*paths, **self.options, **changes)
            return
        options = {**self.options, **changes}
        process = processes.start(processes.load_until_effect, home.folder, paths, options, dies_at, self.dataset)
        assert processes.wait(process) in (EXIT_CODE, 0)


DAYS, HOURS = st.integers(1, 4), st.integers(0, 23)
ACCESS = Sample(
    DATASET,
    st.builds(
        access_line,
        DAYS,
        HOURS,
        st.integers(1, 9),
        st.sampled_from([200, 204, 301, 404, 500]),
        st.sampled_from(["a", "b", "geoserver"]),
        st.integers(0, 3),
    ),
    {"format": ACCESS_FORMAT},
    effects_to_commit=24,
    effects=220,
)
API = Sample(
    get_dataset("api_logs", Path()),
    st.builds(api_line, DAYS, HOURS, st.integers(0, 9), st.sampled_from([200, 500]), st.sampled_from(["4711A", "0111Z"])),
    {},
    effects_to_commit=18,
    effects=66,
)


@st.composite
def changes(draw: st.DrawFn, sample: Sample) -> list[tuple[str, int, list[bytes], int | None]]:
    """Kinds of change, each with a log or a day, new lines, and when the process dies that makes it, if it does."""
    dies_at = st.none() | st.integers(0, sample.effects_to_commit) | st.integers(sample.effects_to_commit, sample.effects)
    change = st.tuples(
        st.sampled_from(["grow", "grow", "unload", "replace", "replace day"]),
        st.integers(1, 3),
        st.lists(sample.lines, min_size=1, max_size=5),
        dies_at,
    )
    return draw(st.lists(change, min_size=2, max_size=6))


@pytest.mark.parametrize("sample", [ACCESS, API], ids=lambda sample: sample.dataset.name)
@given(st.data())
# Looking for a shorter sequence that fails too would take minutes.
@settings(max_examples=8, phases=(Phase.reuse, Phase.generate))
def test_rollups_hold_after_any_sequence_of_changes(sample: Sample, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(derived, "FILES_PER_MONTH", 1)
        home = Home(Path(folder), sample.dataset)
        logs: dict[int, bytes] = {}
        died = False
        for number, (kind, index, lines, dies_at) in enumerate(data.draw(changes(sample))):
            log = home.folder / f"{index}.log"
            records = home.ledger().inputs.values() if home.table() else []
            loaded = tuple(record.id for record in records if record.location == str(log))
            if kind == "grow" or (kind == "replace" and loaded):
                logs[index] = b"".join(lines) if kind == "replace" else logs.get(index, b"") + b"".join(lines)
                log.write_bytes(logs[index])
                sample.load(home, [str(log)], dies_at, replace=loaded if kind == "replace" else ())
            elif kind == "unload" and loaded:
                sample.load(home, [], dies_at, replace=loaded)
            elif kind == "replace day":
                day = home.write(f"day-{number}.log", b"".join(lines))
                sample.load(home, [str(day)], dies_at, replace_day=date(2026, 3, index))
            else:
                continue
            if died and dies_at is None:
                assert_rollups_hold(home)
            died = dies_at is not None
        if died or not home.table():
            # This load has nothing to commit, and does what the dead one has left undone.
            sample.load(home, [str(home.write("empty.log", b""))])
        assert_rollups_hold(home)
