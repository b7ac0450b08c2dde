"""Cases that once lost or doubled rows, or could: copies within one command, files that change while they are read, ..."""

import gzip
import os
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard

from lakehouse import compare, intake, parse
from lakehouse.datasets import get_dataset
from lakehouse.errors import CatalogError, InputError, LakehouseError, UsageError
from lakehouse.inputs import InputFile, OpenInput
from lakehouse.ledger import ledger_root
from lakehouse.maintain import clean_up
from lakehouse.observer import SilentObserver
from lakehouse.rejects import read_rejects
from lakehouse.storage import Store
from tests.support.home import Home
from tests.support.state import count, left_over, rows
from tests.support.tiny import DAY, TINY, lines

pytestmark = pytest.mark.embedded
NO_TIME = timedelta(0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "BLOCK_BYTES", 256)
    monkeypatch.setattr(intake, "HEAD_BYTES", 64)
    monkeypatch.setattr(compare, "HEAD_BYTES", 64)
    monkeypatch.setattr(OpenInput.blocks, "__defaults__", (256,))
    monkeypatch.setattr("lakehouse.inputs._READ_BYTES", 64)


def statuses(report: Any) -> list[str]:
    return [outcome.status for outcome in report.outcomes]


# Pending lines. -------------------------------------------------------------------------------------------------------


def test_a_pending_line_is_remembered_when_nothing_else_is_new(home: Home) -> None:
    log = home.write("a.log", b"1 a\n2 b")
    home.load(log)
    os.utime(log)  # read again, and found to be the same
    report = home.load(log)
    assert statuses(report) == ["unchanged"]
    assert report.outcomes[0].pending == 3
    assert statuses(home.load(log, final=True)) == ["grown"]
    assert home.texts() == ["a", "b"]


def test_an_open_end_that_goes_on_but_is_not_complete_yet(home: Home) -> None:
    log = home.write("a.log", b"1 a\n2 b")
    home.load(log, final=True)
    log.write_bytes(b"1 a\n2 bcd")
    home.load(log)
    assert home.texts() == ["a", "b"]
    home.load(log, final=True)
    assert home.texts() == ["a", "bcd"]


def test_a_lone_carriage_return_behind_an_open_end_belongs_to_its_line(home: Home) -> None:
    log = home.write("a.log", b"1 a\n2 b")
    home.load(log, final=True)
    log.write_bytes(b"1 a\n2 b\rc\n")
    home.load(log)
    assert home.texts() == ["a", "b\rc"]


# Lines that are too long. ---------------------------------------------------------------------------------------------

ENDLESS = b"\0" * 9000
"""As a host that crashed or a `copytruncate` leaves them: no newline in sight."""


@pytest.fixture
def short_lines(monkeypatch: pytest.MonkeyPatch, small_blocks: None) -> None:
    monkeypatch.setattr("lakehouse.whole_lines.MAX_LINE_BYTES", 500)


def rejected(home: Home) -> list[tuple[Any, ...]]:
    table = home.table()
    return read_rejects(home.ledger(), table.io).select("_line", "reason", "text").rows()


@pytest.mark.usefixtures("short_lines")
@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
def test_a_line_that_is_too_long_is_a_reject_of_its_own(home: Home, compress: Any) -> None:
    content = lines(100) + ENDLESS + b"\n" + lines(20, text="y")
    log = home.write("a.log", compress(content))
    assert home.load(log).outcomes[0].lines == 121
    assert count(home) == 120
    assert rejected(home) == [(101, "line too long", "\0" * 2000)]
    assert home.query("SELECT min(_line), max(_line) FROM t WHERE text LIKE 'y%'") == [(102, 121)]
    assert statuses(home.load(home.write("copy.log", content))) == ["unchanged"]
    assert statuses(home.load(home.write("copy.log", content + lines(5, text="z")))) == ["grown"]
    assert count(home) == 125


@pytest.mark.usefixtures("short_lines")
def test_an_endless_last_line_waits_for_its_newline(home: Home) -> None:
    log = home.write("a.log", lines(100) + ENDLESS)
    assert home.load(log).outcomes[0].pending == len(ENDLESS)
    assert [record.length for record in home.ledger().inputs.values()] == [len(lines(100))]
    for endless, status in ((2 * ENDLESS, "unchanged"), (3 * ENDLESS + b"\n4 d\n" + ENDLESS, "grown")):
        log.write_bytes(lines(100) + endless)
        report = home.load(log)
        assert statuses(report) == [status]
        assert report.outcomes[0].pending == len(endless.rpartition(b"\n")[2])
    assert count(home) == 101
    assert rejected(home) == [(101, "line too long", "\0" * 2000)]


@pytest.mark.usefixtures("short_lines")
@pytest.mark.parametrize("more", [b"\n", b"\r\n", b"x\n"])
def test_an_endless_last_line_that_was_taken_for_final(home: Home, more: bytes) -> None:
    log = home.write("a.log", lines(100) + ENDLESS)
    home.load(log, final=True)
    assert rejected(home) == [(101, "line too long", "\0" * 2000)]
    log.write_bytes(lines(100) + ENDLESS + more + lines(3, text="y"))
    assert statuses(home.load(log)) == ["replaced" if b"x" in more else "grown"]
    assert count(home) == 103
    whole = (101, "not EPOCH TEXT", "\0x") if b"x" in more else (101, "line too long", "\0" * 2000)
    assert rejected(home) == [whole]
    assert home.query("SELECT min(_line) FROM t WHERE text LIKE 'y%'") == [(102,)]


@pytest.mark.usefixtures("short_lines")
def test_an_old_copy_with_a_line_that_is_too_long(home: Home) -> None:
    content = lines(100) + ENDLESS + b"\n" + lines(3000, text="y")
    log = home.write("a.log", content)
    home.load(log)
    log.unlink()
    assert statuses(home.load(home.write("old.log", content[: content.index(b"y999") + 5]))) == ["old copy"]
    assert count(home) == 3100


@pytest.mark.usefixtures("short_lines")
def test_an_open_record_ends_before_a_line_that_is_too_long(tmp_path: Path) -> None:
    home = Home(tmp_path, get_dataset("api_logs", Path()))
    record = b"2026-11-21 10:00:00,000 - INFO - {'Query': {'text_description': 'a'},%s 'Response': {'IC': 0.9}}\n"
    half = record[:60] + b"\n"
    log = home.write("api.log", record % b"" + half + ENDLESS)
    assert home.load(log).outcomes[0].pending == len(half + ENDLESS)
    log.write_bytes(record % b"" + half + ENDLESS + b"\n" + record % b"\n")
    home.load(log)
    assert home.query("SELECT _line FROM t ORDER BY 1") == [(1,), (4,)]
    assert [(line, reason) for line, reason, _ in rejected(home)] == [(2, "half-written"), (3, "line too long")]
    (record_now,) = home.ledger().inputs.values()
    assert (record_now.lines, record_now.continuation_lines, record_now.length) == (5, 1, log.stat().st_size)


@pytest.mark.usefixtures("short_lines")
@pytest.mark.parametrize("final", [False, True])
def test_records_beside_endless_nuls_are_kept(tmp_path: Path, final: bool) -> None:
    home = Home(tmp_path, get_dataset("api_logs", Path()))
    record = b"2026-11-21 10:00:00,000 - INFO - {'Query': {'text_description': 'a'},%s 'Response': {'IC': 0.9}}"
    begun = record % b"" + b"\n" + record % b"\n" + ENDLESS + record[:20] + ENDLESS + record % b""
    log = home.write("api.log", begun)
    home.load(log, final=final)
    assert home.query("SELECT _line FROM t ORDER BY 1") == [(1,), (2,), (3,)][: 3 if final else 1]
    log.write_bytes(begun + b"\n" + record % b"" + b"\n")
    assert statuses(home.load(log)) == ["grown"]
    assert home.query("SELECT _line FROM t ORDER BY 1") == [(1,), (2,), (3,), (4,)]
    assert rejected(home) == [(3, "outside a record", record[:20].decode())]
    assert [record.length for record in home.ledger().inputs.values()] == [log.stat().st_size]


@pytest.mark.usefixtures("short_lines")
def test_a_line_that_is_too_long_without_its_nuls_is_a_reject(home: Home) -> None:
    half = b"x" * 250 + b"\0"
    home.load(home.write("a.log", lines(100) + b"7 " + half + b"\n" + b"7 " + 2 * half + b"\n" + b"8 y" + ENDLESS + b"z\n"))
    assert [line for line, reason, _ in rejected(home) if reason == "line too long"] == [102]
    assert home.query("SELECT _line, text FROM t WHERE _line > 100 ORDER BY 1")[1:] == [(103, "y\0z")]


@pytest.mark.usefixtures("short_lines")
def test_parts_of_an_endless_line_are_progress(home: Home) -> None:
    class Counting(SilentObserver):
        reports = 0

        def read(self, found: InputFile, size: int) -> None:
            self.reports += 1

    home.load(home.write("a.log", lines(1) + ENDLESS), observer=(counting := Counting()))
    assert counting.reports >= len(ENDLESS) // 256


@pytest.mark.parametrize("size", [10, 70_000])
@pytest.mark.parametrize(
    ("dataset", "line"),
    [
        ("access_logs", b'192.0.2.7 - - [21/Nov/2026:06:25:01 +0000] "GET /%d HTTP/1.1" 200 5 "-" "curl/8.0"\n'),
        ("api_logs", b'{"timestamp":"2026-11-22T06:48:0%dZ","Query":{"text":"x"},"Response":{"code":"1"}}\n'),
    ],
)
def test_a_log_that_begins_with_nuls(tmp_path: Path, dataset: str, line: bytes, size: int) -> None:
    home = Home(tmp_path, get_dataset(dataset, Path()))
    content = bytes(size) + line % 1 + line % 2
    log = home.write("a.log", content)
    home.load(log, max_rejects=1.0)
    assert home.query("SELECT count(*) FROM t") == [(2,)]
    log.write_bytes(content + line % 3)
    assert statuses(home.load(log, max_rejects=1.0)) == ["grown"]
    log.unlink()
    assert statuses(home.load(home.write("old.log", content), max_rejects=1.0)) == ["old copy"]


# Copies within one command. -------------------------------------------------------------------------------------------

FULL = lines(60)


@pytest.mark.parametrize("loaded_before", [b"", FULL[:200], FULL])
@pytest.mark.parametrize("options", [{}, {"reparse": True}, {"replace_day": date(1970, 1, 1)}], ids=["", "reparse", "day"])
@pytest.mark.parametrize(
    "parts",
    [(FULL, FULL), (FULL, FULL[:300]), (FULL[:300], FULL), (FULL[:100], FULL, FULL[:200])],
    ids=["same", "shorter", "longer", "three"],
)
def test_copies_in_one_command(home: Home, loaded_before: bytes, options: dict[str, Any], parts: tuple[bytes, ...]) -> None:
    if loaded_before:
        home.load(home.write("before.log", loaded_before))
    paths = [home.write(f"in/{index}.log", part) for index, part in enumerate(parts)]
    report = home.load(*paths, **options)
    assert count(home) == 60
    assert [outcome.found.location for outcome in report.outcomes] == [str(path) for path in paths]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_copy_compressed_in_the_middle_of_a_line_beside_the_log(home: Home, reverse: bool) -> None:
    copy = home.write("in/access.log.gz", gzip.compress(b"1 a\n2 b\n3 un"))
    log = home.write("in/access.log", b"1 a\n2 b\n3 unfinished\n4 d\n")
    report = home.load(*((log, copy) if reverse else (copy, log)))
    assert home.texts() == ["a", "b", "d", "unfinished"]
    assert [outcome.found.location for outcome in report.outcomes] == [str(log), str(copy)][:: 1 if reverse else -1]
    assert home.snapshots() == 1


def test_parsing_an_old_copy_again_keeps_the_newer_lines(home: Home) -> None:
    home.load(home.write("access.log", FULL))
    assert statuses(home.load(home.write("old.log", FULL[:300]), reparse=True)) == ["old copy"]
    assert count(home) == 60


def test_commit_every_does_not_change_what_an_input_is(home: Home) -> None:
    for server in ("web1", "web2"):
        home.write(f"logs/{server}/access.log", lines(10))
    home.load(home.folder / "logs", commit_every=1)
    assert rows(home).total() == 20


def test_a_replacement_is_one_commit(home: Home) -> None:
    paths = [home.write(name, lines(5, text=name)) for name in "ab"]
    home.load(*paths)
    with pytest.raises(UsageError, match="--commit-every"):
        home.load(*paths, replace_day=date(1970, 1, 1), commit_every=1)
    assert count(home) == 10


def test_what_was_committed_before_a_failure_stays(home: Home) -> None:
    good, bad = home.write("in/1.log", lines(5)), home.write("in/2.log", b"nothing to read\n" * 200)
    with pytest.raises(LakehouseError, match=r"2\.log"):
        home.load(good, bad, commit_every=1)
    assert count(home) == 5
    bad.write_bytes(lines(5, text="y"))
    assert statuses(home.load(good, bad, commit_every=1)) == ["unchanged", "loaded"]
    assert count(home) == 10


def test_replacing_an_input_that_is_not_there_any_more_is_refused(home: Home) -> None:
    home.load(home.write("other.log", lines(3, text="o")))
    with pytest.raises(UsageError, match="0123456789abcdef is not loaded any more"):
        home.load(home.write("fixed.log", lines(3)), replace=("0123456789abcdef",))
    assert count(home) == 3
    assert left_over(home) == []


# Inputs that change. --------------------------------------------------------------------------------------------------


class ChangeWhileRead(SilentObserver):
    """Changes a file after its first block was parsed, or between the pass that identifies and the one that loads."""

    def __init__(self, change: Any):
        self._change = change

    def read(self, found: InputFile, size: int) -> None:
        change, self._change = self._change, lambda: None
        change()


@pytest.mark.usefixtures("small_blocks")
def test_a_log_that_is_truncated_while_it_is_read(home: Home) -> None:
    content = lines(1000)
    log = home.write("access.log", content)
    with pytest.raises(InputError, match="changed while it was being read"):
        home.load(log, observer=ChangeWhileRead(lambda: os.truncate(log, 0)))
    assert home.snapshots() == 0
    log.write_bytes(content)
    home.load(log)
    assert count(home) == 1000


@pytest.mark.usefixtures("small_blocks")
def test_a_log_that_grows_while_it_is_read(home: Home) -> None:
    content = lines(1000)
    log = home.write("access.log", content[:4000])

    def grow() -> None:
        log.write_bytes(content)

    home.load(log, observer=ChangeWhileRead(grow))
    assert count(home) == content[:4000].count(b"\n")
    assert statuses(home.load(log)) == ["grown"]
    assert count(home) == 1000


@pytest.mark.usefixtures("small_blocks")
def test_a_log_that_is_rotated_between_the_two_passes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Identified as one input, then another file stands at its path."""
    known, fresh = lines(400, text="k"), lines(400, text="k")[:2000] + lines(300, text="n")
    home.load(home.write("known.log", known))
    log = home.write("access.log", fresh)
    original = intake.Intake._identify

    def rotate(self: Any, *arguments: Any) -> Any:
        result = original(self, *arguments)
        log.write_bytes(known + b"9 z\n" * 1000)
        return result

    monkeypatch.setattr(intake.Intake, "_identify", rotate)
    with pytest.raises(InputError, match="changed while it was being read"):
        home.load(log)
    monkeypatch.undo()
    assert count(home) == 400


def test_a_file_replaced_with_the_same_size_and_time(home: Home) -> None:
    log = home.write("a.log", b"1 a\n2 b\n")
    before = log.stat()
    home.load(log)
    log.write_bytes(b"1 c\n2 d\n")
    os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))
    home.load(log)
    assert home.texts() == ["a", "b", "c", "d"]


def test_unloaded_and_loaded_again_although_nothing_changed(home: Home) -> None:
    log = home.write("a.log", lines(10))
    home.load(log)
    home.unload(*home.ledger().inputs)
    assert statuses(home.load(log)) == ["loaded"]
    assert count(home) == 10


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_compressed_log_that_grows(home: Home, compress: Any) -> None:
    log = home.write("a.log.z", compress(FULL[:300]))
    home.load(log)
    with log.open("ab") as stream:
        stream.write(compress(FULL[300:]))
    home.load(log)
    assert count(home) == 60
    assert home.texts() == sorted(f"x{index}" for index in range(60))


# Removals. ------------------------------------------------------------------------------------------------------------


def test_an_old_copy_of_a_log_of_which_a_day_was_replaced(home: Home) -> None:
    log = home.write("a.log", FULL)
    home.load(log)
    home.load(home.write("fixed.log", lines(2, start=DAY, text="f")), replace_day=date(1970, 1, 2))
    log.unlink()
    assert statuses(home.load(home.write("old.log", FULL[:300]))) == ["old copy"]
    assert count(home) == 60 - 24 + 2


class OwnSite:
    """The tiny dataset, when its lines name their site."""

    def __init__(self) -> None:
        from lakehouse.datasets.base import Column

        self.columns = (*TINY.columns, Column("site", "string", "Where."))

    def __getattr__(self, name: str) -> Any:
        return getattr(TINY, name)

    def open_parser(self, *arguments: Any) -> Any:
        import dataclasses

        import polars as pl

        parser = TINY.open_parser(*arguments)
        parse = parser.parse

        def with_site(*block: Any) -> Any:
            parsed = parse(*block)
            site = pl.when(pl.col("_line") % 2 == 0).then(pl.lit("even")).otherwise(pl.lit("s")).alias("site")
            return dataclasses.replace(parsed, rows=parsed.rows.with_columns(site))

        parser.parse = with_site  # type: ignore[assignment]
        return parser


def test_a_day_of_one_site_replaced_in_an_input_of_several(tmp_path: Path) -> None:
    home = Home(tmp_path, OwnSite())
    log = home.write("a.log", lines(10))
    home.load(log)
    (log_id,) = home.ledger().inputs
    home.load(home.write("fixed.log", lines(1, text="f")), replace_day=date(1970, 1, 1))
    assert rows(home) == Counter({**{("even", f"x{index}"): 1 for index in range(1, 10, 2)}, ("s", "f0"): 1})
    home.unload(log_id)
    assert rows(home) == Counter({("s", "f0"): 1})


def test_rows_that_another_engine_deleted_do_not_come_back(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Position deletes lie beside the data files; rewriting a file without them would bring its rows back."""
    from pyiceberg.manifest import ManifestContent, ManifestFile

    home.load(home.write("a.log", lines(10)), home.write("b.log", lines(10, text="b")))
    first = next(iter(home.ledger().inputs))
    monkeypatch.setattr(ManifestFile, "content", property(lambda self: ManifestContent.DELETES))
    with pytest.raises(CatalogError, match=r"row-level deletes.*optimize"):
        home.unload(first)
    monkeypatch.undo()
    assert count(home) == 20


# Tables that must not be written. -------------------------------------------------------------------------------------


def test_a_newer_layout_is_not_written(home: Home) -> None:
    home.load(home.write("a.log", lines(3)))
    with home.table().transaction() as transaction:
        transaction.set_properties({"lakehouse.version": "2"})
    for action in (
        lambda: home.load(home.write("b.log", lines(3, text="b"))),
        lambda: clean_up(home.settings, home.dataset, NO_TIME),
    ):
        with pytest.raises(CatalogError, match=r"table tiny: its layout is version 2.*upgrade"):
            action()


def test_a_catalog_that_may_only_be_read(home: Home) -> None:
    home.load(home.write("a.log", lines(3)))
    address = f"sqlite:///file:{home.folder}/home/catalog.db?mode=ro&uri=true"
    reader = Home(home.folder, LAKEHOUSE_CATALOG_URI=address)
    with pytest.raises(CatalogError, match=r"read-only.*permissions") as caught:
        reader.load(home.write("b.log", lines(3, text="b")))
    assert "\n" not in str(caught.value)
    assert count(home) == 3
    clean_up(home.settings, home.dataset, NO_TIME)
    assert left_over(home) == []


def test_a_seen_file_that_is_damaged_is_only_a_hint(home: Home) -> None:
    log = home.write("a.log", lines(3))
    home.load(log)
    root = ledger_root(home.table().location())
    store = Store(home.settings)
    (seen,) = store.files(f"{root}/seen")
    store.write(seen.path, b"no parquet")
    assert statuses(home.load(log)) == ["unchanged"]
    assert store.read(seen.path) != b"no parquet"
