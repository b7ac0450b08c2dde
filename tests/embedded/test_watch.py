"""Watching a log: every line once, whichever way the log is rotated between two rounds."""

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from lakehouse.inputs import InputFile
from lakehouse.load import Loader, Request
from lakehouse.load_options import Options
from lakehouse.watch import watch
from tests.support.home import Home

pytestmark = pytest.mark.embedded


class Scenario(Event):
    """Plays the next scene where the watch would sleep, and stops it after the last one."""

    def __init__(self, *scenes: Callable[[], None]):
        super().__init__()
        self._scenes = list(scenes)

    def wait(self, timeout: float | None = None) -> bool:
        if self._scenes:
            self._scenes.pop(0)()
        else:
            self.set()
        return self.is_set()


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


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def play(home: Home, log: Log, *scenes: Callable[[], None]) -> list[str]:
    complaints: list[str] = []

    def load(found: list[InputFile], only_known: bool) -> None:
        Loader(home.settings, home.dataset).run(Request(found, Options("s", only_known=only_known)))

    watch(home.settings, [str(log.path)], 60, load, complaints.append, Scenario(*scenes))
    return complaints


def rename(log: Log) -> None:
    rotated = log.path.with_name(log.path.name + ".1")
    rotated.unlink(missing_ok=True)
    log.path.rename(rotated)
    log.path.touch()


def copy_and_truncate(log: Log) -> None:
    shutil.copy(log.path, log.path.with_name(log.path.name + ".1"))
    os.truncate(log.path, 0)


def compress(log: Log) -> None:
    target = log.path.with_name(log.path.name + "-20261122.gz")
    target.write_bytes(gzip.compress(log.path.read_bytes()))
    log.path.unlink()
    log.path.touch()


@pytest.mark.parametrize("rotate", [rename, copy_and_truncate, compress])
def test_lines_written_between_the_last_round_and_the_rotation_are_not_lost(home: Home, rotate: Callable[[Log], None]) -> None:
    log = Log(home.folder / "access.log")
    log.write(100)
    unasked = home.write("access.log.7", b"999 nobody asked for this\n")

    def write_and_rotate() -> None:
        log.write(17)
        rotate(log)
        log.write(3)

    def touch_the_unasked() -> None:
        os.utime(unasked)
        log.write(5)

    assert play(home, log, lambda: log.write(10), write_and_rotate, touch_the_unasked, write_and_rotate, lambda: None) == []
    assert home.texts() == [f"line{number:04d}" for number in range(1, log.lines + 1)]


def test_an_unfinished_line_waits_for_its_end(home: Home) -> None:
    log = Log(home.folder / "access.log")
    log.write(2)

    def finish() -> None:
        with log.path.open("a") as stream:
            stream.write("\n")

    play(home, log, lambda: log.write(1, end=""), finish)
    assert home.texts() == ["line0001", "line0002", "line0003"]


def test_a_log_that_is_missing_for_a_while_ends_nothing(home: Home) -> None:
    log = Log(home.folder / "access.log")
    log.write(2)
    (complaint,) = play(home, log, log.path.unlink, lambda: log.write(2))
    assert "no such file" in complaint
    assert home.texts() == ["line0001", "line0002", "line0003", "line0004"]
