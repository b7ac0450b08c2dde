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
connection._raw.create_function("held", held)
for _ in range(2):
    cursor = connection.cursor()
    cursor.execute(sys.argv[1])
    print(cursor.fetchall(), flush=True)
"""


@contextmanager
def running_query(home: Home, answers: list[str]) -> Iterator[None]:
    """The query stands still in its middle for as long as the block lasts; then it ends, and is asked again on its connection."""
    if not PYTHON.exists():
        pytest.skip("Superset is not installed: make .venv-superset/.installed")
    tables = f"{home.settings.warehouse}/{home.settings['namespace']}"
    environment = {**os.environ, "DASHBOARDS_TABLES": tables, "PYTHONPATH": str(REPOSITORY / "superset")}
    command = [str(PYTHON), "-c", PROGRAM, QUERY]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "running\n"
        yield
        assert process.poll() is None
        process.stdin.write("go on\n")
        process.stdin.flush()
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
