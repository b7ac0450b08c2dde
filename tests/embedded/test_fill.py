"""Sample data for dashboards: there once, however often it is asked for, and never beside other data."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lakehouse import load
from lakehouse.datasets import get_dataset
from lakehouse.errors import StorageError
from lakehouse.reading import Reader
from lakehouse.sample import fill
from tests.support.home import Home

pytestmark = pytest.mark.embedded
ACCESS_LOGS: Any = get_dataset("access_logs", Path())
LINE = b'192.0.2.1 - - [%s] "GET / HTTP/1.1" 200 1 "-" "curl/8.0"\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(fill, "LINES", {"access_logs": {"rennes": 20, "paris": 40}, "api_logs": {"paris": 10}})
    monkeypatch.setattr(fill, "DAYS", fill.DAYS_SINCE_GAP + 2)
    return Home(tmp_path, ACCESS_LOGS)


def days(home: Home) -> dict[tuple[int, str], int]:
    """Rows by site and age of the day."""
    today = datetime.now(UTC).date()
    return {((today - day).days, site): rows for day, site, rows, *_ in Reader(home.settings).days("access_logs")}


def test_filled_once(home: Home) -> None:
    fill.fill(home.settings)
    filled = days(home)
    assert filled.keys() == {(age, site) for age in range(1, fill.DAYS + 1) for site in ("rennes", "paris")}
    assert sum(filled.values()) > 0.95 * fill.DAYS * 60
    fill.fill(home.settings)
    assert days(home) == filled
    assert home.query("SELECT count(*) FROM t WHERE response_time_ms IS NULL") == [(0,)]
    assert len(Reader(home.settings).days("api_logs")) == fill.DAYS


def test_what_a_filling_that_died_left_undone_is_done_by_the_next(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> int:
        raise StorageError("no space")

    with monkeypatch.context() as patched:
        patched.setattr(load, "update_reports", fails)
        with pytest.raises(StorageError, match="the rows are loaded"):
            fill.fill(home.settings)
    filled = days(home)
    assert len(filled) == 2 * fill.DAYS
    fill.fill(home.settings)
    assert days(home) == filled
    reported = "SELECT dataset, sum(rows_added) FROM load_reports GROUP BY 1 ORDER BY 1"
    rows = [tuple(row.values()) for row in Reader(home.settings).sql(reported).to_pylist()]
    assert rows == [("access_logs", sum(filled.values())), ("api_logs", fill.DAYS * 10)]


def test_a_day_is_missing_on_purpose(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fill, "GAP", ("access_logs", "paris"))
    fill.fill(home.settings)
    assert {age for age, site in days(home) if site == "paris"} == set(range(1, fill.DAYS + 1)) - {fill.DAYS_SINCE_GAP}


def test_days_that_have_passed_are_added(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    class ThreeDaysAgo(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) - timedelta(days=3)

    with monkeypatch.context() as patched:
        patched.setattr(fill, "datetime", ThreeDaysAgo)
        fill.fill(home.settings)
    before = days(home)
    assert {age for age, _ in before} == set(range(4, fill.DAYS + 4))
    fill.fill(home.settings)
    after = days(home)
    assert {age for age, _ in after} == set(range(1, fill.DAYS + 4))
    assert after.items() >= before.items()


def test_beside_logs_of_ones_own_nothing_is_filled(home: Home) -> None:
    log = home.write("access.log", LINE % f"{datetime.now(UTC):%d/%b/%Y:%H:%M:%S +0000}".encode())
    home.load(log, format="combined")
    before = days(home)
    fill.fill(home.settings)
    assert days(home) == before
    assert Reader(home.settings).days("api_logs")
