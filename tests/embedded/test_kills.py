"""A hundred real kills (SIGKILL) of a load, at random moments: old state or new, and in the end every row once."""

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lakehouse.inputs import InputFile
from lakehouse.maintain import clean_up
from lakehouse.observer import SilentObserver
from tests.support import processes
from tests.support.home import Home
from tests.support.state import left_over, rows
from tests.support.stops import PATIENCE
from tests.support.tiny import DAY, lines

pytestmark = pytest.mark.embedded
KILLS = 100
LOGS = 4


class Tell(SilentObserver):
    """Tells the parent at each step, so that it can kill soon after a chosen one."""

    def __init__(self, pipe: Any):
        self._pipe = pipe

    def step(self, name: str) -> None:
        self._pipe.send(name)

    def read(self, found: InputFile, size: int) -> None:
        self._pipe.send("read")


def load_and_tell(folder: Path, paths: list[str], pipe: Any) -> None:
    Home(folder).load(*paths, observer=Tell(pipe), max_rejects=1.0)
    pipe.close()


def growing_logs(home: Home, chance: random.Random) -> Iterator[dict[str, bytes]]:
    """Makes some of the logs longer, by lines of several days, some of them no records; yields what is in each."""
    contents = {f"{index}.log": b"" for index in range(LOGS)}
    while True:
        for name in chance.sample(sorted(contents), chance.randint(1, LOGS)):
            number = contents[name].count(b"\n")
            new = lines(chance.randint(1, 30), start=number * 997, step=DAY // 5, text=f"{name}-{number}-")
            contents[name] += new + (b"no record\n" if chance.random() < 0.3 else b"")
            home.write(f"logs/{name}", contents[name])
        yield contents


def records(contents: dict[str, bytes]) -> Counter[tuple[str, str]]:
    return Counter(
        ("s", line.split(b" ", 1)[1].decode())
        for content in contents.values()
        for line in content.splitlines()
        if line[:1].isdigit()
    )


def test_a_hundred_kills(tmp_path: Path) -> None:
    seed = int(os.environ.get("LAKEHOUSE_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"LAKEHOUSE_TEST_SEED={seed}")
    chance = random.Random(seed)
    home = Home(tmp_path)
    logs = growing_logs(home, chance)
    before: Counter[tuple[str, str]] = Counter()
    kills = 0
    while kills < KILLS:
        contents = next(logs)
        after = records(contents)
        ours, theirs = processes.pipe()
        process = processes.start(load_and_tell, home.folder, [str(home.folder / "logs")], theirs)
        theirs.close()
        killed = kill_somewhere(process.pid, ours, chance)
        code = processes.wait(process)
        assert code in (-signal.SIGKILL, 0)
        kills += killed and code != 0
        there = rows(home)
        assert there in (before, after), f"after {kills} kills, seed {seed}"
        if code == 0:
            assert there == after
        before = there
        if chance.random() < 0.1:
            clean_up(home.settings, home.dataset, timedelta(0))
            assert left_over(home) == [], f"after {kills} kills, seed {seed}"
    home.load(home.folder / "logs", max_rejects=1.0)
    assert rows(home) == records(contents)
    clean_up(home.settings, home.dataset, timedelta(0))
    assert left_over(home) == []


def kill_somewhere(process_id: int | None, pipe: Any, chance: random.Random) -> bool:
    """Wait for some steps, then a little longer, and kill; False: it had already come to its end."""
    assert process_id is not None
    for _ in range(chance.randint(1, 8)):
        assert pipe.poll(PATIENCE)
        try:
            pipe.recv()
        except EOFError:
            return False
    for _ in range(chance.randrange(20_000)):  # between two steps, too: burn a little time
        pass
    os.kill(process_id, signal.SIGKILL)
    return True
