"""Clean-up, and what it must know when the ledger has forgotten loads."""

import json
import os
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lakehouse import ledger, load_commit
from lakehouse.errors import CommitConflictError, StorageError
from lakehouse.intents import Intent, Intents
from lakehouse.ledger import ledger_root
from lakehouse.maintain import clean_up
from lakehouse.storage import Store
from tests.support.home import Home
from tests.support.state import count, left_over
from tests.support.stops import PauseAt, Paused
from tests.support.tiny import lines

pytestmark = pytest.mark.embedded
NO_TIME = timedelta(0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_rival_that_withdraws_the_only_other_intent_leaves_the_folder(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.load(home.write("a.log", lines(1)))
    intents = Intents(Store(home.settings), ledger_root(home.table().location()))
    intents.declare("rival", "data")
    named = secrets.token_hex

    def withdrawn_in_between(size: int) -> str:
        """Called for the name of a temporary file: after its folder was made, before it is opened."""
        intents.withdraw("rival")
        return named(size)

    monkeypatch.setattr(secrets, "token_hex", withdrawn_in_between)
    intents.declare("own", "data")
    assert [intent.load_id for intent in intents.all()] == ["own"]


def test_an_intent_whose_commit_the_ledger_has_forgotten(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The load was killed after its commit; many loads later its files still carry the table and must stay."""
    monkeypatch.setattr(ledger, "LOADS_KEPT", 3)
    home.load(home.write("a.log", lines(10)), home.write("b.log", lines(10, text="b")))
    second = next(record.id for record in home.ledger().inputs.values() if record.location.endswith("b.log"))
    load_ids = [*home.unload(second).load_ids]
    load_ids += home.load(home.write("c.log", b"no record\n" + lines(3, text="c"))).load_ids
    for index in range(5):
        home.load(home.write(f"{index}.log", lines(2, text=f"{index}-")))
    intents = Intents(Store(home.settings), ledger_root(home.table().location()))
    for load_id in load_ids:
        intents.declare(load_id, f"{home.table().location()}/data/{load_id}")
        assert home.ledger().load_by_id(load_id) is None
    clean_up(home.settings, home.dataset, NO_TIME)
    assert count(home) == 10 + 3 + 10
    assert left_over(home) == []


def test_a_load_that_was_given_up_and_whose_fence_the_ledger_has_forgotten(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "LOADS_KEPT", 3)
    monkeypatch.setattr(Intents, "stands", lambda self, load_id: True)  # the clean-up died before its last step
    home.load(home.write("first.log", lines(3, text="first")))
    log = home.write("a.log", lines(10))
    with Paused(PauseAt("commit prepared"), lambda observer: home.load(log, observer=observer)) as held:
        clean_up(home.settings, home.dataset, NO_TIME)
        for index in range(5):
            home.load(home.write(f"{index}.log", lines(9, start=index, text=f"{index}-")))
    assert held.error is None, "it had to decide again, and did"
    assert count(home) == 3 + 10 + 5 * 9


def test_a_long_load_that_still_writes_is_not_given_up(home: Home) -> None:
    home.load(home.write("first.log", lines(3, text="first")))
    store = Store(home.settings)
    intents = Intents(store, ledger_root(home.table().location()))
    begun = (datetime.now(UTC) - timedelta(days=3)).isoformat(timespec="seconds")
    for load_id, written in (("20260101T000000-aaaaaaaaaaaa", True), ("20260101T000000-bbbbbbbbbbbb", False)):
        folder = f"{home.table().location()}/data/{load_id}"
        intent = Intent(load_id, begun, "elsewhere", 1, folder)
        store.write(f"{ledger_root(home.table().location())}/intents/{load_id}.json", json.dumps(vars(intent)).encode())
        if written:
            store.write(f"{folder}/00000.parquet", b"begun")
            manifest = f"{home.table().location()}/metadata/{load_id}-a0.avro"
            store.write(manifest, b"of its first files")
            os.utime(manifest, (0, 0))
    assert clean_up(home.settings, home.dataset, timedelta(hours=24)).loads == ("20260101T000000-bbbbbbbbbbbb",)
    assert [intent.load_id for intent in intents.all()] == ["20260101T000000-aaaaaaaaaaaa"]
    assert store.exists(manifest), "it will be needed when that load commits"


def test_expired_snapshots_and_what_only_they_reached_go_and_nothing_else(home: Home) -> None:
    for index in range(26):
        home.load(home.write("a.log", lines(3 + index)), reparse=index % 5 == 4)
    assert home.snapshots() == 20
    cleaned = clean_up(home.settings, home.dataset, NO_TIME)
    assert cleaned.snapshots >= 6
    assert left_over(home) == []
    assert count(home) == 28
    # The commit of a clean-up expires a snapshot and supersedes files in each of two full tables: the data's and the reports'.
    again = clean_up(home.settings, home.dataset, NO_TIME)
    assert (again.loads, again.snapshots) == ((), 2)
    assert again.files <= 10
    assert count(home) == 28


def test_a_load_held_while_its_snapshot_expires_and_its_files_go(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = 5
    monkeypatch.setattr(load_commit, "SNAPSHOTS_KEPT", kept)
    home.load(home.write("a.log", lines(5)))
    first = next(iter(home.ledger().inputs))
    for step in ("looked", "staged", "commit prepared"):
        more = home.write(f"{step}.log", lines(4, text=step))
        with Paused(PauseAt(step), lambda observer, more=more: home.load(more, observer=observer)) as held:  # type: ignore[misc]
            home.load(home.folder / "a.log", reparse=True)
            for index in range(kept + 1):
                home.load(home.write("growing.log", lines(index + 1, text=f"{step}-g")))
            assert home.snapshots() == kept
            # A grace that spares no snapshot, but no load either: those are given up only when they stood still.
            clean_up(home.settings, home.dataset, NO_TIME)
        assert held.error is None or isinstance(held.error, (CommitConflictError, StorageError)), held.error
        home.load(more)
        assert count(home) >= 5
    assert first not in home.ledger().inputs
    assert count(home) == 5 + 3 * 4 + 3 * (kept + 1)
