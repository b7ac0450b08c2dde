"""The import may run again, doubles nothing, and removes only what came from files that are gone."""

import os
import shutil
import sqlite3
import subprocess
import uuid
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from tests.browser.conftest import PYTHON, REPOSITORY, Dashboards

pytestmark = pytest.mark.browser
SUPERSET = REPOSITORY / "superset"
CHARTS = len(list((SUPERSET / "assets" / "charts").rglob("*.yaml")))


def run_import(dashboards: Dashboards, assets: Path) -> None:
    environment = {
        **os.environ,
        "DASHBOARDS_TABLES": str(dashboards.tables),
        "DASHBOARDS_STATE": str(dashboards.state),
        "DASHBOARDS_ADMIN_PASSWORD": dashboards.password,
        "SUPERSET_CONFIG_PATH": str(SUPERSET / "superset_config.py"),
        "PYTHONPATH": str(SUPERSET),
    }
    subprocess.run([str(PYTHON), str(SUPERSET / "prepare.py"), str(assets)], env=environment, check=True, capture_output=True)


def count(dashboards: Dashboards) -> dict[str, int]:
    tables = ("dashboards", "slices", "tables", "dbs", "table_columns", "sql_metrics", "dashboard_slices")
    with closing(sqlite3.connect(dashboards.state / "superset.db", timeout=30)) as connection:
        return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


def test_importing_twice_doubles_nothing(dashboards: Dashboards) -> None:
    before = count(dashboards)
    run_import(dashboards, SUPERSET / "assets")
    assert count(dashboards) == before
    assert (before["dashboards"], before["slices"], before["dashboard_slices"], before["dbs"]) == (1, CHARTS, CHARTS, 1)


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
