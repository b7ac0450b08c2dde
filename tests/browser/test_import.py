"""Files and Superset: an import doubles nothing and removes only what came from files; an export writes what was changed."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import uuid
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from tests.browser.conftest import PYTHON, REPOSITORY, SERVE, START, Dashboards
from tests.browser.pages import browser_page, log_in, open_dashboard
from tests.browser.test_dashboards import TABS
from tests.support.superset import Api

pytestmark = pytest.mark.browser
SUPERSET = REPOSITORY / "superset"
CHARTS = len(list((SUPERSET / "assets" / "charts").rglob("*.yaml")))
TABLES = (
    "dashboards", "slices", "tables", "dbs", "table_columns", "sql_metrics", "dashboard_slices", "ab_user", "ab_role",
    "row_level_security_filters", "rls_filter_roles", "rls_filter_tables",
)  # fmt: skip


def run(dashboards: Dashboards, *command: str, state: Path | None = None, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A program of superset/, as serve.py starts it."""
    environment = {
        **os.environ,
        "DASHBOARDS_TABLES": str(dashboards.tables),
        "DASHBOARDS_STATE": str(state or dashboards.state),
        "DASHBOARDS_ADMIN_PASSWORD": dashboards.password,
        "DASHBOARDS_USERS": str(dashboards.home / "users.yaml"),
        "DASHBOARDS_PASSWORDS": str(dashboards.state / "passwords.json"),
        "SUPERSET_CONFIG_PATH": str(SUPERSET / "superset_config.py"),
        "PYTHONPATH": str(SUPERSET),
        **variables,
    }
    program = [str(PYTHON), str(SUPERSET / command[0]), *command[1:]]
    return subprocess.run(program, env=environment, capture_output=True, text=True)


def run_import(dashboards: Dashboards, assets: Path, state: Path | None = None) -> None:
    done = run(dashboards, "prepare.py", str(assets), state=state)
    assert done.returncode == 0, done.stderr


def count(state: Path) -> dict[str, int]:
    tables = TABLES
    with closing(sqlite3.connect(state / "superset.db", timeout=30)) as connection:
        return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


def test_importing_twice_doubles_nothing(dashboards: Dashboards) -> None:
    before = count(dashboards.state)
    run_import(dashboards, SUPERSET / "assets")
    assert count(dashboards.state) == before
    assert (before["dashboards"], before["slices"], before["dashboard_slices"], before["dbs"]) == (4, CHARTS, CHARTS, 1)


@pytest.mark.long
def test_everything_comes_back_from_the_files(dashboards: Dashboards, tmp_path: Path) -> None:
    shutil.copy(dashboards.state / "secrets.json", tmp_path)
    run_import(dashboards, SUPERSET / "assets", state=tmp_path)
    assert count(tmp_path) == count(dashboards.state)


def test_what_was_changed_in_the_browser_is_written_into_the_files_and_nothing_else(
    dashboards: Dashboards, tmp_path: Path
) -> None:
    assets, original = tmp_path / "assets", SUPERSET / "assets"
    shutil.copytree(original, assets)
    same = run(dashboards, "changes.py", "check", str(assets))
    assert same.returncode == 0, same.stdout
    admin = Api(dashboards.address, "admin", dashboards.password)
    charts = admin.get("/api/v1/chart/?q=(page_size:100)").json()["result"]
    slugs = admin.get("/api/v1/dashboard/?q=(page_size:100)").json()["result"]
    boards = [admin.get(f"/api/v1/dashboard/{found['id']}").json()["result"] for found in slugs]
    (hits,) = (chart["id"] for chart in charts if chart["slice_name"] == "Hits")
    try:
        # As the dialog of the dashboard's properties sends it.
        (board,) = (found for found in boards if found["slug"] == "geo-services")
        told = {key: board[key] for key in ("slug", "json_metadata", "css")} | {"dashboard_title": "Maps and data"}
        assert admin.put(f"/api/v1/dashboard/{board['id']}", told).status_code == 200
        assert admin.put(f"/api/v1/chart/{hits}", {"slice_name": "All hits"}).status_code == 200
        differs = run(dashboards, "changes.py", "check", str(assets))
        assert differs.returncode == 1
        changed = [line for line in differs.stdout.splitlines() if re.match(r"[+-](?![+-])", line)]
        assert changed == [
            "-slice_name: Hits",
            "+slice_name: All hits",
            "-dashboard_title: Geo services",
            "+dashboard_title: Maps and data",
        ]
        assert run(dashboards, "changes.py", "export", str(assets)).returncode == 0
        assert run(dashboards, "changes.py", "check", str(assets)).returncode == 0
        files = {str(path.relative_to(assets)) for path in assets.rglob("*.yaml")}
        written = {name for name in files if (assets / name).read_text() != (original / name).read_text()}
        assert written == {"charts/web_traffic/hits.yaml", "dashboards/geo_services.yaml"}
    finally:
        run_import(dashboards, original)


def test_a_chart_made_in_the_browser_becomes_a_file_and_stays_one_chart(dashboards: Dashboards, tmp_path: Path) -> None:
    assets, original = tmp_path / "assets", SUPERSET / "assets"
    shutil.copytree(original, assets)
    before = count(dashboards.state)
    made = put_on_a_dashboard(Api(dashboards.address, "admin", dashboards.password), "Hits")
    try:
        told = run(dashboards, "changes.py", "export", str(assets))
        assert (told.returncode, told.stdout.splitlines()) == (
            0,
            ["charts/web_traffic/hits_2.yaml", "dashboards/web_traffic.yaml"],
        )
        assert yaml.safe_load((assets / "charts/web_traffic/hits_2.yaml").read_text())["uuid"] == made
        linter = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", "tests/unit/test_dashboards.py"]
        linted = subprocess.run(
            linter, env={**os.environ, "LAKEHOUSE_TEST_ASSETS": str(assets)}, cwd=REPOSITORY, capture_output=True, text=True
        )
        assert linted.returncode == 0, linted.stdout
        run_import(dashboards, assets)
        after = count(dashboards.state)
        assert (after["slices"], after["dashboard_slices"]) == (before["slices"] + 1, before["dashboard_slices"] + 1)
        same = run(dashboards, "changes.py", "check", str(assets))
        assert (same.returncode, same.stdout) == (0, "The files and Superset are the same.\n")
    finally:
        # It came from a file by now: without it, it goes.
        run_import(dashboards, original)
    assert count(dashboards.state) == before


def put_on_a_dashboard(admin: Api, title: str) -> str:
    """Make a chart as the dialog that saves one does, on "Web traffic"; returns its UUID."""
    (board,) = (
        found["id"]
        for found in admin.get("/api/v1/dashboard/?q=(page_size:100)").json()["result"]
        if found["slug"] == "web-traffic"
    )
    dataset = admin.datasets()["access_logs_traffic"]
    days = {
        "clause": "WHERE", "subject": "hour", "operator": "TEMPORAL_RANGE", "comparator": "No filter", "expressionType": "SIMPLE",
        "filterOptionName": "filter_1a2b", "isExtra": False, "isNew": False, "sqlExpression": None, "datasourceWarning": False,
    }  # fmt: skip
    form = {
        "datasource": f"{dataset}__table", "viz_type": "table", "query_mode": "aggregate", "groupby": ["method"],
        "metrics": ["hits"], "all_columns": [], "adhoc_filters": [days], "row_limit": 1000, "extra_form_data": {},
        "dashboards": [board],
    }  # fmt: skip
    chart = {
        "slice_name": title, "description": "Requests by method.", "viz_type": "table", "datasource_id": dataset,
        "datasource_type": "table", "params": json.dumps(form), "query_context": "{}", "dashboards": [board],
    }  # fmt: skip
    answer = admin.post("/api/v1/chart/", chart)
    assert answer.status_code == 201, answer.text
    made: str = admin.get(f"/api/v1/chart/{answer.json()['id']}").json()["result"]["uuid"]
    return made


def test_a_chart_that_was_deleted_and_a_right_that_was_given_are_differences(dashboards: Dashboards, tmp_path: Path) -> None:
    assets, original = tmp_path / "assets", SUPERSET / "assets"
    shutil.copytree(original, assets)
    before = count(dashboards.state)
    admin = Api(dashboards.address, "admin", dashboards.password)
    (robots,) = (
        chart["id"] for chart in admin.get("/api/v1/chart/?q=(page_size:100)").json()["result"] if chart["slice_name"] == "Robots"
    )
    (database,) = (found["id"] for found in admin.get("/api/v1/database/").json()["result"])
    gone = "charts/web_traffic/robots.yaml is not in Superset: the next import brings it back, unless you remove the file"
    try:
        assert admin.delete(f"/api/v1/chart/{robots}").status_code == 200
        differs = run(dashboards, "changes.py", "check", str(assets))
        assert (differs.returncode, differs.stdout) == (1, f"{gone}\n")
        assert admin.put(f"/api/v1/database/{database}", {"allow_dml": True}).status_code == 200
        differs = run(dashboards, "changes.py", "check", str(assets))
        assert differs.returncode == 1
        changed = [line for line in differs.stdout.splitlines() if re.match(r"[+-](?![+-])", line)]
        assert changed == ["-allow_dml: false", "+allow_dml: true"]
        exported = run(dashboards, "changes.py", "export", str(assets))
        assert (exported.returncode, set(exported.stdout.splitlines())) == (0, {gone, "databases/lakehouse.yaml"})
        assert (assets / "charts/web_traffic/robots.yaml").exists()
    finally:
        run_import(dashboards, original)
    assert count(dashboards.state) == before
    assert run(dashboards, "changes.py", "check", str(original)).returncode == 0


def test_what_cannot_be_told_is_said_in_a_sentence(dashboards: Dashboards, tmp_path: Path) -> None:
    shutil.copy(dashboards.state / "secrets.json", tmp_path)
    unprepared = run(dashboards, "changes.py", "check", str(SUPERSET / "assets"), state=tmp_path)
    assert (unprepared.returncode, unprepared.stdout, unprepared.stderr) == (
        2,
        "",
        "superset: Superset's own database has no dashboards yet: start Superset once, which imports them\n",
    )
    nowhere = run(dashboards, "changes.py", "check", str(SUPERSET / "assets"), DASHBOARDS_DATABASE="postgresql://127.0.0.1:1/x")
    assert (nowhere.returncode, nowhere.stdout) == (2, "")
    assert re.fullmatch(r"superset: what differs cannot be told: OperationalError: .*127\.0\.0\.1.*\n", nowhere.stderr)


@pytest.mark.parametrize("command", ["check", "export"])
def test_a_comparison_before_the_first_start_makes_nothing(command: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(START), str(PYTHON), str(SERVE), command],
        env={**os.environ, "LAKEHOUSE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    said = f"superset: there are no dashboards in {tmp_path}/superset yet: make superset imports them\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_a_chart_without_its_file_goes_and_one_made_by_hand_stays(dashboards: Dashboards, tmp_path: Path) -> None:
    assets = tmp_path / "assets"
    shutil.copytree(SUPERSET / "assets", assets)
    (assets / "charts" / "web_traffic" / "robots.yaml").unlink()
    path = assets / "dashboards" / "web_traffic.yaml"
    dashboard = yaml.safe_load(path.read_text())
    del dashboard["position"]["CHART-robots"]
    dashboard["position"]["ROW-agents"]["children"].remove("CHART-robots")
    path.write_text(yaml.safe_dump(dashboard))
    with closing(sqlite3.connect(dashboards.state / "superset.db", timeout=30)) as connection:
        values = ("by hand", "table", uuid.uuid4().bytes)
        columns = "slice_name, viz_type, uuid, created_on, changed_on"
        connection.execute(
            f"INSERT INTO slices ({columns}) VALUES (?, ?, ?, '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000')", values
        )
        connection.commit()
    try:
        run_import(dashboards, assets)
        with closing(sqlite3.connect(dashboards.state / "superset.db", timeout=30)) as connection:
            names = {name for (name,) in connection.execute("SELECT slice_name FROM slices")}
        assert "by hand" in names
        assert "Robots" not in names
        assert len(names) == CHARTS
    finally:
        with closing(sqlite3.connect(dashboards.state / "superset.db", timeout=30)) as connection:
            connection.execute("DELETE FROM slices WHERE slice_name = 'by hand'")
            connection.commit()
        run_import(dashboards, SUPERSET / "assets")


@pytest.mark.long
def test_a_title_changed_in_the_dialog_of_the_dashboard_is_all_that_an_export_writes(
    dashboards: Dashboards, tmp_path: Path
) -> None:
    assets, original = tmp_path / "assets", SUPERSET / "assets"
    shutil.copytree(original, assets)
    try:
        with browser_page(tmp_path / "chromium") as (page, outside):
            log_in(page, dashboards.address, "admin", dashboards.password)
            open_dashboard(page, dashboards.address, "geo-services", TABS["geo-services"])
            page.locator("[data-test=edit-dashboard-button]").click()
            page.locator("[data-test=actions-trigger]").click()
            page.get_by_text("Edit properties").click()
            page.locator("[data-test=dashboard-title-input]").fill("Maps and data")
            page.get_by_role("button", name="Apply").click()
            with page.expect_response(
                lambda answer: answer.request.method == "PUT" and "/api/v1/dashboard/" in answer.url
            ) as saved:
                page.locator("[data-test=header-save-button]").click()
            assert saved.value.ok
            assert outside == set()
        said = run(dashboards, "changes.py", "export", str(assets)).stdout
        assert [line for line in said.splitlines() if line.endswith(".yaml")] == ["dashboards/geo_services.yaml"]
        before, after = ((folder / "dashboards" / "geo_services.yaml").read_text().splitlines() for folder in (original, assets))
        assert [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]] == [
            ("dashboard_title: Geo services", "dashboard_title: Maps and data")
        ]
    finally:
        run_import(dashboards, original)
