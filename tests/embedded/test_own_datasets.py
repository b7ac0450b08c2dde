"""A user's own dataset, and the built-in ones, from the file to the view: what access logs get, they all get."""

import shutil
from datetime import date, datetime
from pathlib import Path

import pytest

from lakehouse.datasets import get_dataset
from lakehouse.reading import Reader
from lakehouse.sample import write_sample
from tests.support.home import Home

pytestmark = pytest.mark.embedded
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.settings.datasets_folder.mkdir(parents=True)
    for example in EXAMPLES.glob("*.toml"):
        shutil.copy(example, home.settings.datasets_folder)
    return home


def choose(home: Home, name: str) -> Home:
    home.dataset = get_dataset(name, home.settings.datasets_folder)
    return home


def answer(home: Home, sql: str) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in Reader(home.settings).sql(sql).to_pylist()]


def test_runs_of_a_job_log_with_the_site_in_each_line(home: Home) -> None:
    choose(home, "etl_runs")
    log = home.write(
        "etl.log", b"2026-11-21 02:00:07.512 INFO job=load_orders run=81 status=ok rows=12 seconds=84.2 host=etl-1\n"
    )
    home.load(log, site=None)
    with log.open("ab") as stream:
        stream.write(b"2026-11-21 23:59:59.900 INFO job=load_orders run=82 status=failed seconds=1.5 host=etl-2\nnonsense\n")
    assert [outcome.status for outcome in home.load(log, site=None).outcomes] == ["grown"]
    assert answer(home, "SELECT site, run, row_count, ts, date FROM etl_runs ORDER BY run") == [
        ("etl-1", 81, 12, datetime.fromisoformat("2026-11-21T01:00:07.512+00:00"), date(2026, 11, 21)),
        ("etl-2", 82, None, datetime.fromisoformat("2026-11-21T22:59:59.900+00:00"), date(2026, 11, 21)),
    ]
    assert answer(home, "SELECT CAST(runs AS int), CAST(failed AS int), seconds FROM etl_runs_daily") == [(2, 1, 85.7)]
    assert answer(home, "SELECT dataset, _line, text FROM rejects") == [("etl_runs", 3, "nonsense")]
    home.unload(next(iter(home.ledger().inputs)))
    assert answer(home, "SELECT count(*) FROM etl_runs_hourly") == [(0,)]


def test_a_csv_export_that_grows_keeps_its_header(home: Home) -> None:
    choose(home, "incidents")
    header = b'"Cle_de_demande","Impact","Creation","Note"\n'
    first = b'"A-1","3-Moyen ","30 juin 2020 09:56","deux\nlignes"\n'
    second = '"A-2","1-Élevé","02 décembre 2020 16:55",\n'.encode()
    log = home.write("export.csv", header + first)
    home.load(log)
    log.write_bytes(header + first + second)
    assert [outcome.status for outcome in home.load(log).outcomes] == ["grown"]
    assert answer(home, "SELECT ticket, priority, CAST(date AS varchar), extra FROM incidents ORDER BY ticket") == [
        ("A-1", "3-Moyen", "2020-06-30", '{"Note":"deux\\nlignes"}'),
        ("A-2", "1-Élevé", "2020-12-02", None),
    ]
    (record,) = home.ledger().inputs.values()
    assert (record.lines, record.rows, record.known_rejects, record.continuation_lines) == (4, 2, 1, 1)


def test_a_column_may_be_called_as_those_that_rollups_are_filtered_by(home: Home) -> None:
    (home.settings.datasets_folder / "calendar.toml").write_text(
        """
        name = "calendar"
        doc = "Entries."
        [format]
        type = "ndjson"
        [timestamp]
        path = "ts"
        kind = "iso8601"
        [[columns]]
        name = "day"
        type = "int"
        [[columns]]
        name = "hour"
        type = "double"
        """
    )
    choose(home, "calendar")
    home.load(home.write("calendar.ndjson", b'{"ts": "2026-01-05T10:00:00Z", "day": 5, "hour": 10.5}\n'))
    assert answer(home, "SELECT day, hour FROM calendar") == [(5, 10.5)]


def test_the_ticket_exports_of_two_tools_in_two_languages(home: Home, test_data: Path) -> None:
    choose(home, "incidents")
    exports = sorted((test_data / "incidents").glob("*.csv"))
    report = home.load(*exports)
    for outcome in report.outcomes:
        assert outcome.unknown_rejects == 0, outcome.found.location
    # The French and the English export of a tool are the same tickets, in the same minute.
    jira = [record.id for record in home.ledger().inputs.values() if "jira" in record.location]
    listed = ", ".join(f"'{input_id}'" for input_id in jira)
    differing = f"""
        SELECT ticket, ts FROM incidents WHERE _input IN ({listed}) GROUP BY ticket, ts
        HAVING count(DISTINCT _input) <> 2
    """
    assert answer(home, f"SELECT count(*) FROM ({differing})") == [(0,)]


def test_api_logs_of_all_formats_and_their_views(home: Home) -> None:
    choose(home, "api_logs")
    paths = write_sample("api_logs", home.folder / "in", days=25, rows=500, site="s", seed=3, end=date(2026, 11, 21))
    report = home.load(*paths, final=True)
    rows = sum(outcome.rows for outcome in report.outcomes)
    assert rows == answer(home, "SELECT count(*) FROM api_logs")[0][0]
    assert answer(home, "SELECT CAST(sum(requests) AS int) FROM api_logs_daily") == [(rows,)]
    assert answer(home, "SELECT CAST(sum(requests) AS int) FROM api_logs_weekly") == [(rows,)]
    assert answer(home, "SELECT count(DISTINCT date) FROM api_logs_last_20_days") == [(20,)]
    shares = answer(home, "SELECT threshold, CAST(sum(automatic) AS int) FROM api_logs_automatic GROUP BY 1 ORDER BY 1")
    assert len(shares) == 101
    assert [count for _, count in shares] == sorted((count for _, count in shares), reverse=True)  # type: ignore[type-var]
    exact = answer(home, "SELECT count(*) FROM api_logs WHERE confidence >= 0.8 AND code IS NOT NULL")[0][0]
    assert [count for threshold, count in shares if threshold == 0.8] == [exact]
    levels = answer(home, "SELECT level, CAST(sum(requests) AS int) FROM api_logs_codes GROUP BY 1")
    assert {level for level, _ in levels} == {"section", "division", "group", "class", "subclass"}


def test_the_last_second_of_a_day_belongs_to_it(home: Home) -> None:
    choose(home, "api_logs")
    answered = "{'1': {'code': '1071C', 'probabilite': 0.9, 'libelle': 'Boulangerie'}, 'IC': 0.8}"
    record = f"2026-11-21 %s - INFO - {{'Query': {{'text_description': 'boulanger'}}, 'Response': {answered}}}\n"
    home.load(home.write("api.log", (record % "23:59:59,500" + record % "23:59:59,999").encode()))
    assert answer(home, "SELECT CAST(date AS varchar), count(*), any_value(code) FROM api_logs GROUP BY 1") == [
        ("2026-11-21", 2, "1071C")
    ]
