"""Stops at every step of a load: whatever happens there, every row is there exactly once (docs/exactly-once.md)."""

import functools
import itertools
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from lakehouse.errors import CommitConflictError, UsageError
from lakehouse.load import Report
from lakehouse.maintain import clean_up
from lakehouse.observer import Observer, SilentObserver
from tests.support import processes
from tests.support.home import Home
from tests.support.state import assert_published, left_over, rows
from tests.support.stops import COMMITTED, EXIT_CODE, STEPS, PauseAt, Paused, RaiseAt, StoppedError
from tests.support.tiny import DAY, lines

# The same lines over and over: other tests tell which are covered.
pytestmark = [pytest.mark.embedded, pytest.mark.no_cover]

LOG = lines(30, text="log") + b"not a record\n"  # 24 rows of one day, 6 of the next, and a reject
OTHER = lines(10, text="other")
CORRECTION = lines(3, start=DAY, text="corrected")
SECOND_DAY = date(1970, 1, 2)
NO_TIME = timedelta(0)


def expected(*contents: bytes, site: str = "s") -> Counter[tuple[str, str]]:
    """Rows of inputs that are loaded once each."""
    every = [line for content in contents for line in content.splitlines() if line[:1].isdigit()]
    return Counter((site, line.split(b" ", 1)[1].decode()) for line in every)


def input_ids(home: Home, name: str) -> tuple[str, ...]:
    """Ids of what was loaded from a file; none when it is not there (any more)."""
    return tuple(record.id for record in home.ledger().inputs.values() if record.location.endswith(f"/{name}"))


@dataclass(frozen=True)
class Operation:
    """A command: what is there before it, how to run it, and the rows before and after."""

    name: str
    prepare: Callable[[Home], None]
    arguments: Callable[[Home], tuple[list[str], dict[str, Any]]]
    before: Counter[tuple[str, str]]
    after: Counter[tuple[str, str]]

    def run(self, home: Home, observer: Observer | None = None) -> Report:
        paths, options = self.arguments(home)
        return home.load(*paths, observer=observer, **options)


def _load(home: Home, name: str, content: bytes) -> None:
    home.load(home.write(name, content))


def _loaded_then(*later: tuple[str, bytes]) -> Callable[[Home], None]:
    """Load a log and another, then write the files that the operation will find."""

    def prepare(home: Home) -> None:
        home.load(home.write("log", LOG), home.write("other", OTHER))
        for name, content in later:
            home.write(name, content)

    return prepare


def _prepare_new(home: Home) -> None:
    _load(home, "other", OTHER)
    home.write("log", LOG)


def _prepare_growth(home: Home) -> None:
    home.load(home.write("log", LOG[:100]), home.write("other", OTHER))
    home.write("log", LOG)


def _path(home: Home, name: str) -> str:
    return str(home.folder / name)


BOTH = expected(LOG, OTHER)
FIRST_DAY_OF_LOG = lines(24, text="log")
OPERATIONS = (
    Operation("load", _prepare_new, lambda home: ([_path(home, "log")], {}), expected(OTHER), BOTH),
    Operation(
        "grow",
        _prepare_growth,
        lambda home: ([_path(home, "log")], {}),
        expected(LOG[: LOG.rindex(b"\n", 0, 100) + 1], OTHER),
        BOTH,
    ),
    Operation(
        "replace",
        _loaded_then(("fixed", CORRECTION)),
        lambda home: ([_path(home, "fixed")], {"replace": input_ids(home, "log")}),
        BOTH,
        expected(CORRECTION, OTHER),
    ),
    Operation(
        "replace day",
        _loaded_then(("fixed", CORRECTION)),
        lambda home: ([_path(home, "fixed")], {"replace_day": SECOND_DAY}),
        BOTH,
        expected(FIRST_DAY_OF_LOG, CORRECTION, OTHER),
    ),
    Operation("reparse", _loaded_then(), lambda home: ([_path(home, "log")], {"reparse": True}), BOTH, BOTH),
    Operation("unload", _loaded_then(), lambda home: ([], {"replace": input_ids(home, "log")}), BOTH, expected(OTHER)),
)
operations = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


def check_recovery(home: Home, operation: Operation) -> None:
    """Running the command again, then a clean-up, lead to the new state and leave no file that nothing refers to."""
    operation.run(home)
    assert rows(home) == operation.after
    assert_published(home)
    clean_up(home.settings, home.dataset, NO_TIME)
    assert left_over(home) == []
    assert rows(home) == operation.after


@operations
@pytest.mark.parametrize("step", STEPS)
def test_an_error_at_a_step(tmp_path: Path, operation: Operation, step: str) -> None:
    home = Home(tmp_path)
    operation.prepare(home)
    kept = left_over(home)
    with pytest.raises(StoppedError):
        operation.run(home, RaiseAt(step))
    assert rows(home) == (operation.before if STEPS.index(step) < COMMITTED else operation.after)
    if STEPS.index(step) < COMMITTED:
        assert set(left_over(home)) <= set(kept), "what was not committed is cleaned up at once"
    check_recovery(home, operation)


def prepared(folder: Path, prepare: Callable[[Home], None]) -> Iterator[Home]:
    """The same lakehouse again and again, as a command finds it: copies take less time than loads."""
    home = Home(folder / "home")
    prepare(home)
    kept = shutil.copytree(home.folder, folder / "prepared")
    while True:
        yield home
        shutil.rmtree(home.folder)
        shutil.copytree(kept, home.folder)


@operations
def test_the_death_of_the_process_at_each_step(tmp_path: Path, operation: Operation) -> None:
    for step, home in zip(STEPS, prepared(tmp_path, operation.prepare), strict=False):
        paths, options = operation.arguments(home)
        assert processes.wait(processes.start(processes.load, home.folder, paths, options, step)) == EXIT_CODE
        assert rows(home) == (operation.before if STEPS.index(step) < COMMITTED else operation.after)
        check_recovery(home, operation)


def test_the_death_of_the_process_around_each_effect(tmp_path: Path) -> None:
    """Between two steps, too: before and after each file is begun, written whole or deleted, and each database commit."""
    operation = next(operation for operation in OPERATIONS if operation.name == "replace day")
    for number, home in enumerate(prepared(tmp_path, operation.prepare)):
        paths, options = operation.arguments(home)
        code = processes.wait(processes.start(processes.load_until_effect, home.folder, paths, options, number))
        assert code in (EXIT_CODE, 0), number
        assert rows(home) in (operation.before, operation.after), number
        check_recovery(home, operation)
        if code == 0:
            break
    assert number > 20, "so many effects a load has at least"


# What another command does while a load stands still. -----------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """A load that is held, what happens meanwhile, and what must be there at the end."""

    name: str
    prepare: Callable[[Home], None]
    held: Callable[[Home, Observer], Report]
    rival: Callable[[Home], Any]
    outcomes: tuple[Counter[tuple[str, str]], ...]
    """Rows at the end, one of these."""
    held_says: Callable[[Paused, str], bool]
    """Whether the held load's report or error, for a pause at this step, is right."""


def says(*statuses: str) -> Callable[[Paused, str], bool]:
    """It is loaded when it was committed before the pause; else its statuses are these."""

    def check(held: Paused, step: str) -> bool:
        if held.report is None:
            return False
        found = [outcome.status for outcome in held.report.outcomes]
        return found == list(statuses) or (STEPS.index(step) >= COMMITTED and not held.error)

    return check


def fails(kind: type[Exception], text: str) -> Callable[[Paused, str], bool]:
    """It fails so, unless it was committed before the pause."""

    def check(held: Paused, step: str) -> bool:
        if STEPS.index(step) >= COMMITTED:
            return held.error is None
        return isinstance(held.error, kind) and text in str(held.error)

    return check


def anything(held: Paused, step: str) -> bool:
    return held.error is None


def _nothing(home: Home) -> None:
    _load(home, "other", OTHER)


def _hold(name: str, content: bytes, **options: Any) -> Callable[[Home, Observer], Report]:
    return lambda home, observer: home.load(home.write(name, content), observer=observer, **options)


def _rival(name: str, content: bytes, **options: Any) -> Callable[[Home], Report]:
    return lambda home: home.load(home.write(name, content), **options)


def _rival_refused(name: str, content: bytes, **options: Any) -> Callable[[Home], None]:
    def run(home: Home) -> None:
        try:
            home.load(home.write(name, content), **options)
        except UsageError as error:
            assert "already loaded for site" in str(error)

    return run


GROWN = LOG + lines(5, text="more")
GROWN_MORE = GROWN + lines(5, text="still more")
ALL_GROWN = expected(GROWN, OTHER)
PAIRS = (
    Pair("same bytes", _nothing, _hold("log", LOG), _rival("copy", LOG), (BOTH,), says("unchanged")),
    Pair("log, then its grown self", _nothing, _hold("log", LOG), _rival("grown", GROWN), (ALL_GROWN,), says("old copy")),
    Pair("grown log, then its beginning", _nothing, _hold("grown", GROWN), _rival("log", LOG), (ALL_GROWN,), says("grown")),
    Pair(
        "different inputs",
        _nothing,
        _hold("log", LOG),
        _rival("third", CORRECTION),
        (expected(LOG, OTHER, CORRECTION),),
        says("loaded"),
    ),
    Pair(
        "both grow the same log",
        _loaded_then(),
        _hold("log", GROWN),
        _rival("log.1", GROWN_MORE),
        (expected(GROWN_MORE, OTHER),),
        says("old copy"),
    ),
    Pair(
        "both grow the same log, the held one further",
        _loaded_then(),
        _hold("log", GROWN_MORE),
        _rival("log.1", GROWN),
        (expected(GROWN_MORE, OTHER),),
        says("grown"),
    ),
    Pair(
        "growth, and the log is unloaded",
        _loaded_then(),
        _hold("log", GROWN),
        lambda home: home.unload(*input_ids(home, "log")),
        (ALL_GROWN, expected(OTHER)),
        says("loaded"),
    ),
    Pair(
        "unloading, and the log grows",
        _loaded_then(),
        lambda home, observer: home.load(replace=input_ids(home, "log"), observer=observer),
        _rival("log", GROWN),
        (expected(OTHER), ALL_GROWN),
        anything,
    ),
    Pair(
        "unloading the same input twice",
        _loaded_then(),
        lambda home, observer: home.load(replace=input_ids(home, "log"), observer=observer),
        lambda home: home.unload(*input_ids(home, "log")),
        (expected(OTHER),),
        anything,
    ),
    Pair(
        "growth, and a day of the log is replaced",
        _loaded_then(("fixed", CORRECTION)),
        _hold("log", LOG + lines(2, start=DAY * 3, text="later")),
        lambda home: home.load(home.folder / "fixed", replace_day=SECOND_DAY),
        (expected(FIRST_DAY_OF_LOG, OTHER, CORRECTION, lines(2, start=DAY * 3, text="later")),),
        says("grown"),
    ),
    Pair(
        "a day is replaced, and a load of that day",
        _loaded_then(("fixed", CORRECTION)),
        lambda home, observer: home.load(home.folder / "fixed", replace_day=SECOND_DAY, observer=observer),
        _rival("third", lines(2, start=DAY, text="third")),
        (
            expected(FIRST_DAY_OF_LOG, OTHER, CORRECTION),
            expected(FIRST_DAY_OF_LOG, OTHER, CORRECTION, lines(2, start=DAY, text="third")),
        ),
        says("loaded"),
    ),
    Pair(
        "a load, and its day is replaced",
        _loaded_then(("fixed", CORRECTION)),
        _hold("third", lines(2, start=DAY, text="third")),
        lambda home: home.load(home.folder / "fixed", replace_day=SECOND_DAY),
        (
            expected(FIRST_DAY_OF_LOG, OTHER, CORRECTION),
            expected(FIRST_DAY_OF_LOG, OTHER, CORRECTION, lines(2, start=DAY, text="third")),
        ),
        says("loaded"),
    ),
    Pair(
        "two replace the same input",
        _loaded_then(("fixed", CORRECTION), ("other fix", lines(4, text="fix"))),
        lambda home, observer: home.load(home.folder / "fixed", replace=input_ids(home, "log"), observer=observer),
        lambda home: home.load(home.folder / "other fix", replace=input_ids(home, "log")),
        (expected(OTHER, lines(4, text="fix")), expected(OTHER, CORRECTION, lines(4, text="fix"))),
        fails(UsageError, "is not loaded any more"),
    ),
    Pair(
        "two parse the same input again",
        _loaded_then(),
        _hold("log", LOG, reparse=True),
        _rival("log", LOG, reparse=True),
        (BOTH,),
        says("replaced"),
    ),
    Pair(
        "equal bytes for two sites",
        _nothing,
        _hold("log", LOG),
        _rival_refused("copy", LOG, site="t"),
        (BOTH, expected(OTHER) + expected(LOG, site="t")),
        fails(UsageError, "already loaded for site t"),
    ),
    Pair(
        "a clean-up that spares nothing",
        _loaded_then(),
        _hold("third", CORRECTION),
        lambda home: clean_up(home.settings, home.dataset, NO_TIME),
        (BOTH, expected(LOG, OTHER, CORRECTION)),
        lambda held, step: (
            held.error is None
            or (isinstance(held.error, CommitConflictError) and "a clean-up has given it up" in str(held.error))
        ),
    ),
    Pair(
        "a removal, and a clean-up that spares nothing",
        _loaded_then(),
        lambda home, observer: home.load(replace=input_ids(home, "log"), observer=observer),
        lambda home: clean_up(home.settings, home.dataset, NO_TIME),
        (BOTH, expected(OTHER)),
        lambda held, step: (
            held.error is None
            or (isinstance(held.error, CommitConflictError) and "a clean-up has given it up" in str(held.error))
        ),
    ),
)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_a_rival_at_each_step(tmp_path: Path, pair: Pair) -> None:
    for step in STEPS[: COMMITTED + 1]:
        home = Home(tmp_path / step)
        pair.prepare(home)
        with Paused(PauseAt(step), lambda observer, home=home: pair.held(home, observer)) as held:  # type: ignore[misc]
            pair.rival(home)
        there = rows(home)
        assert there in pair.outcomes, step
        assert pair.held_says(held, step), (step, held.report, held.error)
        clean_up(home.settings, home.dataset, NO_TIME)
        assert left_over(home) == [], step
        assert rows(home) == there, step


# Two loads that hold each other up. -----------------------------------------------------------------------------------

Command = Callable[[Home, Observer], Report]


def _unload(name: str) -> Command:
    return lambda home, observer: home.load(replace=input_ids(home, name), observer=observer)


def _replace(name: str, correction: str) -> Command:
    return lambda home, observer: home.load(home.folder / correction, replace=input_ids(home, name), observer=observer)


@dataclass(frozen=True)
class Meeting:
    """Two commands: the first stands at a step, the second comes to one, the first ends, the second ends.

    Args:
        name: of the meeting.
        prepare: makes what is there before.
        first, second: the commands.
        outcomes: rows at the end, one of these.
        refusal: part of what a command may say that fails; None: neither may fail.
    """

    name: str
    prepare: Callable[[Home], None]
    first: Command
    second: Command
    outcomes: tuple[Counter[tuple[str, str]], ...]
    refusal: str | None = None


FIX = lines(4, text="fix")
# Before its intent is declared a load has only looked: no other load can tell the two steps apart. And once the first is
# committed, the second finds what it would find later.
UNCOMMITTED = ("looked", "staged", "commit prepared")
MEETINGS = (
    Meeting("same bytes", _nothing, _hold("log", LOG), _hold("copy", LOG), (BOTH,)),
    Meeting("different inputs", _nothing, _hold("log", LOG), _hold("third", FIX), (expected(LOG, OTHER, FIX),)),
    Meeting("a log and its grown self", _nothing, _hold("log", LOG), _hold("grown", GROWN), (ALL_GROWN,)),
    Meeting("growth and unloading", _loaded_then(), _hold("log", GROWN), _unload("log"), (ALL_GROWN, expected(OTHER))),
    Meeting(
        "two replace the same input",
        _loaded_then(("fixed", CORRECTION), ("other fix", FIX)),
        _replace("log", "fixed"),
        _replace("log", "other fix"),
        # Both are there where a command begins when the log is replaced already, and so replaces nothing.
        (expected(OTHER, CORRECTION), expected(OTHER, FIX), expected(OTHER, CORRECTION, FIX)),
        "is not loaded any more",
    ),
)


@pytest.mark.parametrize("meeting", MEETINGS, ids=lambda meeting: meeting.name)
def test_two_loads_at_each_pair_of_steps(tmp_path: Path, meeting: Meeting) -> None:
    for steps, home in zip(
        itertools.product(UNCOMMITTED, (*UNCOMMITTED, "committed")), prepared(tmp_path, meeting.prepare), strict=False
    ):
        first, second = (
            Paused(PauseAt(step), functools.partial(command, home), may_end_before=command is meeting.second)
            for step, command in zip(steps, (meeting.first, meeting.second), strict=True)
        )
        with first, second:
            first.finish()
        there = rows(home)
        assert there in meeting.outcomes, steps
        for command, held in ((meeting.first, first), (meeting.second, second)):
            if held.error is not None:
                assert isinstance(held.error, UsageError), (steps, held.error)
                assert meeting.refusal is not None, (steps, held.error)
                assert meeting.refusal in str(held.error), steps
                command(home, SilentObserver())
        assert rows(home) in meeting.outcomes, steps
        clean_up(home.settings, home.dataset, NO_TIME)
        assert left_over(home) == [], steps
