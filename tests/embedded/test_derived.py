"""Tables by month that are made from others: days are replaced, the others stay, and files stay few."""

from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import Mock

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.manifest import DataFile, ManifestContent
from pyiceberg.table import Table

from lakehouse import derived, rewriting
from lakehouse.catalog import ensure_table, find_table, open_catalog, rollup_columns
from lakehouse.datasets.base import Column
from lakehouse.derived import FILES_PER_MONTH, days_of_file, files_of_days, ledger_of, replace_days
from lakehouse.errors import CatalogError
from lakehouse.live import live_files
from lakehouse.settings import Settings, load_settings
from lakehouse.storage import Store

pytestmark = pytest.mark.embedded

COLUMNS = rollup_columns((Column("date", "date", "Day."), Column("site", "string", "Site."), Column("hits", "long", "Hits.")))
FIRST = date(2026, 2, 20)


class Derived:
    """A table by month, and what should be in it."""

    def __init__(self, folder: Path, partition_by: str = "month"):
        self.settings: Settings = load_settings({"LAKEHOUSE_HOME": str(folder), "HOME": str(folder)})
        self.store = Store(self.settings)
        ensure_table(open_catalog(self.settings), self.settings, "derived", "doc", COLUMNS, partition_by=(partition_by,))
        self.wanted: Counter[tuple[date, int]] = Counter()

    @property
    def table(self) -> Table:
        table = find_table(open_catalog(self.settings), self.settings, "derived")
        assert table is not None
        return table

    def replace(self, days: list[date], hits: list[int]) -> None:
        """Rows of the numbers given, for each of the days."""
        rows = [(day, number) for day in days for number in hits]
        values = {"date": [day for day, _ in rows], "site": ["s"] * len(rows), "hits": [number for _, number in rows]}
        frame = pl.DataFrame(values, schema={"date": pl.Date, "site": pl.String, "hits": pl.Int64})
        replace_days(self.store, self.table, COLUMNS, days, [frame], {}, 5)
        self.wanted = Counter({row: count for row, count in self.wanted.items() if row[0] not in days})
        self.wanted.update(rows)

    def files(self) -> list[DataFile]:
        return list(live_files(self.table, lambda _: True))

    def rows(self) -> Counter[tuple[date, int]]:
        return Counter((row["date"], row["hits"]) for row in self.table.scan().to_arrow().to_pylist())


def days(*numbers: int) -> list[date]:
    return [FIRST + timedelta(days=number) for number in numbers]


NUMBERS, HITS = st.sets(st.integers(0, 30), min_size=1, max_size=6), st.lists(st.integers(1, 9), max_size=3)
CHANGES = st.lists(st.tuples(NUMBERS, HITS), min_size=1, max_size=8)


@settings(max_examples=15)
@given(CHANGES, st.sampled_from(["month", "date"]))
def test_days_are_replaced_and_no_others(changes: list[tuple[set[int], list[int]]], partition_by: str) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(derived, "FILES_PER_MONTH", 2)
        table = Derived(Path(folder), partition_by)
        for numbers, hits in changes:
            before = table.rows()
            table.replace(days(*sorted(numbers)), hits)
            assert table.rows() == table.wanted
            latest = ledger_of(table.table).loads
            record = latest[latest.index["id"][-1]][1]
            assert record.rows_added - record.rows_removed == table.rows().total() - before.total()
            assert record.rows_added == len(hits) * len(numbers)
        if partition_by == "month":
            by_month = Counter(data_file.partition[0] for data_file in table.files())
            assert all(count <= 3 for count in by_month.values())


def test_a_day_that_is_loaded_again_and_again_leaves_the_files_of_the_others_alone(tmp_path: Path) -> None:
    table = Derived(tmp_path)
    for number in range(3):
        table.replace(days(number), [1])
    others = {data_file.file_path for data_file in table.files()}
    for hits in range(5):
        table.replace(days(3), [hits])
        assert others < {data_file.file_path for data_file in table.files()}
    assert len(table.files()) == 4


def test_files_that_have_gathered_become_one(tmp_path: Path) -> None:
    table = Derived(tmp_path)
    for number in range(FILES_PER_MONTH):
        table.replace(days(number), [1])
    assert len(table.files()) == FILES_PER_MONTH
    table.replace(days(FILES_PER_MONTH), [1])
    assert sorted(data_file.record_count for data_file in table.files()) == [1, FILES_PER_MONTH]
    assert table.rows() == table.wanted


def test_files_of_another_program_may_hold_any_day_of_their_month(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Derived(tmp_path)
    table.replace(days(0, 1), [1])

    def without_bounds(of: Table, data_file: DataFile) -> list[date]:
        return days_of_file(of, DataFile.from_args(file_path=data_file.file_path, partition=data_file.partition))

    assert [day.day for day in without_bounds(table.table, table.files()[0])] == list(range(1, 29))
    monkeypatch.setattr(derived, "days_of_file", without_bounds)
    assert set(files_of_days(table.table, days(5))) == {table.files()[0].file_path}
    assert not files_of_days(table.table, days(9)), "the next month"
    table.replace(days(5), [2])
    assert table.rows() == table.wanted


def test_rows_that_another_engine_deleted_are_not_carried_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Derived(tmp_path)
    table.replace(days(0, 1), [1])
    monkeypatch.setattr(rewriting, "manifests", Mock(return_value=(Mock(content=ManifestContent.DELETES),)))
    with pytest.raises(CatalogError, match=r"row-level deletes.*optimize"):
        table.replace(days(0), [2])
    table.replace(days(0, 1), [3])
    assert table.rows() == table.wanted
