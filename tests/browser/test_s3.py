"""DuckDB straight on S3: with the credentials of this moment, below one address and nowhere else, with tables and without."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.browser.conftest import PYTHON, REPOSITORY, START, serving
from tests.s3server import S3Server
from tests.support.charts import Superset
from tests.support.home import Home
from tests.support.s3stub import refusing
from tests.support.superset import Api
from tests.support.tiny import lines

pytestmark = pytest.mark.browser
PROGRAM = """
import json, sys
import duckdb
from lakehouse_duckdb import LakehouseDialect
for line in sys.stdin:
    try:
        connection = LakehouseDialect().connect()
        cursor = connection.cursor()
        cursor.execute(json.loads(line))
        print(json.dumps(["done", str(cursor.fetchall())]), flush=True)
    except duckdb.Error as error:
        print(json.dumps(["refused", str(error)]), flush=True)
"""


LOGGED = """
from lakehouse_duckdb import DATABASES
_, database = DATABASES._connect("s3://bucket/logs")
database.execute("FROM enable_logging('QueryLog')")
DATABASES._connect("s3://bucket/logs")
print(database.execute("SELECT message FROM duckdb_logs()").fetchall())
"""


class Asking:
    """A process that opens a connection for each statement, as Superset does."""

    def __init__(self, environment: dict[str, str], *before: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DASHBOARDS_"))}
        self._process = subprocess.Popen(
            [*before, str(PYTHON), "-c", PROGRAM],
            env={**clean, "AWS_EC2_METADATA_DISABLED": "true", "PYTHONPATH": str(REPOSITORY / "superset"), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, statement: str) -> tuple[str, str]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(statement) + "\n")
        self._process.stdin.flush()
        state, answer = json.loads(self._process.stdout.readline())
        return state, answer

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture
def asking() -> Iterator[Any]:
    """Makes processes that end with the test."""
    if not PYTHON.exists():
        pytest.skip("Superset is not installed: make .venv-superset/.installed")
    made: list[Asking] = []

    def make(environment: dict[str, str], *before: str) -> Asking:
        made.append(Asking(environment, *before))
        return made[-1]

    yield make
    for process in made:
        process.close()


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """Parquet files of two days below `logs/`, and one elsewhere."""
    name, content = s3.new_bucket(), io.BytesIO()
    pq.write_table(pa.table({"hits": [1, 2, 3]}), content)
    for key in ("logs/date=2026-11-01/part.parquet", "logs/date=2026-11-02/part.parquet", "other/part.parquet"):
        s3.client().put_object(Bucket=name, Key=key, Body=content.getvalue())
    return name


def credentials(path: Path, key: str, secret: str, token: str = "") -> dict[str, str]:
    """Write a file of the standard chain; returns what leads to it."""
    lines = ["[default]", f"aws_access_key_id = {key}", f"aws_secret_access_key = {secret}"]
    path.write_text("\n".join([*lines, *([f"aws_session_token = {token}"] if token else [])]) + "\n")
    return {"AWS_SHARED_CREDENTIALS_FILE": str(path)}


def test_credentials_are_read_again_for_each_connection(asking: Any, s3: S3Server, bucket: str, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    environment = credentials(file, s3.access_key, s3.secret_key) | {"AWS_ENDPOINT_URL": s3.endpoint}
    ask = asking({**environment, "DASHBOARDS_TABLES": f"s3://{bucket}/logs"})
    files = f"read_parquet('s3://{bucket}/logs/**/*.parquet', hive_partitioning = true)"
    query = f"SELECT CAST(date AS varchar), count(*) FROM {files} GROUP BY 1 ORDER BY 1"
    assert ask(query) == ("done", "[('2026-11-01', 3), ('2026-11-02', 3)]")
    credentials(file, s3.access_key, "expired")
    state, said = ask(query)
    assert state == "refused" and "403" in said
    credentials(file, s3.access_key, s3.secret_key)
    assert ask(query)[0] == "done"
    file.unlink()
    assert ask(query)[0] == "refused"


def test_a_session_token_is_sent_and_a_new_one_with_the_next_connection(asking: Any, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    with refusing(403, "AccessDenied") as stub:
        environment = credentials(file, "key-1", "secret", "token-1") | {"AWS_ENDPOINT_URL_S3": stub.endpoint}
        ask = asking({**environment, "DASHBOARDS_TABLES": "s3://bucket/logs"})
        for number in (1, 2):
            credentials(file, f"key-{number}", "secret", f"token-{number}")
            stub.headers.clear()
            assert ask("FROM read_parquet('s3://bucket/logs/a.parquet')")[0] == "refused"
            sent = [{name.lower(): value for name, value in headers.items()} for headers in stub.headers]
            assert sent and {headers["x-amz-security-token"] for headers in sent} == {f"token-{number}"}
            assert all(f"Credential=key-{number}/" in headers["authorization"] for headers in sent)


def test_nothing_but_the_address_can_be_read_and_no_secret_be_seen(
    asking: Any, s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    environment = credentials(tmp_path / "credentials", s3.access_key, s3.secret_key) | {"AWS_ENDPOINT_URL": s3.endpoint}
    ask = asking({**environment, "DASHBOARDS_TABLES": f"s3://{bucket}/logs"})
    for statement in (
        f"FROM read_parquet('s3://{bucket}/other/part.parquet')",
        f"FROM read_parquet('s3://{bucket}/logs/../other/part.parquet')",
        f"FROM glob('s3://{bucket}/*')",
        f"FROM read_blob('{s3.endpoint}/{bucket}/logs/date=2026-11-01/part.parquet')",
        "FROM read_text('/etc/passwd')",
        f"COPY (SELECT 1) TO 's3://{bucket}/logs/x.csv'",
        "CREATE SECRET x (TYPE s3, PROVIDER credential_chain)",
        "FROM load_aws_credentials(redact_secret = false)",
        "FROM query('FROM load_' || 'aws_credentials(redact_secret = false)')",
        "FROM duckdb_secrets()",
        "FROM duckdb_secrets(redact = false)",
        "FROM which_secret('s3://x', 's3')",
        f"FROM enable_logging('QueryLog', storage = 'file', storage_path = 's3://{bucket}/logs/evil')",
        f"FROM enable_profiling(format = 'json', save_location = 's3://{bucket}/logs/evil.json')",
        "SET allowed_directories = ['s3://']",
    ):
        assert ask(statement)[0] == "refused", statement
    assert s3.secret_key not in str([ask("SELECT 1"), ask("FROM pg_catalog.pg_settings")])


def test_a_log_of_statements_would_show_no_secret(tmp_path: Path) -> None:
    if not PYTHON.exists():
        pytest.skip("Superset is not installed: make .venv-superset/.installed")
    environment = {**os.environ, **credentials(tmp_path / "credentials", "the-key", "the-secret", "the-token")}
    environment |= {"PYTHONPATH": str(REPOSITORY / "superset"), "AWS_ENDPOINT_URL": "https://s3.example.org"}
    done = subprocess.run([str(PYTHON), "-c", LOGGED], env=environment, check=True, capture_output=True, text=True)
    assert "CREATE OR REPLACE SECRET" in done.stdout
    assert [word for word in ("the-key", "the-secret", "the-token") if word in done.stdout] == []


def warehouse(s3: S3Server, bucket: str) -> dict[str, str]:
    """Settings of a lakehouse whose tables are in a bucket, with keys that write."""
    return {
        "LAKEHOUSE_WAREHOUSE": f"s3://{bucket}/warehouse",
        "LAKEHOUSE_S3_ENDPOINT": s3.endpoint,
        "LAKEHOUSE_S3_ACCESS_KEY_ID": s3.access_key,
        "LAKEHOUSE_S3_SECRET_ACCESS_KEY": s3.secret_key,
    }


def told_by_make_superset(home: Path, settings: dict[str, str]) -> dict[str, str]:
    """The variables that the program of the dashboards finds over a lakehouse, and nothing of this machine's own settings."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DASHBOARDS_", "LAKEHOUSE_"))}
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    done = subprocess.run(
        [sys.executable, str(START), sys.executable, "-c", show],
        env={**others, "LAKEHOUSE_HOME": str(home), **settings}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    told: dict[str, str] = json.loads(done.stdout)
    return told


def test_tables_of_a_lakehouse_on_s3(asking: Any, s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.new_bucket()
    home = Home(tmp_path, **warehouse(s3, bucket))
    home.load(home.write("a.log", lines(5)), site="a")
    environment = {
        "DASHBOARDS_TABLES": f"s3://{bucket}/warehouse/lakehouse",
        "AWS_ENDPOINT_URL": s3.endpoint,
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.secret_key,
    }
    ask = asking(environment)
    assert ask("SELECT count(*) FROM tiny") == ("done", "[(5,)]")
    home.load(home.write("b.log", lines(3, text="more")), site="a")
    assert ask("SELECT count(*) FROM tiny") == ("done", "[(8,)]")


def test_make_superset_tells_where_the_tables_on_s3_are_and_how_to_log_in(s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.new_bucket()
    told = told_by_make_superset(tmp_path, warehouse(s3, bucket))
    assert {name: value for name, value in told.items() if name.startswith(("AWS_", "DASHBOARDS_"))} == {
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": s3.secret_key,
        "AWS_SESSION_TOKEN": "",
        "DASHBOARDS_S3_PATH_STYLE": "true",
        "DASHBOARDS_STATE": str(tmp_path / "superset"),
        "DASHBOARDS_TABLES": f"s3://{bucket}/warehouse/lakehouse",
    }
    assert s3.requests(bucket, "PutObject")


def test_make_superset_gives_the_keys_of_a_profile_and_not_those_of_loads(s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.new_bucket()
    keys = {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key}
    told = told_by_make_superset(tmp_path, {**warehouse(s3, bucket), **keys, "DASHBOARDS_S3_PROFILE": "reader"})
    assert told["AWS_PROFILE"] == "reader"
    assert not [value for value in told.values() if s3.access_key in value or s3.secret_key in value]
    assert s3.requests(bucket, "PutObject")


@pytest.mark.long
def test_all_dashboards_over_a_warehouse_in_s3(s3: S3Server, tmp_path: Path) -> None:
    with serving(tmp_path, **warehouse(s3, s3.new_bucket())) as made:
        superset = Superset(made.address, "admin", made.password)
        answers = {slug: superset.charts(slug) for slug in superset.dashboards()}
    assert len(answers) == 4
    assert [(slug, name) for slug, charts in answers.items() for name, rows in charts.items() if not rows] == []
    assert not (tmp_path / "warehouse").exists()


@pytest.mark.long
def test_sql_lab_over_files_without_any_tables(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    environment = credentials(tmp_path / "credentials", s3.access_key, s3.secret_key) | {"AWS_ENDPOINT_URL": s3.endpoint}
    with serving(tmp_path, DASHBOARDS_TABLES=f"s3://{bucket}/logs", **environment) as made:
        assert "has no tables of a lakehouse" in (made.state / "prepare.log").read_text()
        admin = Api(made.address, "admin", made.password)
        assert admin.get("/api/v1/dashboard/").json()["count"] == 0
        [database] = admin.get("/api/v1/database/").json()["result"]
        statement = f"SELECT sum(hits) AS hits FROM read_parquet('s3://{bucket}/logs/**/*.parquet')"
        answer = admin.ask_in_sql_lab(statement, database["id"])
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"] == [{"hits": 12}]
    assert not (tmp_path / "warehouse").exists()
