"""A hundred real kills (SIGKILL) of a load, at random moments: old state or new, and in the end every row once."""

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lakehouse.datasets.access_logs import DATASET
from lakehouse.maintain import clean_up
from tests.support import processes
from tests.support.home import Home
from tests.support.rollups import ACCESS_FORMAT, access_line, assert_rollups_hold
from tests.support.state import assert_published, left_over, rows
from tests.support.stops import PATIENCE
from tests.support.tiny import DAY, TINY

# The same lines over and over: other tests tell which are covered.
pytestmark = [pytest.mark.embedded, pytest.mark.no_cover]
LOGS = 4
NO_RECORD = b"no record\n"


@dataclass(frozen=True)
class Victim:
    """Loads that are killed.

    Args:
        dataset: that is loaded.
        options: of each load.
        line: makes a line of a log's name and the line's number.
        column: whose values no two lines share.
        value: finds that column in a line.
        kills: how many loads are killed.
        effects: a load is killed soon after so many effects at most; about as many as it has.
    """

    dataset: Any
    options: dict[str, Any]
    line: Callable[[str, int], bytes]
    column: str
    value: Callable[[bytes], bytes]
    kills: int
    effects: int

    def load(self, home: Home) -> None:
        home.load(home.folder / "logs", max_rejects=1.0, **self.options)

    def rows(self, contents: dict[str, bytes]) -> Counter[tuple[str, str]]:
        """What must be there of some logs."""
        lines = [line for content in contents.values() for line in content.splitlines(keepends=True) if line != NO_RECORD]
        return Counter(("s", self.value(line).decode()) for line in lines)


def tiny_line(log: str, number: int) -> bytes:
    return b"%d %s-%d\n" % (number * DAY // 5, log.encode(), number)


def hit(log: str, number: int) -> bytes:
    """A load has new hits of few days only, so that it does not make good by chance what a killed one has left undone."""
    return access_line(1 + number // 40 % 10, number % 24, number % 9, (200, 404, 500)[number % 3], f"{log}-{number}", 0.1)


VICTIMS = (
    Victim(TINY, {}, tiny_line, "text", lambda line: line.split()[1], kills=80, effects=36),
    # Nine of ten of its effects are those of its rollups.
    Victim(DATASET, {"format": ACCESS_FORMAT}, hit, "path", lambda line: line.split()[6], kills=20, effects=200),
)


def load_and_tell(folder: Path, number: int, pipe: Any) -> None:
    """Load, and tell the parent before and after each effect, so that it can kill soon after a chosen one."""
    processes.at_each_effect(lambda: pipe.send(None))
    VICTIMS[number].load(Home(folder, VICTIMS[number].dataset))
    pipe.close()


def growing_logs(home: Home, victim: Victim, chance: random.Random) -> Iterator[dict[str, bytes]]:
    """Makes some of the logs longer, by lines of several days, some of them no records; yields what is in each."""
    contents = {f"{index}.log": b"" for index in range(LOGS)}
    while True:
        for name in chance.sample(sorted(contents), chance.randint(1, LOGS)):
            number = contents[name].count(b"\n")
            contents[name] += b"".join(victim.line(name, number + index) for index in range(chance.randint(1, 30)))
            contents[name] += NO_RECORD if chance.random() < 0.3 else b""
            home.write(f"logs/{name}", contents[name])
        yield contents


@pytest.mark.parametrize("number", range(len(VICTIMS)), ids=[victim.dataset.name for victim in VICTIMS])
def test_a_hundred_kills(tmp_path: Path, number: int) -> None:
    victim = VICTIMS[number]
    seed = int(os.environ.get("LAKEHOUSE_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"LAKEHOUSE_TEST_SEED={seed}")
    chance = random.Random(seed)
    home = Home(tmp_path, victim.dataset)
    logs = growing_logs(home, victim, chance)
    before: Counter[tuple[str, str]] = Counter()
    kills = 0
    while kills < victim.kills:
        contents = next(logs)
        after = victim.rows(contents)
        ours, theirs = processes.pipe()
        process = processes.start(load_and_tell, home.folder, number, theirs)
        theirs.close()
        killed = kill_somewhere(process.pid, ours, victim, chance)
        code = processes.wait(process)
        assert code in (-signal.SIGKILL, 0)
        kills += killed and code != 0
        there = rows(home, victim.column)
        assert there in (before, after), f"after {kills} kills, seed {seed}"
        if code == 0:
            assert there == after
            assert_rollups_hold(home)
            assert_published(home)
        before = there
        if chance.random() < 0.1:
            clean_up(home.settings, home.dataset, timedelta(0))
            assert left_over(home) == [], f"after {kills} kills, seed {seed}"
    victim.load(home)
    assert rows(home, victim.column) == victim.rows(contents)
    assert_rollups_hold(home)
    clean_up(home.settings, home.dataset, timedelta(0))
    assert left_over(home) == []


def kill_somewhere(process_id: int | None, pipe: Any, victim: Victim, chance: random.Random) -> bool:
    """Wait for some effects, then a little longer, and kill; False: it had already come to its end."""
    assert process_id is not None
    for _ in range(chance.randint(1, victim.effects)):
        assert pipe.poll(PATIENCE)
        try:
            pipe.recv()
        except EOFError:
            return False
    for _ in range(chance.randrange(20_000)):  # between two effects, too: burn a little time
        pass
    os.kill(process_id, signal.SIGKILL)
    return True
