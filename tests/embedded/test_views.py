"""Rollups of services, layers, records and roles, and the view of missing days, over rows that are known."""

from pathlib import Path
from urllib.parse import quote

import pytest

from lakehouse.datasets.access_logs import DATASET
from lakehouse.datasets.access_logs.breakdowns import ERRORS, PATHS
from lakehouse.reading import Reader
from tests.support.home import Home

pytestmark = pytest.mark.embedded


def line(day: int, url: str, user: str = "-", status: int = 200) -> str:
    return f'10.0.0.1 - {user} [{day:02d}/Mar/2026:05:30:00 +0000] "GET {url} HTTP/1.1" {status} 10 "-" "QGIS"\n'


MAP = "/geoserver/ows?service=WMS&request=GetMap&layers=" + quote("a:roads,a:rivers")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path, DATASET)
    first = [line(1, MAP), line(1, MAP, "u|ORG|R1,R2", 500), line(1, "/about"), line(4, "/geonetwork/srv/api/records/abc-1")]
    home.load(home.write("a.log", "".join(first).encode()), site="a")
    home.load(home.write("b.log", line(3, "/about").encode()), site="b")
    return home


def test_each_service_layer_record_and_role_counts(home: Home) -> None:
    with Reader(home.settings).connect() as connection:
        layers = connection.execute(
            "SELECT service, request, workspace, layer, hits, bytes FROM access_logs_layers_daily ORDER BY layer"
        )
        assert layers.fetchall() == [("WMS", "GetMap", "a", f"a:{name}", 2, 20) for name in ("rivers", "roads")]
        roles = connection.execute("SELECT org, role, hits FROM access_logs_roles_daily ORDER BY role").fetchall()
        assert roles == [("ORG", "R1", 1), ("ORG", "R2", 1)]
        services = "SELECT service, org, hits, failed FROM access_logs_services_daily ORDER BY org"
        assert connection.execute(services).fetchall() == [("WMS", "ORG", 1, 1), ("WMS", None, 1, 0)]
        records = connection.execute("SELECT day(date), record_uuid, hits, bytes FROM access_logs_records_daily")
        assert records.fetchall() == [(4, "abc-1", 1, 10)]


def test_days_without_rows_are_missing_up_to_the_newest_of_all_sites(home: Home) -> None:
    with Reader(home.settings).connect() as connection:
        found = connection.execute(
            "SELECT site, day(date), row_count, missing FROM access_logs_coverage ORDER BY site, date"
        ).fetchall()
    assert found == [("a", 1, 3, 0), ("a", 2, 0, 1), ("a", 3, 0, 1), ("a", 4, 1, 0), ("b", 3, 1, 0), ("b", 4, 0, 1)]


def test_agents_and_the_paths_asked_for_most_of_each_day_and_application(tmp_path: Path) -> None:
    home = Home(tmp_path, DATASET)
    # More paths than are kept, each asked for once; of those asked for as often, the first in their order stay.
    many = [line(1, f"/about/{number:04d}") for number in range(PATHS + 5)]
    more = [line(1, "/about/last", status=404), line(1, "/about/last"), line(1, "/data/x"), line(2, "/about/0001")]
    home.load(home.write("a.log", "".join(many + more).encode()), site="a")
    with Reader(home.settings).connect() as connection:
        agents = connection.execute(
            "SELECT day(date), application, is_bot, hits, bytes, failed FROM access_logs_agents_daily ORDER BY ALL"
        ).fetchall()
        kept = connection.execute(
            "SELECT day(date), site, application, path, hits, bytes, failed FROM access_logs_paths_daily ORDER BY ALL"
        ).fetchall()
    assert agents == [
        (1, "about", False, PATHS + 7, 10 * (PATHS + 7), 1), (1, "data", False, 1, 10, 0), (2, "about", False, 1, 10, 0)
    ]  # fmt: skip
    expected = [(1, "a", "about", f"/about/{number:04d}", 1, 10, 0) for number in range(PATHS - 1)]
    expected += [(1, "a", "about", "/about/last", 2, 20, 1), (1, "a", "data", "/data/x", 1, 10, 0)]
    assert kept == [*expected, (2, "a", "about", "/about/0001", 1, 10, 0)]


def test_the_newest_server_errors_of_each_hour_and_application(tmp_path: Path) -> None:
    home = Home(tmp_path, DATASET)
    # All of one second: of those the last lines are the newest.
    down = [line(1, f"/about/{number:04d}", status=503) for number in range(ERRORS + 5)]
    others = [line(1, "/data/x", status=500), line(1, "/data/y", status=404), line(2, "/about/z", status=502)]
    later = line(1, "/about/later", status=504).replace(":05:30:", ":06:00:")
    home.load(home.write("a.log", "".join([*down, *others, later]).encode()), site="a")
    with Reader(home.settings).connect() as connection:
        kept = connection.execute(
            "SELECT day(date), site, hour(ts), application, http_status, path FROM access_logs_server_errors ORDER BY ALL"
        ).fetchall()
    expected = [(1, "a", 5, "about", 503, f"/about/{number:04d}") for number in range(5, ERRORS + 5)]
    expected += [(1, "a", 5, "data", 500, "/data/x"), (1, "a", 6, "about", 504, "/about/later")]
    assert kept == [*expected, (2, "a", 5, "about", 502, "/about/z")]
