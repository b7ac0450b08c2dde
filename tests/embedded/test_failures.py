"""A disk that is full, Ctrl-C at any moment, rollups that fail: one sentence, nothing half done."""

import os
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lakehouse import derived, load
from lakehouse.errors import InputError, LakehouseError, QueryError, StorageError
from lakehouse.inputs import InputFile
from lakehouse.maintain import clean_up
from lakehouse.sqlite_catalog import SqliteCatalog
from lakehouse.storage import Store
from tests.support import processes
from tests.support.home import Home
from tests.support.state import left_over, referenced, rows
from tests.support.stops import COMMITTED, PATIENCE, STEPS, RaiseAt
from tests.support.tiny import lines

pytestmark = pytest.mark.embedded
LOG, OTHER = lines(200), lines(5, text="other")
BEFORE = Counter(("s", f"other{index}") for index in range(5))
AFTER = BEFORE + Counter(("s", f"x{index}") for index in range(200))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.load(home.write("other.log", OTHER))
    return home


def check_recovery(home: Home) -> None:
    home.load(home.folder / "a.log")
    assert rows(home) == AFTER
    clean_up(home.settings, home.dataset, timedelta(0))
    assert left_over(home) == []
    assert rows(home) == AFTER


@pytest.mark.parametrize("limit", [10, 1000, 3000, 4500, 6000, 9000, 20_000])
def test_a_disk_that_is_full(home: Home, limit: int) -> None:
    log = home.write("a.log", LOG)
    ours, theirs = processes.pipe()
    process = processes.start(processes.load_with_small_files, home.folder, str(log), limit, theirs)
    assert ours.poll(PATIENCE)
    said = ours.recv()
    assert processes.wait(process) == 0
    if said == "loaded":
        assert limit > 4500
        assert rows(home) == AFTER
    else:
        assert "\n" not in said
        assert "File too large" in said or "disk I/O error" in said or "full" in said
        assert rows(home) == BEFORE
    check_recovery(home)


@pytest.mark.parametrize("step", STEPS)
def test_control_c_at_a_step(home: Home, step: str) -> None:
    log = home.write("a.log", LOG)
    with pytest.raises(KeyboardInterrupt):
        home.load(log, observer=RaiseAt(step, KeyboardInterrupt))
    assert rows(home) == (BEFORE if STEPS.index(step) < COMMITTED else AFTER)
    check_recovery(home)


@pytest.mark.parametrize("committed", [False, True])
def test_control_c_while_the_catalog_is_asked(home: Home, committed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    log = home.write("a.log", LOG)
    real = SqliteCatalog.commit_table

    def interrupted(*arguments: Any) -> Any:
        if committed:
            real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(SqliteCatalog, "commit_table", interrupted)
        home.load(log)
    assert rows(home) == (AFTER if committed else BEFORE)
    check_recovery(home)


def test_control_c_while_an_input_is_read(home: Home) -> None:
    class Interrupted(RaiseAt):
        def read(self, found: InputFile, size: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        home.load(home.write("a.log", LOG), observer=Interrupted("never"))
    assert rows(home) == BEFORE
    assert left_over(home) == []
    check_recovery(home)


def test_rollups_that_fail_do_not_hide_why_a_load_failed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def fails(*_: Any, **__: Any) -> Any:
        nonlocal asked
        asked += 1
        raise QueryError("no rollups today")

    monkeypatch.setattr(load, "update_rollups", fails)
    good, bad = home.write("a.log", LOG), home.write("in/bad.log", b"\x1f\x8bnot gzip")
    with pytest.raises(InputError, match=r"bad\.log"):
        home.load(bad)
    assert asked == 0, "nothing was committed"
    with pytest.raises(InputError, match=r"bad\.log"):
        home.load(good, bad, commit_every=1)
    assert asked == 1
    assert rows(home) == AFTER
    with pytest.raises(LakehouseError, match="the rows are loaded, but their rollups are not up to date"):
        home.load(good)


def deletes_nothing(*_: Any, **__: Any) -> int:
    raise OSError("no deleting today")


def test_files_that_stay_do_not_hide_why_a_load_failed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    log = home.write("a.log", LOG)
    with monkeypatch.context() as patch, pytest.raises(InputError, match="staged"):
        patch.setattr(Store, "delete", deletes_nothing)
        home.load(log, observer=RaiseAt("staged", InputError))
    assert rows(home) == BEFORE
    assert left_over(home)
    check_recovery(home)


def test_files_that_stay_do_not_hide_why_reports_failed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    log = home.write("a.log", LOG)
    with monkeypatch.context() as patch, pytest.raises(StorageError, match="not up to date yet: no committing today"):

        def refuses(*_: Any, **__: Any) -> None:
            patch.setattr(Store, "delete", deletes_nothing)
            raise StorageError("no committing today")

        patch.setattr(derived, "commit_with_ledger", refuses)
        home.load(log)
    assert rows(home) == AFTER
    check_recovery(home)


def test_a_power_cut_after_the_commit_loses_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the new version refers to was flushed to the disk before the catalog was changed."""
    flushed: set[str] = set()
    flushed_then: set[str] = set()
    fsync, change = os.fsync, SqliteCatalog._change

    def note(descriptor: int) -> None:
        fsync(descriptor)
        flushed.add(os.readlink(f"/proc/self/fd/{descriptor}"))

    def note_all(catalog: SqliteCatalog, *statement: str) -> int:
        flushed_then.update(flushed)
        return change(catalog, *statement)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(SqliteCatalog, "_change", note_all)
    earlier = set(referenced(home))
    home.load(home.write("a.log", lines(20) + b"no record\n"))
    new = set(referenced(home)) - earlier
    assert len(new) == 6, "metadata, manifest list, manifest, data, ledger, rejects"
    assert {os.path.realpath(path) for path in new} <= flushed_then
