"""The answer to a commit is lost on the way: committed or not, the rows are there once."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.exceptions import CommitFailedException

from lakehouse import load_commit
from lakehouse.errors import CatalogError, CommitUnknownError
from lakehouse.maintain import clean_up
from lakehouse.observer import Observer, SilentObserver
from lakehouse.sqlite_catalog import SqliteCatalog
from tests.support.home import Home
from tests.support.postgresql import PostgresqlMissingError, Proxy, running_postgresql
from tests.support.state import left_over, rows
from tests.support.tiny import DAY, lines

pytestmark = pytest.mark.embedded

Commit = Callable[..., Any]
LOST = ConnectionResetError("the connection was reset")
LOG, OTHER, CORRECTION = lines(30), lines(5, text="other"), lines(2, start=DAY, text="corrected")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.load(home.write("other.log", OTHER))
    return home


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[Commit, Any], Any]], None]]:
    """Sets what becomes of a commit: a function that is given the real one and its arguments."""
    real = SqliteCatalog.commit_table

    def set_answer(behave: Callable[[Commit, Any], Any]) -> None:
        monkeypatch.setattr(SqliteCatalog, "commit_table", lambda *arguments: behave(real, arguments))

    yield set_answer


def check(home: Home, *contents: bytes) -> None:
    expected = Counter(("s", line.split(b" ", 1)[1].decode()) for content in contents for line in content.splitlines())
    assert rows(home) == expected
    clean_up(home.settings, home.dataset, timedelta(0))
    assert left_over(home) == []
    assert rows(home) == expected


def once(behave: Callable[[Commit, Any], Any]) -> Callable[[Commit, Any], Any]:
    """Misbehave at the first commit only."""
    calls = iter([behave])
    return lambda real, arguments: next(calls, lambda real, arguments: real(*arguments))(real, arguments)


def committed_but_lost(real: Commit, arguments: Any) -> Any:
    real(*arguments)
    raise LOST


def lost_before_it_arrived(real: Commit, arguments: Any) -> Any:
    raise LOST


BEHAVIOURS = pytest.mark.parametrize("behave", [committed_but_lost, lost_before_it_arrived])


@BEHAVIOURS
def test_a_load(home: Home, answer: Any, behave: Any) -> None:
    log = home.write("a.log", LOG)
    answer(once(behave))
    assert [outcome.status for outcome in home.load(log).outcomes] == ["loaded"]
    assert [outcome.status for outcome in home.load(log).outcomes] == ["unchanged"]
    check(home, OTHER, LOG)


@BEHAVIOURS
def test_a_growth(home: Home, answer: Any, behave: Any) -> None:
    log = home.write("a.log", LOG[:100])
    home.load(log)
    log.write_bytes(LOG)
    answer(once(behave))
    assert [outcome.status for outcome in home.load(log).outcomes] == ["grown"]
    check(home, OTHER, LOG)


@BEHAVIOURS
def test_a_replaced_day(home: Home, answer: Any, behave: Any) -> None:
    home.load(home.write("a.log", LOG))
    fixed = home.write("fixed.log", CORRECTION)
    answer(once(behave))
    home.load(fixed, replace_day=date(1970, 1, 2))
    check(home, OTHER, lines(24), CORRECTION)


@BEHAVIOURS
def test_an_unload(home: Home, answer: Any, behave: Any) -> None:
    home.load(home.write("a.log", LOG))
    (log_id,) = [record.id for record in home.ledger().inputs.values() if record.location.endswith("a.log")]
    answer(once(behave))
    home.unload(log_id)
    check(home, OTHER)


@BEHAVIOURS
def test_a_fence_of_a_clean_up(home: Home, answer: Any, behave: Any) -> None:
    class Dies(SilentObserver):
        def step(self, name: str) -> None:
            if name == "committed":
                raise KeyboardInterrupt

    answer(once(lost_before_it_arrived))
    answer(once(lambda real, arguments: (_ for _ in ()).throw(KeyboardInterrupt)))
    with pytest.raises(KeyboardInterrupt):
        home.load(home.write("a.log", LOG), observer=Dies())
    answer(once(behave))
    with pytest.raises(CatalogError, match=r"did not answer a clean-up.*run it again"):
        clean_up(home.settings, home.dataset, timedelta(0))
    check(home, OTHER)


class Delayed:
    """A commit that the client was told has failed, and that arrives later all the same."""

    def __init__(self) -> None:
        self._held: tuple[Commit, Any] | None = None
        self.arrived: list[str] = []

    def __call__(self, real: Commit, arguments: Any) -> Any:
        self._held = (real, arguments)
        raise LOST

    def arrive(self) -> None:
        if self._held:
            (real, arguments), self._held = self._held, None
            try:
                real(*arguments)
                self.arrived.append("committed")
            except CommitFailedException:
                self.arrived.append("refused")


def on_second_publish(act: Callable[[], Any]) -> Observer:
    class Acts(SilentObserver):
        times = 0

        def step(self, name: str) -> None:
            self.times += name == "commit prepared"
            if name == "commit prepared" and self.times == 2:
                act()

    return Acts()


def test_a_commit_that_arrives_after_it_was_looked_for(home: Home, answer: Any) -> None:
    log, delayed = home.write("a.log", LOG), Delayed()
    answer(once(delayed))
    home.load(log, observer=on_second_publish(delayed.arrive))
    assert delayed.arrived == ["committed"]
    check(home, OTHER, LOG)


def test_a_commit_that_arrives_after_the_second_one(home: Home, answer: Any) -> None:
    log, delayed = home.write("a.log", LOG), Delayed()
    answer(once(delayed))
    home.load(log)
    delayed.arrive()
    assert delayed.arrived == ["refused"]
    check(home, OTHER, LOG)


@pytest.mark.parametrize("rival_content", [LOG, LOG + lines(3, text="more"), CORRECTION])
@pytest.mark.parametrize("late", [False, True])
def test_a_commit_that_arrives_around_a_rival(home: Home, answer: Any, rival_content: bytes, late: bool) -> None:
    log, rival, delayed = home.write("a.log", LOG), home.write("b.log", rival_content), Delayed()

    def meanwhile() -> None:
        if not late:
            delayed.arrive()
        home.load(rival)
        delayed.arrive()

    answer(once(delayed))
    home.load(log, observer=on_second_publish(meanwhile))
    assert delayed.arrived == ["refused" if late else "committed"]
    check(home, OTHER, *((LOG, CORRECTION) if rival_content is CORRECTION else (rival_content,)))


def test_a_commit_that_arrives_after_a_clean_up_gave_the_load_up(home: Home, answer: Any) -> None:
    delayed = Delayed()

    def dies(real: Commit, arguments: Any) -> Any:
        with pytest.raises(ConnectionResetError):
            delayed(real, arguments)
        raise KeyboardInterrupt

    answer(once(dies))
    with pytest.raises(KeyboardInterrupt):
        home.load(home.write("a.log", LOG))
    clean_up(home.settings, home.dataset, timedelta(0))
    delayed.arrive()
    assert delayed.arrived == ["refused"]
    check(home, OTHER)


@BEHAVIOURS
def test_a_catalog_that_answers_no_question_either(home: Home, answer: Any, behave: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    log = home.write("a.log", LOG)
    monkeypatch.setattr(load_commit, "LOOK_UP_SECONDS", 0.1)
    real_load = SqliteCatalog.load_table

    def gone(*_: Any) -> Any:
        raise sqlite3.OperationalError("disk I/O error")

    def vanish(real: Commit, arguments: Any) -> Any:
        try:
            return behave(real, arguments)
        finally:
            monkeypatch.setattr(SqliteCatalog, "load_table", gone)

    answer(once(vanish))
    with pytest.raises(CommitUnknownError, match=r"run the same load again.*nothing will be loaded twice"):
        home.load(log)
    monkeypatch.setattr(SqliteCatalog, "load_table", real_load)
    home.load(log)
    check(home, OTHER, LOG)


@pytest.mark.parametrize("reparse", [False, True])
def test_a_catalog_that_never_commits(home: Home, answer: Any, reparse: bool) -> None:
    log = home.write("a.log", LOG)
    if reparse:
        home.load(log)
    before = rows(home)
    asked = 0

    def refuse(real: Commit, arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        raise sqlite3.OperationalError("attempt to write a readonly database")

    answer(refuse)
    with pytest.raises(CatalogError, match=rf"failed {load_commit.LOST_ANSWERS} times.*read-only.*permissions") as caught:
        home.load(log, reparse=reparse)
    assert "\n" not in str(caught.value)
    assert asked == load_commit.LOST_ANSWERS
    assert rows(home) == before
    answer(lambda real, arguments: real(*arguments))
    home.load(log)
    check(home, OTHER, LOG)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[int]:
    try:
        with running_postgresql() as port:
            yield port
    except PostgresqlMissingError as error:
        pytest.skip(str(error))


def test_a_connection_that_breaks_before_postgresql_can_answer(tmp_path: Path, postgresql: int) -> None:
    with Proxy(postgresql) as proxy:
        address = f"postgresql+psycopg2://lakehouse@127.0.0.1:{proxy.port}/lakehouse"
        home = Home(tmp_path, LAKEHOUSE_CATALOG_TYPE="postgresql", LAKEHOUSE_CATALOG_URI=address)
        home.load(home.write("other.log", OTHER))

        class Arm(SilentObserver):
            def step(self, name: str) -> None:
                if name == "commit prepared":
                    proxy.arm()

        log = home.write("a.log", LOG)
        for end in (100, 200, len(LOG)):
            log.write_bytes(LOG[: LOG.rindex(b"\n", 0, end) + 1])
            home.load(log, observer=Arm())
        assert proxy.swallowed == 3
        assert home.snapshots() == 4
        check(home, OTHER, LOG)
