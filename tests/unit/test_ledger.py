"""The ledger's files against a plain dictionary: merging, deletions, rewriting, and what it forgets."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.io.pyarrow import PyArrowFileIO

from lakehouse import ledger as module
from lakehouse.errors import CatalogError
from lakehouse.ledger import (
    POINTER,
    VERSION,
    Beginning,
    Changes,
    ExpiredRecord,
    InputRecord,
    Ledger,
    LoadRecord,
    ledger_root,
    read_ledger,
)

IO = PyArrowFileIO()
RECORD = InputRecord(
    id="", site="s", source="", location="/a", length=1, digest="d", checkpoints=("c",), lines=3, rows=2, known_rejects=0,
    unknown_rejects=1, days=("2026-11-21",), parser_state={"columns": ["a", "b"]}, load_id="l",
)  # fmt: skip


def load(number: int, **values: Any) -> LoadRecord:
    return LoadRecord(f"load{number:05d}", "load", "2026-11-22T00:00:00+00:00", **values)


def read(location: str, pointer: str | None, known: Ledger | None = None) -> Ledger:
    return read_ledger(IO, location, {POINTER: pointer} if pointer else {}, known)


ids = st.sets(st.sampled_from("abcdefgh"), max_size=3)
commits = st.lists(st.tuples(ids, ids, ids, ids, st.booleans()), max_size=30)


@settings(max_examples=40, deadline=None)
@given(commits, st.integers(0, 12), st.integers(1, 3), st.integers(1, 6))
def test_every_version_says_what_a_dictionary_would(
    history: list[Any], small_file: int, payload_group: int, loads_kept: int
) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(module, "SMALL_FILE", small_file)
        patch.setattr(module, "PAYLOAD_GROUP", payload_group)
        patch.setattr(module, "LOADS_KEPT", loads_kept)
        location, pointer = f"{folder}/t", None
        inputs: dict[str, InputRecord] = {}
        expired: dict[str, ExpiredRecord] = {}
        loads: list[str] = []
        known = read(location, None)
        versions: list[tuple[str, set[str]]] = []
        for number, (put, drop, expire, forget, keep_reader) in enumerate(history, 1):
            known = read(location, pointer, known if keep_reader else None)
            drop = drop - put
            changes = Changes(
                load(number),
                tuple(replace(RECORD, id=key, length=number) for key in sorted(put)),
                tuple(sorted(drop)),
                tuple(ExpiredRecord(key, f"at {number}") for key in sorted(expire)),
                tuple(sorted(forget - expire)),
            )
            pointer = known.write(changes, f"token{number}")
            inputs.update({record.id: record for record in changes.put_inputs})
            expired.update({record.id: record for record in changes.expired})
            inputs = {key: record for key, record in inputs.items() if key not in drop}
            expired = {key: record for key, record in expired.items() if key not in forget - expire}
            loads = [*loads, changes.load.id][-loads_kept:]
            versions.append((pointer, set(inputs)))
            for ledger in (read(location, pointer), read(location, pointer, known)):
                assert ledger.inputs == inputs
                assert ledger.expired == expired
                assert [*ledger.loads] == loads
                assert ledger.sequence == number
                assert len(ledger.file_paths()) <= 8
                found = map(Beginning._make, ledger.inputs.index.select(Beginning._fields).rows())
                assert set(found) == {record.beginning for record in inputs.values()}
                assert ledger.load_by_id(changes.load.id) == changes.load
                assert len(loads) < loads_kept or ledger.oldest_load_sequence == number - loads_kept + 1
        for old, known_then in versions:
            assert set(read(location, old).inputs) == known_then, "a version that others read stays as it was"


def test_few_records_are_written_and_few_files_read_per_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALL_FILE", 16)
    ledger = read(f"{tmp_path}/t", None)
    written, most_files = [], 0
    for number in range(1, 601):
        pointer = ledger.write(Changes(load(number), (replace(RECORD, id=f"{number}"),)), f"t{number}")
        ledger = read(f"{tmp_path}/t", pointer, ledger)
        written.append(ledger.file(pointer).count)  # type: ignore[union-attr]
        most_files = max(most_files, len(ledger.file_paths()))
    assert sum(written) < 1200 * 14, "each of 1200 records is rewritten 8 times in a small file, then at every doubling"
    assert sorted(written)[-len(written) // 10] <= 64, "nearly all commits write little"
    assert most_files <= 8
    assert len(ledger.inputs) == 600


def test_only_records_that_are_asked_for_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []

    def watched(values: dict[str, Any]) -> dict[str, Any]:
        decoded.append(values["id"])
        return values

    monkeypatch.setattr(module, "_tuples", watched)
    many = tuple(replace(RECORD, id=f"{index}", checkpoints=()) for index in range(300))
    pointer = read(f"{tmp_path}/t", None).write(Changes(load(1), many), "t")
    ledger = read(f"{tmp_path}/t", pointer)
    assert len(ledger.inputs) == ledger.inputs.index.height == 300
    assert "7" in ledger.inputs
    assert ledger.load_by_id("none") is None
    assert ledger.days_changed_since(1) == set()
    assert decoded == []
    assert ledger.inputs["7"].id == ledger.inputs["7"].id == "7"
    assert decoded == ["7"]


def test_what_differs_between_two_versions(tmp_path: Path) -> None:
    first = read(f"{tmp_path}/t", None)
    pointer = first.write(Changes(load(1), tuple(replace(RECORD, id=key) for key in "abc")), "t1")
    before = read(f"{tmp_path}/t", pointer)
    grown = replace(RECORD, id="b", length=2, digest="e")
    after = read(f"{tmp_path}/t", before.write(Changes(load(2), (grown, replace(RECORD, id="d")), ("a",)), "t2"))
    assert {record.id: record.length for record in after.inputs.not_in(before.inputs)} == {"b": 2, "d": 1}
    assert {record.id: record.length for record in before.inputs.not_in(after.inputs)} == {"a": 1, "b": 1}
    assert after.inputs.not_in(after.inputs) == []


def test_a_version_can_be_read_after_its_files_are_gone(tmp_path: Path) -> None:
    pointer = read(f"{tmp_path}/t", None).write(Changes(load(1), (replace(RECORD, id="a"),)), "t1")
    ledger = read(f"{tmp_path}/t", pointer)
    Path(pointer).unlink()
    assert ledger.inputs["a"].lines == 3
    assert ledger.write(Changes(load(2)), "t2") != pointer


def test_a_deleted_input_does_not_come_back_from_an_older_file(tmp_path: Path) -> None:
    ledger = read(f"{tmp_path}/t", None)
    many = tuple(replace(RECORD, id=f"{index}") for index in range(2 * module.SMALL_FILE))
    pointer = ledger.write(Changes(load(1), many), "t1")
    for number in range(2, 40):
        ledger = read(f"{tmp_path}/t", pointer)
        pointer = ledger.write(Changes(load(number), drop_inputs=(f"{number}",)), f"t{number}")
    ledger = read(f"{tmp_path}/t", pointer)
    assert len(ledger.file_paths()) > 1
    assert set(ledger.inputs) == {record.id for record in many} - {f"{n}" for n in range(2, 40)}


def test_days_changed_since_a_sequence(tmp_path: Path) -> None:
    ledger, pointer = read(f"{tmp_path}/t", None), None
    for number, day in enumerate(("2026-11-20", "2026-11-21", "2026-11-22"), 1):
        pointer = ledger.write(Changes(load(number, days=(day,))), f"t{number}")
        ledger = read(f"{tmp_path}/t", pointer)
    assert {str(day) for day in ledger.days_changed_since(1)} == {"2026-11-21", "2026-11-22"}
    assert ledger.days_changed_since(3) == set()


@pytest.mark.parametrize("version", ["2", "17", "one"])
def test_a_newer_layout_is_refused(version: str) -> None:
    with pytest.raises(CatalogError, match=r"upgrade the lakehouse package"):
        read_ledger(IO, "/nowhere/t", {VERSION: version})


def test_a_newer_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAYOUT_VERSION", 2)
    pointer = read(f"{tmp_path}/t", None).write(Changes(load(1)), "t")
    monkeypatch.undo()
    with pytest.raises(CatalogError, match="upgrade"):
        read(f"{tmp_path}/t", pointer)


def test_the_ledger_lies_beside_the_table_and_not_in_it() -> None:
    assert ledger_root("s3://bucket/warehouse/lakehouse/logs/") == "s3://bucket/warehouse/lakehouse/_lakehouse/logs"
