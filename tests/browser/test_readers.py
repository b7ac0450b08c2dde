"""A query of the dashboards sees one version to its end, whatever loads and clean-ups do meanwhile; and none waits for it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lakehouse.commit import SNAPSHOTS_KEPT
from lakehouse.maintain import clean_up
from tests.browser.conftest import PYTHON, REPOSITORY
from tests.support.home import Home
from tests.support.tiny import DAY, lines

pytestmark = pytest.mark.browser
QUERY = "SELECT count(*), count(DISTINCT text), min(held(text)) FROM tiny"
PROGRAM = """
import sys
import lakehouse_duckdb
from lakehouse_duckdb import LakehouseDialect

reached = False

def held(text: str) -> str:
    global reached
    if not reached:
        reached = True
        print("running", flush=True)
        sys.stdin.readline()
    return text

connection = LakehouseDialect().connect()
connection.session.connection.create_function("held", held)
lakehouse_duckdb.OWN_FUNCTIONS |= {"held"}
for _ in range(2):
    cursor = connection.cursor()
    cursor.execute(sys.argv[1])
    print(cursor.fetchall(), flush=True)
"""


TWO_CONNECTIONS = """
import sys
from lakehouse_duckdb import LakehouseDialect

def count(connection) -> int:
    cursor = connection.cursor()
    cursor.execute(sys.argv[1])
    return cursor.fetchall()[0][0]

old = LakehouseDialect().connect()
print(count(old), flush=True)
sys.stdin.readline()
new = LakehouseDialect().connect()
print(count(new), count(old), flush=True)
old.close()
print(count(new), flush=True)
"""

ONE_AFTER_THE_OTHER = """
import sys
from lakehouse_duckdb import LakehouseDialect

def ask():
    connection = LakehouseDialect().connect()
    cursor = connection.cursor()
    cursor.execute(sys.argv[1])
    answer = cursor.fetchall()[0][0]
    connection.close()
    return answer, connection.session

(old, session), (again, same) = ask(), ask()
print(old, again, same is session, flush=True)
sys.stdin.readline()
new, other = ask()
print(new, other is session, flush=True)
"""

ABANDONED = """
import sys
import duckdb
from lakehouse_duckdb import LakehouseDialect

first = LakehouseDialect().connect()
cursor = first.cursor()
cursor.execute(sys.argv[1])
print(cursor.fetchone(), flush=True)
first.close()
sys.stdin.readline()
second = LakehouseDialect().connect()
print(second.session is first.session, second.cursor().fetchone(), flush=True)
second.begin()
try:
    second.cursor().execute("SELECT CAST('no' AS INTEGER)")
except duckdb.Error:
    second.close()
sys.stdin.readline()
third = LakehouseDialect().connect()
cursor = third.cursor()
cursor.execute("SELECT count(*) FROM TINY")
print(third.session is second.session, cursor.fetchone(), flush=True)
"""

BROKEN_DATABASE = """
import sys
from lakehouse_duckdb import DATABASES, LakehouseDialect

for _ in range(2):
    cursor = LakehouseDialect().connect().cursor()
    cursor.execute(sys.argv[1])
    print(cursor.fetchall(), flush=True)
    for database in DATABASES._made.values():
        database.close()
"""


@contextmanager
def program(home: Home, code: str, argument: str) -> Iterator["subprocess.Popen[str]"]:
    """A program in the environment of the dashboards over a lakehouse."""
    if not PYTHON.exists():
        pytest.skip("Superset is not installed: make .venv-superset/.installed")
    tables = f"{home.settings.warehouse}/{home.settings['namespace']}"
    environment = {**os.environ, "DASHBOARDS_TABLES": tables, "PYTHONPATH": str(REPOSITORY / "superset")}
    command = [str(PYTHON), "-c", code, argument]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


def ask(process: "subprocess.Popen[str]", line: str = "") -> str:
    """What a program says next, after it was told to go on."""
    assert process.stdin and process.stdout
    if line:
        process.stdin.write(line + "\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


@contextmanager
def running_query(home: Home, answers: list[str]) -> Iterator[None]:
    """The query stands still in its middle for as long as the block lasts; then it ends, and is asked again on its connection."""
    with program(home, PROGRAM, QUERY) as process:
        assert ask(process) == "running"
        yield
        assert process.poll() is None
        answers.append(ask(process, "go on"))
        assert process.stdout
        answers += process.stdout.read().splitlines()


def data_files(home: Home) -> set[Path]:
    return set(Path(home.table().location()).glob("data/*/*.parquet"))


def test_a_running_query_is_disturbed_by_nothing_and_disturbs_nobody(tmp_path: Path) -> None:
    home = Home(tmp_path)
    logs = [home.write(f"{day}.log", lines(5000, start=day * DAY, step=1, text=f"d{day}-")) for day in range(4)]
    for log in logs:
        home.load(log)
    before = home.table().metadata.current_snapshot().snapshot_id
    answers: list[str] = []
    with running_query(home, answers):
        # A load, each day's files written anew, more commits than snapshots are kept, and a clean-up.
        home.load(home.write("new.log", lines(7, text="new")))
        home.load(*logs, reparse=True)
        for number in range(SNAPSHOTS_KEPT):
            home.load(home.write(f"more-{number}.log", lines(1, text=f"more{number}-")))
        assert before not in {snapshot.snapshot_id for snapshot in home.table().metadata.snapshots}
        clean_up(home.settings, home.dataset)
    assert answers == ["[(20000, 20000, 'd0-0')]"] * 2
    with running_query(home, answers):
        pass
    assert answers[2:] == [f"[({20007 + SNAPSHOTS_KEPT}, {20007 + SNAPSHOTS_KEPT}, 'd0-0')]"] * 2


def test_each_connection_sees_the_version_of_its_moment(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.load(home.write("old.log", lines(5, text="old")))
    with program(home, TWO_CONNECTIONS, "SELECT count(*) FROM tiny") as process:
        assert ask(process) == "5"
        home.load(home.write("new.log", lines(7, text="new")))
        assert ask(process, "go on") == "12 5"
        assert ask(process) == "12"


def test_views_are_made_again_after_a_load_only(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.load(home.write("old.log", lines(5, text="old")))
    with program(home, ONE_AFTER_THE_OTHER, "SELECT count(*) FROM tiny") as process:
        assert ask(process) == "5 5 True"
        home.load(home.write("new.log", lines(7, text="new")))
        assert ask(process, "go on") == "12 False"


def test_nothing_of_a_question_is_left_for_the_next(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.load(home.write("a.log", lines(5, text="old")))
    with program(home, ABANDONED, "SELECT text FROM tiny ORDER BY text") as process:
        assert ask(process) == "('old0',)"
        assert ask(process, "go on") == "True None"
        assert ask(process, "go on") == "False (5,)"


def test_a_database_that_refuses_everything_is_made_anew(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.load(home.write("old.log", lines(5, text="old")))
    with program(home, BROKEN_DATABASE, "SELECT count(*) FROM tiny") as process:
        assert [ask(process), ask(process)] == ["[(5,)]", "[(5,)]"]
