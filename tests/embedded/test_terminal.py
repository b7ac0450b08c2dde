"""The command line as a process that a person watches: progress while it works, and Ctrl-C."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.cli import main, progress
from lakehouse.cli.output import print_table
from lakehouse.cli.progress import ProgressObserver, counted
from lakehouse.datasets import get_dataset
from lakehouse.datasets.access_logs import DATASET
from lakehouse.inputs import InputFile
from tests.support.home import Home

pytestmark = pytest.mark.embedded

LOG = b"".join(
    b'192.0.2.7 - - [21/Nov/2026:06:25:%02d +0000] "GET /%d HTTP/1.1" 200 5 "-" "curl/8.0"\n' % (second, second)
    for second in range(60)
)
ROLLUPS = len(DATASET.rollups)
COMPUTED = [rollup.name for rollup in DATASET.rollups if not rollup.of]
"""The others have nothing to add up: the log tells of no response times, and of a robot only."""
FOUND = InputFile("/logs/access.log", 4_000_000, 0.0, "")


class Terminal(io.StringIO):
    """Takes what would be drawn."""

    def isatty(self) -> bool:
        return True


def test_a_bar_with_rate_and_time_left_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with ProgressObserver([FOUND], terminal) as observer:
        observer.step("looked")
        for _ in range(4):
            observer.read(FOUND, 500_000)
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert re.search(r"access\.log .*2\.0/4\.0 MB.* [0-9.]+ [kMGT]?B/s.* [0-9]:[0-9]{2}:[0-9]{2}", drawn), drawn
    assert terminal.getvalue().endswith("\x1b[2K"), "the bar is wiped away at the end"


def test_plain_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_LINE_SECONDS", -1.0)
    stream = io.StringIO()
    with ProgressObserver([FOUND], stream) as observer:
        observer.step("looked")
        observer.read(FOUND, 500_000)
        observer.read(FOUND, 1_500_000)
    assert stream.getvalue() == "access.log: 500.0 KB read so far\naccess.log: 2.0 MB read so far\n"


def test_plain_lines_of_a_load_go_on_while_its_rollups_are_computed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PLAIN_LINE_SECONDS", -1.0)
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    (tmp_path / "access.log").write_bytes(LOG)
    assert main(["load", "access_logs", str(tmp_path / "access.log"), "--site", "rennes"]) == 0
    computed = [f"{name}: 1 of 1 days computed" for name in COMPUTED]
    assert capsys.readouterr().err.splitlines()[-len(computed) :] == computed


def test_a_bar_with_time_left_for_what_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with counted("days", "written") as count:
        count("2026-11-21", 1, 3)
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert re.search(r"2026-11-21 .* 1/3 days [0-9-]:[0-9-]{2}:[0-9-]{2}", drawn), drawn


def test_a_row_is_one_line_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    long = "a word and " * 50
    print_table(["name", "text", "count"], [["first", f"{long}end", 1], ["\u6771\u4eac", "", 22]], ["count"])
    assert capsys.readouterr().out.splitlines() == [
        f"name   {'text':<553}  count",
        f"first  {long}end      1",
        f"\u6771\u4eac   {'':<553}     22",
    ]


def test_rows_of_many_columns_are_lists_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    headings, row = [f"column{number}" for number in range(11)], [f"value {number}" for number in range(11)]
    drawn = {}
    for width in ("80", "100"):
        monkeypatch.setenv("COLUMNS", width)
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        print_table(headings, [row, row])
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
        drawn[width] = [line.split() for line in plain.splitlines() if line.strip()]
    one = [[heading, *value.split()] for heading, value in zip(headings, row, strict=True)]
    assert drawn["80"] == [["row", "1"], *one, ["row", "2"], *one]
    assert drawn["100"][0] == headings


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["sample", "access_logs", "--out", "logs", "--days", "2"], ["1 of 2 days written", "2 of 2 days written"]),
        (["rollups", "access_logs", "--rebuild"], ["1 of 1 days computed"] * len(COMPUTED)),
        (["publish", "access_logs", "published"], ["1 of 1 days published"]),
        (["cleanup", "access_logs"], [f"{done} of {ROLLUPS + 2} tables cleaned up" for done in range(1, ROLLUPS + 3)]),
    ],
    ids=["sample", "rollups", "publish", "cleanup"],
)
def test_all_long_work_tells_how_far_it_is(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], lines: list[str]
) -> None:
    home.load(home.write("access.log", LOG))
    monkeypatch.setattr(progress, "PLAIN_LINE_SECONDS", -1.0)
    monkeypatch.setenv("LAKEHOUSE_HOME", str(home.settings.home))
    monkeypatch.chdir(home.folder)
    assert main(words) == 0
    assert [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines()] == lines


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, get_dataset("access_logs", Path()))


def start(home: Home, *words: str, before: str = "") -> "subprocess.Popen[str]":
    """A command of this lakehouse in a process of its own."""
    program = f"import os, signal, sys\nfrom lakehouse.cli import run\n{before}\nrun()"
    environment = os.environ | {"LAKEHOUSE_HOME": str(home.settings.home)}
    command = [sys.executable, "-c", program, *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_control_c_in_a_load_leaves_nothing_and_says_so(home: Home) -> None:
    home.load(home.write("before.log", LOG.replace(b"/Nov/", b"/Oct/")))
    log = home.write("access.log", LOG)
    # A process in the background may have been told to ignore the signal.
    interrupt = """
from lakehouse.cli.progress import ProgressObserver
signal.signal(signal.SIGINT, signal.default_int_handler)
ProgressObserver.read = lambda *_: os.kill(os.getpid(), signal.SIGINT)
"""
    process = start(home, "load", "access_logs", str(log), "--site", "s", before=interrupt)
    answer, complaint = process.communicate()
    assert (process.returncode, answer) == (130, "")
    assert complaint == "lakehouse: interrupted; what was not committed yet is as if it never happened\n"
    assert home.query("SELECT count(*) FROM t") == [(60,)]
    assert [path.name for path in Path(home.settings.warehouse).rglob("*.json") if "intents" in path.parts] == []
    home.load(log)
    assert home.query("SELECT count(*) FROM t") == [(120,)]


def test_control_c_ends_a_watch_between_two_rounds(home: Home) -> None:
    log = home.write("access.log", LOG)
    with start(home, "watch", "access_logs", str(log), "--site", "s", "--every", "1h") as process:
        assert process.stdout is not None
        assert process.stdout.readline().endswith(" 60 rows\n")
        process.send_signal(signal.SIGINT)
        answer, complaint = process.communicate()
    assert (process.returncode, answer, complaint) == (0, "", "")
    assert home.query("SELECT count(*) FROM t") == [(60,)]


def test_programs_are_told_in_json_at_once_what_a_watch_does(home: Home) -> None:
    home.write("access.log.1", LOG.replace(b"GET /", b"GET /old/"))
    log = home.folder / "access.log"
    with start(home, "watch", "access_logs", str(log), "--site", "s", "--every", "0.1s", "--json") as process:
        assert process.stdout is not None
        error = json.loads(process.stdout.readline())["error"]
        assert error["kind"] == "InputError"
        assert "no such file" in error["message"]
        home.write("new", LOG).rename(log)
        answers = (answer for answer in map(json.loads, process.stdout) if "error" not in answer)
        assert next(answers)["rows_added"] == 60
        assert next(answers)["left_alone"] == [str(home.folder / "access.log.1")]
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate()
    assert (process.returncode, complaint) == (0, "")
