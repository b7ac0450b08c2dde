"""Watching a log: every line once, whichever way the log is rotated between two rounds, and wherever the watch is killed."""

import gzip
import json
import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from lakehouse.cli.app import main
from lakehouse.errors import LakehouseError
from lakehouse.inputs import InputFile
from lakehouse.intake import Outcome
from lakehouse.load import Report
from lakehouse.load_options import Options
from lakehouse.observer import Observer
from lakehouse.watch import Watch
from tests.support.home import Home
from tests.support.stops import STEPS, RaiseAt, StoppedError

pytestmark = pytest.mark.embedded

Scene = Callable[[], None]
HITS = b"".join(b'192.0.2.1 - - [22/Nov/2026:10:00:00 +0000] "GET /%d HTTP/1.1" 200 5\n' % number for number in range(2))


class Scenario(Event):
    """Plays the next scene where the watch would sleep, and stops it after the last one."""

    def __init__(self, *scenes: Scene):
        super().__init__()
        self._scenes = list(scenes)

    def wait(self, timeout: float | None = None) -> bool:
        if self._scenes:
            self._scenes.pop(0)()
        else:
            self.set()
        return self.is_set()


class Told:
    """Listens to a watch."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.left_alone_names: list[str] = []

    def loaded(self, report: Report) -> None:
        """The tests look at the table."""

    def failed(self, error: LakehouseError) -> None:
        self.complaints.append(str(error))

    def left_alone(self, log: InputFile, files: Sequence[InputFile]) -> None:
        self.left_alone_names += [found.location.removeprefix(log.location) for found in files]


class Log:
    """A log that counts its lines."""

    def __init__(self, path: Path):
        self.path = path
        self.lines = 0

    def write(self, count: int, end: str = "\n") -> None:
        with self.path.open("a") as stream:
            for _ in range(count):
                self.lines += 1
                stream.write(f"{self.lines * 60} line{self.lines:04d}{end}")

    @property
    def texts(self) -> list[str]:
        """Of all lines written."""
        return [f"line{number:04d}" for number in range(1, self.lines + 1)]

    def beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def log(home: Home) -> Log:
    log = Log(home.folder / "access.log")
    log.path.touch()
    return log


def play(home: Home, log: Log | str, *scenes: Scene, observer: Observer | None = None, options: Options | None = None) -> Told:
    """Watch a log from one round before the first scene to one behind the last."""
    told = Told()
    pattern = log if isinstance(log, str) else str(log.path)
    watch = Watch(home.settings, home.dataset, [pattern], options or Options("s"), told, observer)
    watch.run(60, Scenario(*scenes))
    return told


def make_room(log: Log) -> None:
    """Rename the rotated logs that are there, the oldest first."""
    for number in range(8, 0, -1):
        for end in ("", ".gz"):
            if (rotated := log.beside(f".{number}{end}")).exists():
                rotated.rename(log.beside(f".{number + 1}{end}"))


def gzip_file(path: Path) -> None:
    """As the program does, which keeps the time."""
    target = path.with_name(path.name + ".gz")
    with path.open("rb") as source, gzip.open(target, "wb") as stream:
        shutil.copyfileobj(source, stream)
    shutil.copystat(path, target)
    path.unlink()


def rename(log: Log) -> None:
    make_room(log)
    log.path.rename(log.beside(".1"))
    log.path.touch()


def copy_and_truncate(log: Log) -> None:
    make_room(log)
    shutil.copy(log.path, log.beside(".1"))
    os.truncate(log.path, 0)


def compress(log: Log) -> None:
    rename(log)
    gzip_file(log.beside(".1"))


def compress_later(log: Log) -> None:
    rename(log)
    if log.beside(".2").exists():
        gzip_file(log.beside(".2"))


rotations = pytest.mark.parametrize("rotate", [rename, copy_and_truncate, compress, compress_later])


@rotations
def test_lines_written_between_the_last_round_and_the_rotation_are_not_lost(
    home: Home, log: Log, rotate: Callable[[Log], None]
) -> None:
    log.write(100)
    unasked = home.write("access.log.7", b"999 nobody asked for this\n")

    def write_and_rotate() -> None:
        log.write(17)
        rotate(log)
        log.write(3)

    def touch_the_unasked() -> None:
        os.utime(next(path for path in unasked.parent.glob("access.log.*") if path.read_bytes().startswith(b"999")))
        log.write(5)

    told = play(home, log, lambda: log.write(10), write_and_rotate, touch_the_unasked, write_and_rotate, lambda: None)
    assert told.complaints == []
    assert home.texts() == log.texts


@rotations
@pytest.mark.parametrize("begun", ["", "60 line00"], ids=["empty", "with an unfinished line"])
def test_a_log_that_held_nothing_complete_at_the_round_before_is_not_lost(
    home: Home, log: Log, rotate: Callable[[Log], None], begun: str
) -> None:
    log.path.write_text(begun)
    unasked = home.write("access.log.3", b"999 nobody asked for this\n")

    def write_and_rotate() -> None:
        log.path.write_text("")
        log.write(5)
        rotate(log)
        log.write(1)

    told = play(home, log, write_and_rotate)
    assert told.complaints == []
    assert home.texts() == log.texts
    assert told.left_alone_names == [f".{unasked.name[-1]}"]


@rotations
def test_logs_that_came_and_went_between_two_rounds_are_not_lost(home: Home, log: Log, rotate: Callable[[Log], None]) -> None:
    log.write(2)

    def write_and_rotate() -> None:
        for _ in range(3):
            log.write(4)
            rotate(log)
        log.write(1)

    assert play(home, log, write_and_rotate, write_and_rotate).complaints == []
    assert home.texts() == log.texts


def test_an_unasked_file_is_known_again_and_not_taken_for_another_with_its_inode(home: Home, log: Log) -> None:
    """As soon as the oldest log is deleted, its inode may be that of the next one, which may be rotated before a round comes."""
    unasked = home.write("access.log.1", b"999 nobody asked for this\n")
    log.write(2)

    def write_late() -> None:
        with unasked.open("a") as stream:
            stream.write("1000 nor for that\n")

    def write_another_file() -> None:
        unasked.write_text("")
        with unasked.open("a") as stream:
            stream.write("1 another\n")

    play(home, log, write_late, write_another_file)
    assert home.texts() == ["another", *log.texts]


@pytest.mark.parametrize("suffix", [".1", ".before-the-move"])
def test_lines_written_to_an_empty_log_after_it_was_renamed(home: Home, log: Log, suffix: str) -> None:
    def move() -> None:
        log.path.rename(log.beside(suffix))
        log.path.touch()

    def write_late() -> None:
        with log.beside(suffix).open("a") as stream:
            stream.write("1 late\n")

    play(home, log, move, write_late)
    assert home.texts() == ["late"]


def test_old_logs_compressed_while_the_watch_runs_stay_alone(home: Home, log: Log) -> None:
    unasked = home.write("access.log.4", b"999 nobody asked for this\n")
    os.utime(unasked, (1_000_000, 1_000_000))
    log.write(1)
    home.write("access.log-errors", b"1 another log\n")

    def compress_the_unasked() -> None:
        gzip_file(unasked)
        home.write("access.log-slow", b"2 another log that has just come\n")

    play(home, log, compress_the_unasked)
    assert home.texts() == log.texts


def test_a_file_beside_the_log_that_cannot_be_read_does_not_stop_the_watch(home: Home, log: Log) -> None:
    log.write(1)
    whole = gzip.compress(b"999 rotated\n")

    def compress_slowly() -> None:
        begun = home.write("access.log.1.gz", whole[:-5]).stat().st_mtime
        log.write(1)
        os.utime(log.path, (begun + 100, begun + 100))

    def compress_further() -> None:
        begun = log.beside(".1.gz").stat().st_mtime
        os.utime(home.write("access.log.1.gz", whole), (begun, begun))
        home.write("access.log.2.gz", whole[:-5])
        log.write(1)

    (complaint,) = play(home, log, compress_slowly, compress_further, lambda: log.write(1), lambda: log.write(1)).complaints
    assert "access.log.2.gz" in complaint
    assert "damaged or cut off" in complaint, "told once, and not of the one that was still being written"
    assert home.texts() == [*log.texts, "rotated"]


def test_a_file_beside_the_log_that_cannot_be_loaded_does_not_stop_the_watch_and_is_not_read_for_ever(
    home: Home, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is no log at all, the other is that of another site."""
    log.write(1)
    of_another_site = home.write("elsewhere.log", b"999 of another site\n")
    home.load(of_another_site, site="another")
    loads: list[set[str]] = []
    load = Watch._load

    def counted(self: Watch, inputs: list[InputFile], options: Options) -> dict[str, Outcome]:
        loads.append({found.location for found in inputs})
        return load(self, inputs, options)

    monkeypatch.setattr(Watch, "_load", counted)
    no_log = log.beside(".1")

    def write_beside() -> None:
        no_log.write_text("no log at all\n" * 200)
        shutil.copy(of_another_site, log.beside(".2"))
        log.write(1)

    def mend() -> None:
        no_log.write_text("998 a log again\n")

    scenes = [lambda: log.write(1)] * 4
    rejected, refused = play(home, log, write_beside, *scenes, mend).complaints
    assert str(no_log) in rejected
    assert "already loaded for site another" in refused
    assert home.texts() == sorted(["a log again", *log.texts, "of another site"])
    assert sum(inputs == {str(log.beside(".2"))} for inputs in loads) == 2, "and not in every round"


@pytest.mark.parametrize(
    "suffix",
    [".1", ".old", ".old.gz", ".gz", ".12.bz2", ".3.zst", "-20261122.gz", "-2026-11-22T10_00_00", ".2026.11.22-1"],
)
def test_names_that_programs_give_to_rotated_logs(home: Home, log: Log, suffix: str) -> None:
    def rotate() -> None:
        home.write("access.log" + suffix, b"999 rotated\n")

    play(home, log, rotate)
    assert home.texts() == ["rotated"]


def test_names_that_are_not_those_of_rotated_logs(home: Home, log: Log) -> None:
    def write_others() -> None:
        for number, suffix in enumerate(
            (".1.sha256", ".1.gz.md5", ".1.swp", "-20261122.tmp", "-2.example.org.log", ".old.copy", ".1-", ".1.gz.gz")
        ):
            home.write("access.log" + suffix, b"%d nobody asked for this\n" % number)
        log.write(1)

    assert play(home, log, write_others).complaints == []
    assert home.texts() == log.texts


def test_an_unreadable_file_with_the_inode_of_one_left_alone_does_not_keep_the_log_from_being_loaded(
    home: Home, log: Log
) -> None:
    unasked = home.write("access.log.1", b"999 nobody asked for this\n")
    log.write(1)

    def damage() -> None:
        unasked.write_bytes(gzip.compress(b"1 another\n")[:-5])
        log.write(1)

    (complaint,) = play(home, log, damage, lambda: log.write(1), lambda: log.write(1)).complaints
    assert str(unasked) in complaint
    assert home.texts() == log.texts


def test_a_file_that_vanishes_while_it_is_looked_for(home: Home, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is passed over, and known again where it went. No name is taken for a pattern."""
    vanishing = log.beside(".{a}[b]*")
    scandir = os.scandir

    def rename_late(path: str) -> object:
        entries = list(scandir(path))
        if vanishing.exists():
            vanishing.rename(log.beside(".1"))
        return nullcontext(entries)

    def move() -> None:
        log.path.rename(vanishing)
        log.path.touch()
        monkeypatch.setattr("lakehouse.watch.os.scandir", rename_late)

    def write_late() -> None:
        monkeypatch.setattr("lakehouse.watch.os.scandir", scandir)
        log.beside(".1").rename(log.beside(".before-the-move"))
        with log.beside(".before-the-move").open("a") as stream:
            stream.write("1 late\n")

    assert play(home, log, move, write_late).complaints == []
    assert home.texts() == ["late"]


def test_the_inode_of_an_empty_log_that_is_gone_says_nothing_of_later_files(home: Home, log: Log) -> None:
    gone = home.folder / "gone"

    def delete() -> None:
        log.beside(".1").rename(gone)

    def use_its_inode() -> None:
        gone.write_bytes(b"999 nobody asked for this\n")
        gone.rename(log.beside(".bak"))
        log.write(1)

    play(home, log, lambda: rename(log), delete, lambda: None, use_its_inode)
    assert home.texts() == log.texts


def test_the_inode_of_an_empty_log_may_be_used_again_while_the_watch_is_away(home: Home, log: Log) -> None:
    play(home, log)
    rename(log)
    log.beside(".1").write_bytes(b"999 nobody asked for this\n")
    log.beside(".1").rename(log.beside(".bak"))
    log.write(1)
    play(home, log)
    assert home.texts() == log.texts


def test_nothing_is_kept_of_files_that_are_gone(home: Home, log: Log) -> None:
    unasked = home.write("access.log.1", b"999 nobody asked for this\n")
    home.write("access.log.2.gz", gzip.compress(b"1 x\n")[:-5])
    watch = Watch(home.settings, home.dataset, [str(log.path)], Options("s"), Told())

    def delete() -> None:
        unasked.unlink()
        log.beside(".2.gz").unlink()

    watch.run(60, Scenario(lambda: None, delete, lambda: None))
    assert (watch._failures, watch._looks[str(log.path)].unasked) == ({}, {})


@pytest.mark.parametrize("slowly", [False, True])
def test_a_file_left_alone_that_is_compressed_by_a_program_that_does_not_keep_its_time(
    home: Home, log: Log, slowly: bool
) -> None:
    unasked = home.write("access.log.4", b"999 nobody asked for this\n")
    os.utime(unasked, (1_000_000, 1_000_000))
    log.write(1)
    whole = gzip.compress(unasked.read_bytes())

    def begin() -> None:
        home.write("access.log.4.gz", whole[:-5] if slowly else whole)
        if not slowly:
            unasked.unlink()
        log.write(1)

    def end() -> None:
        home.write("access.log.4.gz", whole)
        unasked.unlink(missing_ok=True)
        log.write(1)

    assert play(home, log, begin, end, lambda: log.write(1)).complaints == []
    assert home.texts() == log.texts


def test_a_log_that_begins_like_a_file_left_alone_is_another_one(home: Home, log: Log) -> None:
    home.write("access.log.2", b"999 a first line that all have\n")
    log.write(1)

    def come_and_go() -> None:
        home.write("access.log.1", b"999 a first line that all have\n1 another\n")
        log.write(1)

    play(home, log, come_and_go)
    assert home.texts() == ["a first line that all have", "another", *log.texts]


def test_a_folder_below_that_may_not_be_read_does_not_matter(home: Home, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write(1)
    (home.folder / "private").mkdir()
    listed: list[str] = []
    scandir = os.scandir

    def watched(path: str) -> object:
        listed.append(os.fspath(path))
        return scandir(path)

    monkeypatch.setattr("lakehouse.watch.os.scandir", watched)
    play(home, log, lambda: log.write(1))
    assert str(home.folder) in listed
    assert str(home.folder / "private") not in listed


def test_site_and_source_of_rotated_logs_are_those_of_their_log(home: Home) -> None:
    logs = [Log(home.write(f"{site}/{source}/access.log", b"")) for site, source in (("a", "x"), ("a", "y"), ("b", "x"))]

    def write_and_rotate() -> None:
        for count, log in enumerate(logs, 1):
            log.write(max(count, 2))
            rename(log)

    play(home, f"{home.folder}/{{site}}/{{source}}/access.log", write_and_rotate, options=Options())
    records = home.ledger().inputs.values()
    assert sorted((record.site, record.source, record.rows) for record in records) == [
        ("a", "x", 2),
        ("a", "y", 2),
        ("b", "x", 3),
    ]


@rotations
@pytest.mark.parametrize("lines_before", [0, 2])
def test_what_was_rotated_while_the_watch_was_away(
    home: Home, log: Log, rotate: Callable[[Log], None], lines_before: int
) -> None:
    log.write(lines_before)
    home.write("access.log.5", b"999 nobody asked for this\n")
    os.utime(log.beside(".5"), (1_000_000, 1_000_000))
    play(home, log)
    log.write(2)
    rotate(log)
    log.write(1)
    told = play(home, log)
    assert told.complaints == []
    if lines_before or rotate in (rename, compress_later):
        assert home.texts() == log.texts
    else:
        assert home.texts() == log.texts[-1:], "a copy of a log of which nothing is known looks like any other file"
        assert told.left_alone_names[-1] in (".1", ".1.gz")


def test_logs_that_came_and_went_while_the_watch_was_away_are_named(home: Home, log: Log) -> None:
    for number, suffix in enumerate((".9", ".8.gz")):
        home.write(f"access.log{suffix}", b"999 nobody asked for this\n")
        os.utime(log.beside(suffix), (1_000_000 + number, 1_000_000 + number))
    log.write(2)
    assert play(home, log).left_alone_names == [".9", ".8.gz"]
    log.write(2)
    rename(log)
    os.utime(log.beside(".1"), (2_000_000, 2_000_000))
    log.write(3)
    rename(log)
    log.write(1)
    assert play(home, log).left_alone_names == [".1"]
    assert home.texts() == [*log.texts[:4], *log.texts[7:]]
    home.load(log.beside(".1"))
    told = play(home, log)
    assert (told.left_alone_names, told.complaints) == ([], [])
    assert home.texts() == log.texts


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("lines_before", [0, 2])
@pytest.mark.parametrize("stopped_load", [1, 2])
def test_a_watch_that_is_stopped_at_a_step_and_started_again(
    home: Home, log: Log, step: str, lines_before: int, stopped_load: int
) -> None:
    """Stopped in the round that follows a rotation, in the load of the rotated log or in that of the log itself."""
    log.write(lines_before)

    class StopInRound(RaiseAt):
        armed = False
        reached = 0

        def step(self, name: str) -> None:
            self.reached += self.armed and name == "looked"
            if self.reached == stopped_load:
                super().step(name)

    stop = StopInRound(step)

    def write_and_rotate() -> None:
        log.write(5)
        rename(log)
        log.write(1)
        stop.armed = True

    with pytest.raises(StoppedError):
        play(home, log, write_and_rotate, observer=stop)
    told = play(home, log)
    assert (told.complaints, told.left_alone_names) == ([], [])
    assert home.texts() == log.texts
    log.write(1)
    rename(log)
    play(home, log)
    assert home.texts() == log.texts


def test_files_that_are_left_alone_are_named_with_the_command_that_loads_them(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAKEHOUSE_HOME", home.settings["home"])
    monkeypatch.setattr("lakehouse.watch.threading", SimpleNamespace(Event=Scenario))
    log, unasked = home.write("logs/access.log", b""), home.write("logs/access.log.1", HITS)
    assert main(["watch", "access_logs", f"{home.folder}/{{source}}/access.log", "--site", "the site", "--format", "common"]) == 0
    told = capsys.readouterr().err
    sentence, command = told.removesuffix("\n").split("; if you want it: ")
    assert sentence == f"lakehouse: left alone, since nothing of it was ever loaded: {unasked}"
    assert main([*shlex.split(command)[1:], "--json"]) == 0
    (loaded,) = json.loads(capsys.readouterr().out)["inputs"]
    assert (loaded["location"], loaded["site"], loaded["source"], loaded["rows"]) == (str(unasked), "the site", "logs", 2)
    assert main(["watch", "access_logs", f"{home.folder}/{{source}}/access.log", "--site", "the site"]) == 0
    assert capsys.readouterr() == ("", ""), log


def test_an_unfinished_line_waits_for_its_end(home: Home, log: Log) -> None:
    log.write(2)

    def finish() -> None:
        with log.path.open("a") as stream:
            stream.write("\n")

    play(home, log, lambda: log.write(1, end=""), finish)
    assert home.texts() == ["line0001", "line0002", "line0003"]


def test_a_log_that_is_missing_for_a_while_ends_nothing(home: Home, log: Log) -> None:
    log.write(2)
    (complaint,) = play(home, log, log.path.unlink, lambda: log.write(2)).complaints
    assert "no such file" in complaint
    assert home.texts() == ["line0001", "line0002", "line0003", "line0004"]
