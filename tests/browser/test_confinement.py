"""What SQL Lab must not do, root or not: read outside of the lakehouse's tables, or write anywhere."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.browser.conftest import PYTHON, REPOSITORY, Dashboards

pytestmark = pytest.mark.browser
SUPERSET = REPOSITORY / "superset"
STATEMENTS = (
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM read_text('{tables}/../../superset/secrets.json')",
    "SELECT * FROM query('COPY (SELECT 1) TO ''{tables}/x.csv''')",
    "COPY (SELECT 1) TO '/tmp/x.csv'",
    "COPY (SELECT 1) TO '{tables}/x.csv'",
    "SELECT 1; COPY (SELECT 1) TO '{tables}/x.csv'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{tables}/x.csv'",
    "PREPARE p AS COPY (SELECT 1) TO '{tables}/x.csv'",
    "EXPORT DATABASE '{tables}/x'",
    "ATTACH '{tables}/x.db'",
    "ATTACH '/etc/passwd' AS x (TYPE sqlite)",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET lock_configuration = false",
    "SET allowed_directories = ['/']",
    "RESET enable_external_access",
    "PRAGMA enable_profiling='json'",
    "PRAGMA profiling_output='{tables}/x.json'",
    "CALL enable_logging(storage='file', storage_path='{tables}/x')",
    "CREATE TABLE access_logs AS SELECT 1",
    "CREATE OR REPLACE VIEW access_logs AS SELECT 1",
    "DELETE FROM access_logs",
    "SELECT * FROM 'https://example.invalid/x.parquet'",
    "SELECT * FROM 's3://bucket/x.parquet'",
)
PROGRAM = """
import json, sys
import duckdb
from lakehouse_duckdb import LakehouseDialect
for statement in json.load(sys.stdin):
    try:
        cursor = LakehouseDialect().connect().cursor()
        cursor.execute(statement)
        print(json.dumps(["done", str(cursor.fetchall())]))
    except duckdb.Error as error:
        print(json.dumps(["refused", str(error)]))
"""


def run(dashboards: Dashboards, *statements: str) -> list[list[str]]:
    """What the dialect does with statements, without Superset's own checks before it."""
    environment = {**os.environ, "DASHBOARDS_TABLES": str(dashboards.tables), "PYTHONPATH": str(SUPERSET)}
    found = subprocess.run(
        [str(PYTHON), "-c", PROGRAM], input=json.dumps(statements), env=environment, check=True, capture_output=True, text=True
    )
    return [json.loads(line) for line in found.stdout.splitlines()]


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_the_dialect_answers_selects_over_tables_and_views(dashboards: Dashboards) -> None:
    hits = dashboards.sql("select count(*) hits from access_logs")[0]["hits"]
    answers = run(
        dashboards,
        "SELECT count(*) FROM access_logs",
        "SELECT CAST(sum(hits) AS bigint) FROM access_logs_traffic",
        "SELECT count(*) FROM information_schema.tables WHERE table_name = 'access_logs_daily'",
    )
    assert answers == [["done", f"[({hits},)]"], ["done", f"[({hits},)]"], ["done", "[(1,)]"]]


def test_statements_that_would_leave_the_lakehouse(dashboards: Dashboards) -> None:
    before = files(dashboards.tables)
    statements = [statement.replace("{tables}", str(dashboards.tables)) for statement in STATEMENTS]
    answers = run(dashboards, *statements)
    done = [(statement, answer) for statement, (state, answer) in zip(statements, answers, strict=True) if state == "done"]
    assert done == []
    assert files(dashboards.tables) == before


def test_the_server_can_write_to_its_own_folder_only(dashboards: Dashboards, tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    (other / "there").write_text("whole")
    program = (
        "import os, sys\n"
        "open(sys.argv[1] + '/new', 'w').write('x')\n"
        "for action in (lambda: open(sys.argv[2] + '/new', 'w'), lambda: open(sys.argv[2] + '/there', 'a'),\n"
        "               lambda: os.truncate(sys.argv[2] + '/there', 0), lambda: os.unlink(sys.argv[2] + '/there'),\n"
        "               lambda: os.rename(sys.argv[1] + '/new', sys.argv[2] + '/new'), lambda: os.mkdir(sys.argv[2] + '/f')):\n"
        "    try:\n"
        "        action()\n"
        "        print('done')\n"
        "    except OSError as error:\n"
        "        print('refused')\n"
    )
    command = [str(PYTHON), str(SUPERSET / "confine.py"), str(own), str(PYTHON), "-c", program, str(own), str(other)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    if "no Landlock" in found.stderr:
        pytest.skip("this kernel has no Landlock")
    assert found.stdout.split() == ["refused"] * 6
    assert (own / "new").exists()
    assert (other / "there").read_text() == "whole"


def test_secrets_are_for_their_owner_only(dashboards: Dashboards) -> None:
    secrets = dashboards.state / "secrets.json"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    assert dashboards.password not in (dashboards.state / "prepare.log").read_text()
