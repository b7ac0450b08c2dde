"""Load reports tell what the ledger knows, once, whatever happened between a load and its report."""

from pathlib import Path
from typing import Any

import pytest

from lakehouse import load as load_module
from lakehouse import table_sizes
from lakehouse.catalog import open_catalog
from lakehouse.datasets.access_logs import DATASET
from lakehouse.errors import StorageError
from lakehouse.ledger import LOAD_REPORTS
from lakehouse.reading import Reader
from lakehouse.reports import SIZES, update_reports
from lakehouse.table_sizes import TableSizes
from tests.support.home import Home
from tests.support.tiny import DAY, lines

pytestmark = pytest.mark.embedded


def reports(home: Home, columns: str) -> list[tuple[Any, ...]]:
    with Reader(home.settings).connect() as connection:
        query = f"SELECT {columns} FROM {LOAD_REPORTS} ORDER BY dataset, kind, site, reason NULLS FIRST"
        return connection.execute(query).fetchall()


def test_a_row_for_each_site_and_for_each_reason(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.load(home.write("a/x.log", lines(5) + b"bad\nworse\n"), site="a")
    home.load(home.write("b/x.log", lines(3, start=DAY, text="y")), site="b")
    assert reports(home, "dataset, site, kind, reason, rows_added, rejects") == [
        ("tiny", "a", "load", None, 5, None),
        ("tiny", "a", "load", "not EPOCH TEXT", None, 2),
        ("tiny", "b", "load", None, 3, None),
    ]
    assert [(str(first), str(last)) for first, last in reports(home, "first_day, last_day")][-1] == ("1970-01-02", "1970-01-02")


def test_one_load_of_several_sites(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write("a/x.log", lines(5))
    home.write("b/x.log", lines(3, text="y"))
    home.load(str(tmp_path / "{site}" / "x.log"), site=None)
    columns = "site, rows_added, table_rows, table_files, table_snapshots"
    assert reports(home, columns) == [("a", 5, 5, 1, 1), ("b", 3, 3, 1, 1)]
    (size,) = {row[0] for row in reports(home, "sum(table_bytes) OVER ()")}
    assert size == sum(path.stat().st_size for path in Path(home.table().location()).glob("data/*/*.parquet"))


def test_what_is_taken_out_is_told(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.load(home.write("x.log", lines(5)), site="a")
    home.unload(next(iter(home.ledger().inputs)))
    assert reports(home, "kind, site, rows_added, rows_removed") == [("load", "a", 5, 0), ("unload", None, 0, 5)]


def test_nothing_is_told_twice(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.load(home.write("x.log", lines(5)), site="a")
    before = Reader(home.settings).tables()[LOAD_REPORTS].metadata_location
    home.load(tmp_path / "x.log", site="a")
    assert update_reports(open_catalog(home.settings), home.settings, home.dataset) == 0
    assert Reader(home.settings).tables()[LOAD_REPORTS].metadata_location == before


def test_a_load_that_died_before_its_report_is_told_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)

    def fails(*_: object) -> int:
        raise StorageError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(load_module, "update_reports", fails)
        with pytest.raises(StorageError, match="the rows are loaded"):
            home.load(home.write("x.log", lines(5)), site="a")
    home.load(tmp_path / "x.log", site="a")
    assert reports(home, "site, rows_added") == [("a", 5)]


def test_two_datasets_share_the_table(tmp_path: Path) -> None:
    home, other = Home(tmp_path), Home(tmp_path, DATASET)
    home.load(home.write("x.log", lines(5)), site="a")
    line = b'10.0.0.1 - - [01/Mar/2026:05:30:00 +0000] "GET / HTTP/1.1" 200 1 "-" "a"\n'
    other.load(other.write("y.log", line), site="a")
    home.load(home.write("z.log", lines(2, text="z")), site="b", source="z")
    assert sorted(reports(home, "dataset, site, rows_added")) == [("access_logs", "a", 1), ("tiny", "a", 5), ("tiny", "b", 2)]


def test_sizes_are_brought_up_to_date_from_the_newest_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)

    def told() -> dict[str, list[int]]:
        source = home.table()
        assert source is not None
        known = Reader(home.settings).tables()[LOAD_REPORTS].properties[SIZES + home.dataset.name]
        whole = TableSizes.of(source, None)
        assert TableSizes.decoded(known) == whole
        return whole.by_site

    home.load(home.write("a.log", lines(5)), site="a")  # the first report has nothing to start from

    def counts_all(*_: object) -> None:
        raise AssertionError("the whole table was counted")

    with monkeypatch.context() as patch:
        patch.setattr(table_sizes, "live_files", counts_all)
        home.load(home.write("b.log", lines(3, text="y")), site="b", source="b")
        home.load(home.write("a.log", lines(9)), site="a")
        inputs = home.ledger().inputs
        home.unload(next(record.id for record in map(inputs.get, inputs) if record and record.site == "b"))
    assert {site: numbers[:2] for site, numbers in told().items()} == {"a": [9, 2]}
    # Of two commits between reports the older one is not looked at, so all is counted.
    with monkeypatch.context() as patch:
        patch.setattr(load_module, "update_reports", lambda *_: 0)
        home.load(home.write("c.log", lines(2, text="z")), site="c", source="c")
    home.load(home.write("d.log", lines(4, text="w")), site="d", source="d")
    assert {site: numbers[0] for site, numbers in told().items()} == {"a": 9, "c": 2, "d": 4}
