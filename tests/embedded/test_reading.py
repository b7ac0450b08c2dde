"""Reading: which files a query opens, how answers are written, and how every command answers people and programs."""

import io
import json
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from pyiceberg.manifest import ManifestFile

from lakehouse.cli import main
from lakehouse.datasets import get_dataset
from lakehouse.engines.dialect import to_duckdb
from lakehouse.errors import QueryError
from lakehouse.live import newest_files
from lakehouse.manifests import live_entries
from lakehouse.reading import Reader
from lakehouse.sample import write_sample
from tests.s3server import S3Server
from tests.support.home import Home
from tests.support.tiny import DAY, lines

pytestmark = pytest.mark.embedded

ACCESS_LOGS: Any = get_dataset("access_logs", Path())
FIRST_DAY = datetime(2026, 11, 1, 12, tzinfo=UTC)


def access_log(number_of_days: int) -> bytes:
    """Two hits a day, and a line that is none."""
    lines = [
        f'192.0.2.{hit} - - [{FIRST_DAY + timedelta(days=day, hours=hit):%d/%b/%Y:%H:%M:%S %z}] "GET /page{day} HTTP/1.1" '
        f'200 {hit} "-" "curl/8.0"\n'
        for day in range(number_of_days)
        for hit in (1, 2)
    ]
    return "".join([*lines, "garbage\n"]).encode()


SHOP = """
name = "shop"
doc = "What was sold."

[format]
type = "csv"

[timestamp]
path = "at"

[[columns]]
name = "item"
type = "string"
doc = "What."

[[views]]
name = "shop_and_access"
doc = "Hits of the access logs."
sql = "SELECT day, sum(hits) AS hits FROM access_logs_daily GROUP BY 1"
"""


class Cli:
    """The command line over a lakehouse, in this process."""

    def __init__(self, home: Home, capsys: pytest.CaptureFixture[str]):
        self.home = home
        self._capsys = capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        """Standard output of a command that must end with this code."""
        output, errors = self.both(*words, code=code)
        assert (code == 0) == (errors == "") or "--json" in words, errors
        return output

    def both(self, *words: str, code: int) -> tuple[str, str]:
        assert main(words) == code
        captured = self._capsys.readouterr()
        return captured.out, captured.err


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Three days of hits, loaded."""
    home = Home(tmp_path, ACCESS_LOGS)
    home.load(home.write("access.log", access_log(3)))
    monkeypatch.setenv("LAKEHOUSE_HOME", str(home.settings.home))
    return Cli(home, capsys)


@pytest.mark.parametrize(
    ("where", "days"),
    [
        ("date = '2026-11-05'", [5]),
        ("date = DATE '2026-11-05'", [5]),
        ("ts >= '2026-11-05' AND ts < '2026-11-06'", [5]),
        ("ts BETWEEN TIMESTAMPTZ '2026-11-05 00:00:00+00' AND TIMESTAMPTZ '2026-11-05 23:59:59+00'", [5]),
        ("date BETWEEN '2026-11-29' AND '2026-12-31'", [29, 30]),
        ("date > '2027-01-01'", []),
        ("site = 'elsewhere'", []),
    ],
)
def test_a_query_opens_the_files_of_its_days_only(where: str, days: list[int], month_on_s3: Home, s3: S3Server) -> None:
    bucket = month_on_s3.settings.warehouse.removeprefix("s3://")
    before = len(s3.requests(bucket))
    found = Reader(month_on_s3.settings).sql(f"SELECT DISTINCT date FROM access_logs WHERE {where} ORDER BY 1")
    assert found["date"].to_pylist() == [date(2026, 11, day) for day in days]
    opened = {request.key for request in s3.requests(bucket)[before:] if "/access_logs/data/" in request.key}
    assert len(opened) == len(days)


@pytest.mark.parametrize("where", ["date = '2026-11-02'", "ts >= '2026-11-02' AND ts < '2026-11-03'"])
def test_a_query_needs_the_files_of_its_days_only(where: str, cli: Cli) -> None:
    """In a local folder, where nobody counts what is opened: the files of all other days are gone."""
    for found in cli.home.table().inspect.files().to_pylist():
        if found["partition"]["date"] != date(2026, 11, 2):
            Path(found["file_path"].removeprefix("file://")).unlink()
    reader = Reader(cli.home.settings)
    assert reader.sql(f"SELECT path FROM access_logs WHERE {where}").to_pydict() == {"path": ["/page1"] * 2}
    with pytest.raises(QueryError):
        reader.sql("SELECT path FROM access_logs")


def test_ten_thousand_real_lines(test_data: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path / "real"))
    loaded = json.loads(cli("load", "access_logs", str(test_data / "web" / "apache_combined_10k.log"), "--site", "s", "--json"))
    assert [(found["status"], found["rows"]) for found in loaded["inputs"]] == [("loaded", 10_000)]
    by_day = cli("sql", "SELECT date, count(*) AS hits FROM access_logs GROUP BY 1 ORDER BY 1", "--format", "csv")
    assert by_day == "date,hits\n2015-05-17,1632\n2015-05-18,2893\n2015-05-19,2896\n2015-05-20,2579\n"
    distinct = "SELECT count(*) AS rows FROM (SELECT DISTINCT * EXCLUDE (_line) FROM access_logs)"
    assert cli("sql", distinct, "--format", "csv") == "rows\n9981\n", "19 lines are there again, and are hits"


@pytest.mark.parametrize(
    ("query", "read"),
    [
        ("SELECT count(*) FROM ACCESS_LOGS", {"access_logs"}),
        ("SELECT sum(hits) FROM access_logs_monthly", {"access_logs_hourly"}),
        ("SELECT count(*) FROM inputs", {"access_logs"}),
        ("SELECT 1", set()),
    ],
)
def test_a_query_reads_the_metadata_of_what_it_names_only(query: str, read: set[str], month_on_s3: Home, s3: S3Server) -> None:
    bucket = month_on_s3.settings.warehouse.removeprefix("s3://")
    before = len(s3.requests(bucket))
    assert Reader(month_on_s3.settings).sql(query).num_rows == 1
    found = {re.search(r"(\w+)/metadata/", request.key) for request in s3.requests(bucket)[before:]}
    assert {match[1] for match in found if match} == read


@pytest.mark.parametrize(
    "query", ["SHOW TABLES", "DESC", "PRAGMA show_tables", "SELECT table_name FROM information_schema.tables", "FROM pg_views"]
)
def test_a_query_for_all_tables_finds_them_all(query: str, month_on_s3: Home) -> None:
    found = str(Reader(month_on_s3.settings).sql(query).to_pylist())
    assert all(f"'{name}'" in found for name in ("access_logs", "access_logs_hourly", "access_logs_monthly"))


def test_a_table_is_found_however_it_is_named(month_on_s3: Home) -> None:
    reader = Reader(month_on_s3.settings)
    found, expected = (reader.sql(f"SELECT count(*) FROM {name}") for name in ("query_table('access' || '_logs')", "access_logs"))
    assert found.to_pydict() == expected.to_pydict()
    with pytest.raises(QueryError, match='Did you mean "access_logs_daily"'):
        reader.sql("SELECT * FROM access_logs_dayly")


def test_views_of_other_datasets_are_found_and_files_that_are_not_used_do_not_matter(tmp_path: Path) -> None:
    home = Home(tmp_path, ACCESS_LOGS)
    home.load(home.write("access.log", access_log(3)))
    datasets = home.settings.datasets_folder
    datasets.mkdir(parents=True)
    (datasets / "shop.toml").write_text(SHOP)
    (datasets / "draft.toml").write_text("name = 'draft'")
    reader = Reader(home.settings)
    assert reader.sql("SELECT * FROM access_logs").num_rows > 0
    with pytest.raises(QueryError, match="shop_and_access does not exist"):
        reader.sql("SELECT * FROM shop_and_access")
    (datasets / "draft.toml").unlink()
    shop = Home(tmp_path, get_dataset("shop", datasets))
    shop.load(shop.write("shop.csv", b"at,item\n2026-11-01T00:00:00Z,tea\n"))
    assert Reader(home.settings).sql("SELECT hits FROM shop_and_access").num_rows == 3


@pytest.mark.parametrize("query", ["SELECT * FROM api_logs_last_20_days", "FROM api_logs_last_20_days WHERE site = 's'"])
def test_the_view_of_the_last_days_opens_the_files_of_these_days_only(
    query: str, s3: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, bucket = tmp_path_factory.mktemp("api"), s3.new_bucket()
    home = Home(
        folder,
        get_dataset("api_logs", folder),
        LAKEHOUSE_WAREHOUSE=f"s3://{bucket}",
        LAKEHOUSE_S3_ENDPOINT=s3.endpoint,
        LAKEHOUSE_S3_ACCESS_KEY_ID=s3.access_key,
        LAKEHOUSE_S3_SECRET_ACCESS_KEY=s3.secret_key,
    )
    home.load(*write_sample("api_logs", folder / "logs", 25, 250, "s", 1, date(2026, 11, 25)))
    reader = Reader(home.settings)
    before = len(s3.requests(bucket))
    found = reader.sql(query)
    opened = {request.key for request in s3.requests(bucket)[before:] if "/api_logs/data/" in request.key}
    assert sorted(set(found["date"].to_pylist())) == [date(2026, 11, day) for day in range(6, 26)]
    assert len(opened) == 20


def test_the_newest_days_are_told_by_the_newest_manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    for day in (5, 1, 3, 2, 4):
        home.load(home.write(f"{day}.log", lines(1, start=day * DAY)))
    table, opened = home.table(), 0
    fetch = ManifestFile.fetch_manifest_entry

    def watched(*arguments: Any, **keywords: Any) -> Any:
        nonlocal opened
        opened += 1
        return fetch(*arguments, **keywords)

    monkeypatch.setattr(ManifestFile, "fetch_manifest_entry", watched)
    live_entries.cache_clear()
    newest = newest_files(table, 2)
    assert newest is not None
    assert {day: sum(found.record_count for found in files) for day, files in newest.items()} == {
        date(1970, 1, 5): 1,
        date(1970, 1, 6): 1,
    }
    assert opened == 2
    assert list(newest_files(table, 9) or ()) == [date(1970, 1, day) for day in range(2, 7)]


def test_only_the_question_for_the_newest_days_is_answered_beforehand() -> None:
    def days(table: str, count: int) -> tuple[list[date], str] | None:
        found = [date(2026, 11, 20 + number) for number in range(count)]
        return (found, "new t") if table == "t" and found else None

    asked = "SELECT * FROM t WHERE date IN (SELECT DISTINCT date FROM {} {} ORDER BY date DESC LIMIT {})"
    listed = "date IN (CAST('2026-11-20' AS DATE), CAST('2026-11-21' AS DATE))"
    assert to_duckdb(asked.format("t", "", 2), days) == f'SELECT * FROM "new t" AS t WHERE {listed}'
    for other in (("u", "", 2), ("t", "WHERE status > 400", 2), ("t", "", 0)):
        assert to_duckdb(asked.format(*other), days) == to_duckdb(asked.format(*other))
    # Whoever also reads other days, or another table, reads the table itself.
    wide = asked.format("t", "", 2)
    for query in (f"{wide} OR x", wide.replace("FROM t W", "FROM t JOIN u ON t.a = u.a W"), wide.replace("FROM t W", "FROM u W")):
        assert "new t" not in to_duckdb(query, days)
        assert listed in to_duckdb(query, days)


@pytest.mark.parametrize("changed", [False, True], ids=["own files", "rows deleted by another program"])
def test_the_view_of_the_last_days_is_what_the_table_says(tmp_path: Path, changed: bool) -> None:
    home = Home(tmp_path, get_dataset("api_logs", tmp_path))
    home.load(*write_sample("api_logs", tmp_path / "logs", 25, 250, "s", 1, date(2026, 11, 25)))
    if changed:
        home.table().delete("_line < 5")
    of_view, of_table = (
        Reader(home.settings).sql(f"SELECT * FROM {name} WHERE date > DATE '2026-11-05' ORDER BY ALL")
        for name in ("api_logs_last_20_days", "api_logs")
    )
    assert of_view.equals(of_table)
    assert of_view.num_rows > 0


@pytest.fixture(scope="module")
def month_on_s3(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Thirty days of hits in a bucket of their own, one file a day."""
    folder = tmp_path_factory.mktemp("month")
    home = Home(
        folder,
        ACCESS_LOGS,
        LAKEHOUSE_WAREHOUSE=f"s3://{s3.new_bucket()}",
        LAKEHOUSE_S3_ENDPOINT=s3.endpoint,
        LAKEHOUSE_S3_ACCESS_KEY_ID=s3.access_key,
        LAKEHOUSE_S3_SECRET_ACCESS_KEY=s3.secret_key,
    )
    home.load(home.write("access.log", access_log(30)))
    assert len(home.table().inspect.files()) == 30
    return home


BY_DAY = 'SELECT date, count(*) AS hits, min(path) AS "first, path" FROM access_logs GROUP BY 1 ORDER BY 1'


def test_sql_may_prepare_its_query(cli: Cli) -> None:
    query = "SET TimeZone='Asia/Tokyo'; CREATE MACRO twice(x) AS 2*x; SELECT twice(hour(TIMESTAMPTZ '2026-11-21 00:00:00Z')) h"
    assert cli("sql", query, "--format", "csv").splitlines() == ["h", "18"]


def test_sql_as_csv_is_a_header_and_rows(cli: Cli) -> None:
    assert cli("sql", BY_DAY, "--format", "csv") == (
        'date,hits,"first, path"\n2026-11-01,2,"/page0"\n2026-11-02,2,"/page1"\n2026-11-03,2,"/page2"\n'
    )
    assert cli("sql", BY_DAY, "--format", "csv", "--limit", "0") == 'date,hits,"first, path"\n'
    odd = cli("sql", "SELECT ['a', 'b'] AS list, 'x,\"y' AS text, NULL AS nothing, 1.5 AS number", "--format", "csv")
    table = pyarrow.csv.read_csv(io.BytesIO(odd.encode()))
    assert table.to_pylist() == [{"list": '["a", "b"]', "text": 'x,"y', "nothing": None, "number": 1.5}]


def test_sql_as_table_json_and_parquet(cli: Cli, tmp_path: Path) -> None:
    shown = cli("sql", BY_DAY).splitlines()
    assert shown[0].split() == ["date", "hits", "first,", "path"]
    assert shown[1].split() == ["2026-11-01", "2", "/page0"]
    rows = [{"date": f"2026-11-0{day + 1}", "hits": 2, "first, path": f"/page{day}"} for day in range(3)]
    assert json.loads(cli("sql", BY_DAY, "--format", "json")) == json.loads(cli("sql", BY_DAY, "--json")) == rows
    assert cli("sql", BY_DAY, "--format", "parquet", "--limit", "2", "-o", str(tmp_path / "answer.parquet")) == ""
    assert pq.read_table(tmp_path / "answer.parquet")["hits"].to_pylist() == [2, 2]


def test_sql_from_a_file_and_from_standard_input(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    query = tmp_path / "query.sql"
    query.write_text("-- hits of all days\nSELECT count(*) AS hits\nFROM access_logs;\n")
    assert cli("sql", "-f", str(query), "--format", "csv") == "hits\n6\n"
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 1 AS one"))
    assert cli("sql", "-f", "-", "--format", "csv") == "one\n1\n"


def test_the_ledger_and_the_views_are_tables_too(cli: Cli) -> None:
    assert cli("sql", "SELECT dataset, kind, rows_added, len(days) AS days FROM loads", "--format", "csv") == (
        'dataset,kind,rows_added,days\n"access_logs","load",6,3\n'
    )
    assert (
        cli("sql", "SELECT lines, rows, unknown_rejects FROM inputs", "--format", "csv") == "lines,rows,unknown_rejects\n7,6,1\n"
    )
    assert cli("sql", "SELECT _line, text FROM rejects", "--format", "csv") == '_line,text\n7,"garbage"\n'
    reader = Reader(cli.home.settings)
    names = reader.sql("SELECT table_name FROM duckdb_tables() UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal")
    assert "access_logs" in names.column(0).to_pylist()


def test_a_wrong_query_is_explained(cli: Cli, tmp_path: Path) -> None:
    reader = Reader(cli.home.settings)
    with pytest.raises(QueryError, match="Nothing is loaded into api_logs yet: lakehouse load api_logs FILE --site NAME"):
        reader.sql("SELECT * FROM api_logs")
    with pytest.raises(QueryError, match="Tables and views there are: access_logs"):
        reader.sql("SELECT * FROM nonsense")
    for words, code, text in [
        (("sql", "SELEC 1"), 1, "syntax error"),
        (("sql", "SELECT nosuch FROM access_logs"), 1, "nosuch"),
        (("sql", "-f", str(tmp_path / "none.sql")), 2, "none.sql cannot be read"),
        (("sql",), 2, "give a query, or a file with -f"),
        (("sql", "SELECT 1", "-f", "x.sql"), 2, "and not both"),
        (("sql", "SELECT 1", "--format", "xml"), 2, "'xml' is not one of"),
        (("sql", "SELECT 1", "-o", str(tmp_path / "no" / "folder")), 2, str(tmp_path / "no")),
        (("days", "acces_logs"), 2, "did you mean access_logs?"),
        (("nonsense",), 2, "No such command"),
        (("load", "access_logs", str(tmp_path / "none.log"), "--site", "s"), 1, "nothing matches: check the path"),
    ]:
        output, errors = cli.both(*words, code=code)
        assert output == ""
        assert errors.startswith("lakehouse: ")
        assert text in errors


def test_every_command_answers_programs_in_json(cli: Cli, tmp_path: Path) -> None:
    location = str(tmp_path / "access.log")

    def answer(*words: str) -> Any:
        return json.loads(cli(*words, "--json"))

    assert "access_logs" in {table["table"] for table in answer("tables")}
    assert [day["date"] for day in answer("days", "access_logs")] == ["2026-11-01", "2026-11-02", "2026-11-03"]
    (loaded,) = answer("inputs", "access_logs")
    assert (loaded["location"], loaded["lines"], loaded["rows"]) == (location, 7, 6)
    assert [reject["text"] for reject in answer("rejects", "access_logs")] == ["garbage"]
    assert answer("load", "access_logs", location, "--site", "s")["inputs"][0]["status"] == "unchanged"
    assert answer("publish", "access_logs", str(tmp_path / "out"))["written"] == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert answer("config")["home"] == {"value": str(cli.home.settings.home), "source": "LAKEHOUSE_HOME"}
    assert answer("cleanup", "access_logs")["files"] == 0
    assert len(answer("sample", "access_logs", "--days", "1", "--rows", "10", "--out", str(tmp_path / "sample"))) == 1
    assert answer("unload", "access_logs", "access.log")["rows_removed"] == 6
    assert answer("days", "access_logs") == []


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (("sql", "SELECT * FROM nonsense"), 1, "QueryError"),
        (("load", "access_logs", "/no/such.log", "--site", "s"), 1, "InputError"),
        (("days", "nonsense"), 2, "DatasetError"),
        (("load", "access_logs"), 2, "UsageError"),
        (("unload", "access_logs", "nonsense"), 2, "UsageError"),
    ],
)
def test_errors_in_json_too(cli: Cli, words: tuple[str, ...], code: int, kind: str) -> None:
    output, errors = cli.both(*words, "--json", code=code)
    assert json.loads(output)["error"].keys() == {"kind", "message"}
    assert json.loads(output)["error"]["kind"] == kind
    assert errors == ""


def test_an_answer_in_parquet_through_a_pipe(cli: Cli) -> None:
    command = [sys.executable, "-m", "lakehouse", "sql", "SELECT 42 AS answer", "--format", "parquet"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert pq.read_table(io.BytesIO(done.stdout)).to_pylist() == [{"answer": 42}]


def test_before_anything_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    assert main(["tables"]) == 0
    assert "no tables yet: lakehouse load" in capsys.readouterr().out
    for command in ("days", "inputs", "rejects"):
        assert main([command, "access_logs"]) == 0
        assert main([command, "access_logs", "--json"]) == 0
    assert capsys.readouterr().out.count("[]") == 3
