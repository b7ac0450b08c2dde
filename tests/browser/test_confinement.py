"""What SQL Lab must not do, root or not: read outside of the lakehouse's tables, or write anywhere."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.browser.conftest import PYTHON, SUPERSET, Dashboards

pytestmark = pytest.mark.browser
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
    *(
        form.replace("{call}", call)
        for call in (
            "enable_logging('QueryLog', storage='file', storage_path='{tables}/evil')",
            "enable_profiling(format='json', save_location='{tables}/_lakehouse/access_logs/current.json')",
        )
        for form in (
            "FROM {call}",
            "SELECT * FROM system.main.{call}",
            "WITH a AS (FROM {call}) FROM a",
            "SELECT (FROM {call})",
            "SELECT 1 WHERE 1 IN (FROM {call})",
            "FROM range(1), LATERAL (FROM {call})",
            "SELECT 1 UNION ALL BY NAME FROM {call}",
            "SUMMARIZE FROM {call}",
            "SELECT 1 LIMIT (SELECT count(*) FROM {call})",
            "SELECT 1; FROM {call}",
            "CALL {call}",
            "EXPLAIN ANALYZE FROM {call}",
        )
    ),
    "FROM main.\"Enable_Logging\"(storage='file', storage_path='{tables}/evil')",
    "FROM query('FROM enable_' || 'logging(storage=''file'', storage_path=''{tables}/evil'')')",
    "FROM query_table('duckdb_logs')",
    "FROM histogram('duckdb_logs', message)",
    "FROM json_execute_serialized_sql(json_serialize_sql('FROM enable_logging()'))",
    "SELECT json_serialize_plan('FROM enable_logging()')",
    "PRAGMA json_execute_serialized_sql('{}')",
    "IMPORT DATABASE '/etc'",
    "FROM disable_logging()",
    "FROM truncate_duckdb_logs()",
    "FROM checkpoint()",
    "FROM force_checkpoint()",
    *(
        form.replace("{call}", "write_log('x')")
        for form in (
            "SELECT {call}",
            "SELECT system.main.\"WRITE_LOG\"('x')",
            "SELECT x.write_log() FROM (SELECT 'x' AS x)",
            "SELECT count(*) FILTER ({call} IS NULL)",
            "SELECT row_number() OVER (ORDER BY {call})",
            "SELECT [{call} FOR x IN [1]]",
            "SELECT list_transform([1], lambda x: {call})",
            "SELECT ('x').write_log()",
            "SELECT * REPLACE ({call} AS range) FROM range(1)",
            "SELECT 1 GROUP BY {call}",
            "SELECT 1 ORDER BY {call}",
            "VALUES ({call})",
            "FROM (PIVOT (SELECT 1 AS a, 2 AS b) ON a IN (1) USING max({call}))",
            "SELECT CASE WHEN true THEN {call} END",
            "SELECT CAST({call} AS varchar)",
            "FROM range(1) a ASOF JOIN range(1) b ON a.range >= b.range AND {call} IS NULL",
        )
    ),
    "SELECT 1; SELECT 2",
    "-- nothing",
    "SELECT sleep_ms(1)",
    "SELECT pg_sleep(1)",
    "SELECT getenv('HOME')",
    "FROM duckdb_secrets()",
    "FROM which_secret('s3://bucket/x', 's3')",
    "SELECT message FROM duckdb_logs()",
    'SELECT message FROM "DUCKDB_LOGS"',
    "DESCRIBE main.duckdb_logs",
    "FROM duckdb_logs_parsed('QueryLog')",
    "FROM duckdb_log_contexts()",
    "FROM duckdb_settings()",
    "FROM read_duckdb('{tables}/x.duckdb')",
    "CREATE TABLE access_logs AS SELECT 1",
    "CREATE OR REPLACE VIEW access_logs AS SELECT 1",
    "DELETE FROM access_logs",
    "SELECT * FROM 'https://example.invalid/x.parquet'",
    "SELECT * FROM 's3://bucket/x.parquet'",
)
ANSWERED = (
    "SHOW TABLES",
    "DESCRIBE SELECT site, count(*) FROM access_logs_traffic GROUP BY ALL",
    "SUMMARIZE SELECT hits FROM access_logs_traffic",
    "WITH days AS (SELECT DISTINCT day FROM access_logs_traffic) SELECT count(*) FROM days, LATERAL (SELECT 1)",
    "FROM (PIVOT (SELECT site, hits FROM access_logs_traffic) ON site IN ('rennes', 'paris') USING sum(hits))",
    "SELECT site, sum(hits), grouping(site) FROM access_logs_traffic GROUP BY ROLLUP (site)",
    "SELECT site, row_number() OVER (PARTITION BY date_trunc('month', day) ORDER BY hits) FROM access_logs_traffic LIMIT 1",
    "SELECT [x + 1 FOR x IN range(3) IF x > 1], list_transform([1], lambda x: x), {'a': 1}.a, ('a').upper(), random() < 1",
    "SELECT quantile_cont(hits, 0.9), string_agg(site, ','), histogram(hits), mode(site) FROM access_logs_traffic",
    "SELECT coalesce(NULL, 1), nullif(1, 2), 'a' ILIKE '%A', now() - INTERVAL 1 DAY, extract(year FROM current_date)",
    "SELECT count(*) FROM '{tables}/access_logs/data/**/*.parquet'",
    "SELECT count(*) FROM read_parquet('{tables}/access_logs/data/**/*.parquet', hive_partitioning = true)",
    "SELECT count(*) FROM glob('{tables}/*')",
    "SELECT column_name FROM duckdb_columns() WHERE table_name = 'access_logs_traffic'",
    "SELECT relname FROM pg_catalog.pg_class WHERE pg_catalog.pg_table_is_visible(oid)",
    "FROM generate_series(1, 3), unnest([1])",
)
PROGRAM = """
import json, sys
import duckdb, lakehouse_duckdb
from lakehouse_duckdb import LakehouseDialect
lakehouse_duckdb.STATEMENT_SECONDS = float(sys.argv[1])
for statement in json.load(sys.stdin):
    try:
        cursor = LakehouseDialect().connect().cursor()
        cursor.execute(statement)
        print(json.dumps(["done", str(cursor.fetchall())]))
    except duckdb.Error as error:
        print(json.dumps(["refused", str(error)]))
"""


def run(dashboards: Dashboards, *statements: str, seconds: float = 60) -> list[list[str]]:
    """What the dialect does with statements, each for so many seconds, without Superset's own checks before it."""
    environment = {**os.environ, "DASHBOARDS_TABLES": str(dashboards.tables), "PYTHONPATH": str(SUPERSET)}
    found = subprocess.run(
        [str(PYTHON), "-c", PROGRAM, str(seconds)],
        input=json.dumps(statements), env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
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


def test_what_computes_and_reads_is_answered(dashboards: Dashboards) -> None:
    statements = [statement.replace("{tables}", str(dashboards.tables)) for statement in ANSWERED]
    answers = run(dashboards, *statements)
    assert [(statement, said) for statement, (state, said) in zip(statements, answers, strict=True) if state != "done"] == []


def test_no_statement_holds_a_thread_for_ever(dashboards: Dashboards) -> None:
    endless = "SELECT sum(hash(range)) FROM range(1000000000000000)", "SELECT 1 FROM range(10000000000) WHERE hash(range) = 1"
    for state, said in run(dashboards, *endless, seconds=0.5):
        assert (state, said) == ("refused", "the query was ended after 0.5 s: ask for less")


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


def test_every_process_of_the_server_is_confined(dashboards: Dashboards) -> None:
    if "no Landlock" in (dashboards.home / "serve.log").read_text():
        pytest.skip("this kernel has no Landlock")
    listening = dashboards.address.removeprefix("http://").encode()
    found = [path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if listening in _read(path).split(b"\0")]
    assert len(found) == 3, "one that listens, and two that answer"
    for process in found:
        # A process gives this up together with the right to write, and cannot get it back either.
        assert b"NoNewPrivs:\t1\n" in _read(process / "status")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # the process has ended


def test_secrets_are_for_their_owner_only(dashboards: Dashboards) -> None:
    secrets = dashboards.state / "secrets.json"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    assert dashboards.password not in (dashboards.state / "prepare.log").read_text()
