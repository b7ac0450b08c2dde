"""Who may see what: a viewer the rows of their sites, an analyst all of them, nobody else anything."""

import json
from pathlib import Path

import pytest
from requests import HTTPError

from lakehouse.datasets import get_dataset
from tests.browser.conftest import USERS, Dashboards
from tests.browser.forged import FORGED, OTHER, SITE, assert_only_own_rows, sql
from tests.browser.pages import browser_page, log_in, number, open_dashboard, problems, tile
from tests.browser.test_dashboards import FIRST_DAY, TABS
from tests.support.superset import Api, rows

pytestmark = pytest.mark.browser
REPORT = "/superset/log/?explode=events"
"""Where a page tells what somebody did on it."""
APPLY_ACCESS = """
import os
from access import apply_access, read_users
from prepare import MARK
from superset.app import create_app
with create_app().app_context():
    from superset import db
    from superset.connectors.sqla.models import SqlaTable
    from superset.models.core import Database
    found = (db.session.query(model).filter(model.external_url.startswith(MARK)).all() for model in (SqlaTable, Database))
    apply_access(read_users(os.environ["DASHBOARDS_USERS"]), *found)
"""
LOGIN_PAGE = """
import json
from superset.app import create_app
answer = create_app().test_client().get("/login/", headers={"X-Forwarded-Proto": "https"})
print(json.dumps(dict(answer.headers)))
"""


@pytest.fixture(scope="module")
def admin(dashboards: Dashboards) -> Api:
    return Api(dashboards.address, "admin", dashboards.password)


@pytest.fixture(scope="module")
def viewer(dashboards: Dashboards) -> Api:
    return Api(dashboards.address, "roxane", dashboards.password_of("roxane"))


@pytest.fixture(scope="module")
def datasets(admin: Api) -> dict[str, int]:
    return admin.datasets()


def test_a_viewer_sees_their_site_in_every_dataset_also_where_an_admin_just_asked(
    admin: Api, viewer: Api, datasets: dict[str, int]
) -> None:
    assert len(datasets) >= 10
    for name, dataset in datasets.items():
        admin.ask(dataset)
        cached = admin.ask(dataset)
        assert [result["is_cached"] for result in cached.json()["result"]] == [True], name
        everything = rows(cached)
        assert {OTHER, SITE} <= {row["site"] for row in everything}, name
        seen = rows(viewer.ask(dataset))
        assert seen == [row for row in everything if row["site"] == SITE], name


def test_a_viewer_of_a_site_without_rows_sees_nothing(dashboards: Dashboards, datasets: dict[str, int]) -> None:
    nobody = Api(dashboards.address, "nobody", dashboards.password_of("nobody"))
    answer = nobody.ask(datasets["access_logs_traffic"])
    assert answer.status_code == 200
    assert rows(answer) == []


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_question_shows_no_row_of_another_site(admin: Api, viewer: Api, datasets: dict[str, int], forged: str) -> None:
    assert_only_own_rows(admin, viewer, datasets["access_logs_traffic"], forged)


def test_a_viewer_can_ask_for_no_private_column(viewer: Api, datasets: dict[str, int]) -> None:
    for name in ("access_logs", "api_logs"):
        private = [column.name for column in get_dataset(name, Path("none")).columns if column.private]
        assert private
        for dataset in (datasets[found] for found in datasets if found.startswith(f"{name}_")):
            assert rows(viewer.ask(dataset, columns=[sql("site", "known")]))
            for column in private:
                assert rows(viewer.ask(dataset, columns=[sql(column, "private")])) == [], (dataset, column)


def test_a_viewer_reaches_neither_sql_nor_what_others_may_change(
    dashboards: Dashboards, viewer: Api, datasets: dict[str, int]
) -> None:
    assert viewer.ask_in_sql_lab("SELECT * FROM access_logs").status_code == 403
    assert viewer.post("/api/v1/chart/", {"slice_name": "x", "datasource_id": 1, "datasource_type": "table"}).status_code == 403
    assert viewer.post("/api/v1/dataset/", {"database": 1, "table_name": "x", "sql": "SELECT 1"}).status_code == 403
    assert viewer.post("/api/v1/rowlevelsecurity/", {"name": "x"}).status_code in (403, 404)
    assert viewer.get("/api/v1/database/").status_code in (403, 404) or viewer.get("/api/v1/database/").json()["count"] == 0
    samples = viewer.post(f"/datasource/samples?datasource_id={datasets['access_logs_traffic']}&datasource_type=table", {})
    if samples.status_code == 200:
        assert {row["site"] for row in samples.json()["result"]["data"]} <= {SITE}


def test_nobody_sees_anything(dashboards: Dashboards, datasets: dict[str, int]) -> None:
    nobody = Api(dashboards.address)
    assert nobody.ask(datasets["access_logs_traffic"]).status_code in (401, 403)
    for path in ("/api/v1/dashboard/", "/api/v1/dataset/", "/api/v1/chart/1/data/"):
        answer = nobody.get(path)
        assert answer.status_code in (401, 403) or answer.json()["result"] == [], path
    page = nobody.get("/superset/dashboard/web-traffic/")
    assert page.status_code == 302 and "/login" in page.headers["Location"]


def test_a_report_of_nobody_leaves_the_cookie_that_a_login_sets(dashboards: Dashboards, tmp_path: Path) -> None:
    """The login page sends one on its way out; an answer with a cookie that comes after the login's would end it."""
    nobody = Api(dashboards.address)
    assert "Set-Cookie" in nobody.get("/login/").headers
    answer = nobody.post(REPORT, {})
    assert (answer.status_code, answer.headers.get("Set-Cookie")) == (401, None)
    with browser_page(tmp_path / "chromium") as (page, _):
        log_in(page, dashboards.address, "admin", dashboards.password)
        assert page.request.post(dashboards.address + REPORT, form={"events": "[]"}).status == 200


def test_an_analyst_asks_in_sql_lab_and_cannot_leave_the_lakehouse(dashboards: Dashboards) -> None:
    analyst = Api(dashboards.address, "otto", dashboards.password_of("otto"))
    ask = analyst.ask_in_sql_lab
    hits = dashboards.sql("select count(*) hits from access_logs")[0]["hits"]
    answer = ask("SELECT count(*) AS hits FROM access_logs")
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == [{"hits": hits}]
    for statement in ("SELECT * FROM read_text('/etc/passwd')", f"COPY (SELECT 1) TO '{dashboards.tables}/x.csv'"):
        assert ask(statement).status_code != 200, statement
    assert not (dashboards.tables / "x.csv").exists()
    log, profile = dashboards.tables / "evil", dashboards.tables / "_lakehouse" / "access_logs" / "current.json"
    before = profile.read_bytes()
    for name, statement in {
        "enable_logging": f"FROM enable_logging('QueryLog', storage='file', storage_path='{log}')",
        "enable_profiling": f"SELECT (FROM system.main.enable_profiling(format='json', save_location='{profile}'))",
        "query": f"SELECT * FROM query('FROM enable_' || 'logging(storage=''file'', storage_path=''{log}'')')",
        "write_log": "SELECT list_transform([1], lambda x: write_log('x'))",
        "duckdb_logs": "WITH logs AS (SELECT message FROM duckdb_logs()) SELECT * FROM logs",
        "duckdb_secrets": "SELECT * FROM duckdb_secrets()",
    }.items():
        assert f"there is no {name} here that a SELECT may call" in ask(statement).text, statement
    assert ask("SELECT 42 AS n").json()["data"] == [{"n": 42}]
    assert profile.read_bytes() == before and not log.exists()


@pytest.mark.parametrize("address", ["duckdb://", "duckdb:////etc/passwd", "duckdb+duckdb_engine://", "sqlite:////tmp/x.db"])
def test_no_database_can_be_reached_around_the_dialect(admin: Api, address: str) -> None:
    for path in ("/api/v1/database/", "/api/v1/database/test_connection/"):
        answer = admin.post(path, {"database_name": "another", "sqlalchemy_uri": address})
        assert answer.status_code in (400, 422)
        assert "reads the lakehouse and nothing else" in answer.text or "for security reasons" in answer.text


def test_guest_tokens_open_nothing(dashboards: Dashboards, admin: Api, viewer: Api, datasets: dict[str, int]) -> None:
    wanted = {"user": {"username": "guest"}, "resources": [{"type": "dashboard", "id": "1"}], "rls": []}
    for user in (viewer, Api(dashboards.address, "otto", dashboards.password_of("otto"))):
        assert user.post("/api/v1/security/guest_token/", wanted).status_code == 403
    token = admin.post("/api/v1/security/guest_token/", wanted).json()["token"]
    guest = Api(dashboards.address, guest_token=token)
    assert guest.get("/api/v1/me/").status_code == 401
    assert guest.ask(datasets["access_logs_traffic"]).status_code == 401


def test_who_is_not_in_the_list_any_more_cannot_log_in(dashboards: Dashboards, tmp_path: Path) -> None:
    leaver = Api(dashboards.address, "leaver", dashboards.password_of("leaver"))
    assert leaver.get("/api/v1/me/").status_code == 200
    users = tmp_path / "users.yaml"
    users.write_text("".join(line for line in USERS.splitlines(keepends=True) if "leaver" not in line))
    dashboards.run(APPLY_ACCESS, DASHBOARDS_USERS=str(users))
    assert leaver.get("/api/v1/me/").status_code == 401
    with pytest.raises(HTTPError, match="401"):
        Api(dashboards.address, "leaver", dashboards.password_of("leaver"))
    Api(dashboards.address, "otto", dashboards.password_of("otto"))


def test_cookies_are_for_tls_only_where_people_come_by_it(dashboards: Dashboards) -> None:
    plain = Api(dashboards.address).get("/login/").headers
    behind_tls = json.loads(dashboards.run(LOGIN_PAGE, DASHBOARDS_TLS="true").splitlines()[-1])
    assert "Secure" not in plain["Set-Cookie"] and "Secure" in behind_tls["Set-Cookie"]
    assert "Strict-Transport-Security" not in plain and "Strict-Transport-Security" in behind_tls
    for headers in (plain, behind_tls):
        assert "HttpOnly" in headers["Set-Cookie"] and "SameSite=Lax" in headers["Set-Cookie"]
        assert "default-src 'self';" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_a_dashboard_of_a_viewer(dashboards: Dashboards, tmp_path: Path) -> None:
    with browser_page(tmp_path) as (page, outside):
        log_in(page, dashboards.address, "roxane", dashboards.password_of("roxane"))
        open_dashboard(page, dashboards.address, "web-traffic", TABS["web-traffic"])
        assert problems(page) == []
        condition = f"site = '{SITE}' and date >= date '{FIRST_DAY}'"
        hits = dashboards.sql(f"select count(*) hits from access_logs where {condition}")[0]["hits"]
        assert number(tile(page, "Hits")) == hits
        assert OTHER not in page.locator("body").inner_text()
        assert page.request.post(dashboards.address + REPORT, form={"events": "[]"}).status == 200
    assert outside == set()
