"""Eight processes that load at once, into a lakehouse that does not exist yet: its creation is part of the race."""

from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from lakehouse.datasets.access_logs import DATASET
from lakehouse.maintain import clean_up
from tests.support import processes
from tests.support.home import Home
from tests.support.rollups import ACCESS_FORMAT, access_line, assert_rollups_hold
from tests.support.state import left_over, rows
from tests.support.stops import PATIENCE
from tests.support.tiny import lines

pytestmark = pytest.mark.embedded
PROCESSES = 8
Inputs = list[tuple[Path, dict[str, Any]]]


def load_at_once(home: Home, inputs: Inputs) -> list[Any]:
    """Load each input in a process of its own; what each says, in their order."""
    begin, answers = processes.barrier(len(inputs)), processes.queue()
    started = [
        processes.start(processes.load_together, home.folder, str(path), options, begin, answers, home.dataset)
        for path, options in inputs
    ]
    said = dict(answers.get(timeout=PATIENCE) for _ in started)
    for process in started:
        processes.wait(process)
    return [said[str(path)] for path, _ in inputs]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def check(home: Home, expected: Counter[tuple[str, str]]) -> None:
    assert rows(home) == expected
    clean_up(home.settings, home.dataset, timedelta(0))
    assert left_over(home) == []
    assert rows(home) == expected


def test_eight_different_inputs(home: Home) -> None:
    inputs: Inputs = [(home.write(f"{index}.log", lines(20, text=f"{index}-")), {}) for index in range(PROCESSES)]
    assert load_at_once(home, inputs) == [["loaded"]] * PROCESSES
    check(home, Counter(("s", f"{index}-{line}") for index in range(PROCESSES) for line in range(20)))
    assert home.snapshots() <= PROCESSES + 1


def test_eight_times_the_same_bytes(home: Home) -> None:
    inputs: Inputs = [(home.write(f"{index}.log", lines(20)), {}) for index in range(PROCESSES)]
    assert sorted(load_at_once(home, inputs)) == [["loaded"]] + [["unchanged"]] * (PROCESSES - 1)
    check(home, Counter(("s", f"x{line}") for line in range(20)))


def test_eight_lengths_of_one_log(home: Home) -> None:
    content = lines(80)
    inputs: Inputs = [
        (home.write(f"{index}.log", b"".join(content.splitlines(keepends=True)[: 10 * (index + 1)])), {})
        for index in range(PROCESSES)
    ]
    said = {status for statuses in load_at_once(home, inputs) for status in statuses}
    assert said <= {"loaded", "grown", "old copy"}
    check(home, Counter(("s", f"x{line}") for line in range(80)))
    assert len(home.ledger().inputs) == 1


def test_eight_sites_claim_the_same_bytes(home: Home) -> None:
    inputs = [(home.write(f"{index}.log", lines(20)), {"site": f"site{index}"}) for index in range(PROCESSES)]
    said = load_at_once(home, inputs)
    (winner,) = [index for index, answer in enumerate(said) if answer == ["loaded"]]
    refused = f"already loaded for site site{winner}"
    assert all(refused in answer for index, answer in enumerate(said) if index != winner)
    check(home, Counter((f"site{winner}", f"x{line}") for line in range(20)))


def test_eight_parse_the_same_input_again(home: Home) -> None:
    log = home.write("a.log", lines(20) + b"no record\n")
    home.load(log)
    copies = [home.write(f"{index}.log", log.read_bytes()) for index in range(PROCESSES)]
    assert load_at_once(home, [(copy, {"reparse": True}) for copy in copies]) == [["replaced"]] * PROCESSES
    check(home, Counter(("s", f"x{line}") for line in range(20)))


def test_four_inputs_of_the_same_days_and_their_rollups(tmp_path: Path) -> None:
    home = Home(tmp_path, DATASET)
    inputs: Inputs = [
        (home.write(f"{index}.log", b"".join(access_line(day, index, index, 200, "a", 1) for day in (1, 2))), options)
        for index, options in enumerate([{"format": ACCESS_FORMAT}] * 4)
    ]
    assert load_at_once(home, inputs) == [["loaded"]] * 4
    assert home.query("SELECT date, count(*) FROM t GROUP BY 1 ORDER BY 1") == [(date(2026, 3, 1), 4), (date(2026, 3, 2), 4)]
    assert_rollups_hold(home)
