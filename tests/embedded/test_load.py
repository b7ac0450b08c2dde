"""Loading: identity of inputs, growth, pending lines, replacement, partitions (DESIGN 1 to 3)."""

import bz2
import gzip
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import zstandard

from lakehouse.compare import RowComparer
from lakehouse.datasets import get_dataset
from lakehouse.errors import InputError, TooManyRejectsError, UsageError
from lakehouse.identity import identify
from lakehouse.inputs import InputFile
from lakehouse.observer import SilentObserver
from tests.support.home import Home
from tests.support.tiny import DAY, lines

pytestmark = pytest.mark.embedded


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def statuses(report: object) -> list[str]:
    return [outcome.status for outcome in report.outcomes]  # type: ignore[attr-defined]


def test_a_load_is_one_snapshot_with_every_row_once(home: Home) -> None:
    log = home.write("a.log", lines(48))
    report = home.load(log)
    assert statuses(report) == ["loaded"]
    assert home.snapshots() == 1
    assert home.query(
        "SELECT date, site, count(*), min(_line), max(_line), count(DISTINCT _input) FROM t GROUP BY ALL ORDER BY 1"
    ) == [
        (date(1970, 1, 1), "s", 24, 1, 24, 1),
        (date(1970, 1, 2), "s", 24, 25, 48, 1),
    ]


def test_the_same_bytes_again_under_other_names_and_compressions(home: Home) -> None:
    content = lines(100)
    home.load(home.write("access.log", content))
    for name, copy in {
        "access.log.1": content,
        "access.log.2.gz": gzip.compress(content),
        "access.log.3.zst": zstandard.compress(content),
        "access.log.4.bz2": bz2.compress(content),
        "two-members.gz": gzip.compress(content[:700]) + gzip.compress(content[700:]),
        "no-telling-name": gzip.compress(content),
    }.items():
        assert statuses(home.load(home.write(name, copy))) == ["unchanged"], name
    assert home.snapshots() == 1
    assert len(home.texts()) == 100


def test_short_inputs_with_a_long_common_header_are_not_compared_with_each_other(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compared(*_: object) -> None:
        raise AssertionError("another input's bytes or rows were looked at")

    monkeypatch.setattr(RowComparer, "__call__", compared)
    header = b"0 id;opened at;closed at;assigned to;priority;" + b"one of many columns;" * 20 + b"\n"
    for number in range(9, -1, -1):
        content = header + lines(number + 1, start=number * 60)
        assert statuses(home.load(home.write(f"{number}.csv", content), max_rejects=1)) == ["loaded"]
    assert len(home.texts()) == 10 + 55


@pytest.mark.no_cover  # the same lines over and over
def test_a_log_that_grows_by_a_few_lines_is_only_read_on(home: Home) -> None:
    content = lines(200)
    size = 0
    log = home.write("access.log", b"")
    assert statuses(home.load(log)) == ["empty"]
    while size < len(content):
        size = min(size + 111, len(content))
        log.write_bytes(content[:size])
        home.load(log)
        complete = content[:size].count(b"\n")
        assert home.query("SELECT count(*), max(_line) FROM t") == [(complete, complete or None)]
    assert len(home.ledger().inputs) == 1
    assert home.texts() == sorted(f"x{index}" for index in range(200))


def test_an_unfinished_last_line_waits_and_is_said_to(home: Home) -> None:
    log = home.write("access.log", b"1 a\n2 b\n3 unfin")
    report = home.load(log)
    assert report.outcomes[0].pending == len(b"3 unfin")
    assert home.texts() == ["a", "b"]
    log.write_bytes(b"1 a\n2 b\n3 unfinished\n")
    assert statuses(home.load(log)) == ["grown"]
    assert home.texts() == ["a", "b", "unfinished"]


def test_an_unfinished_last_line_counts_when_final_or_compressed(home: Home) -> None:
    home.load(home.write("a.log", b"1 a\n2 b"), final=True)
    home.load(home.write("b.log.gz", gzip.compress(b"1 c\n2 d")))
    assert home.texts() == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("grown", "texts"),
    [
        (b"1 a\n2 b\n3 c\n", ["a", "b", "c"]),
        (b"1 a\n2 bcd\n3 c\n", ["a", "bcd", "c"]),
        (b"1 a\n2 b\r\n3 c\n", ["a", "b", "c"]),
    ],
)
def test_a_final_last_line_that_goes_on_after_all(home: Home, grown: bytes, texts: list[str]) -> None:
    log = home.write("a.log", b"1 a\n2 b")
    home.load(log, final=True)
    log.write_bytes(grown)
    home.load(log)
    assert home.texts() == texts
    assert home.query("SELECT array_agg(_line ORDER BY _line) FROM t") == [([1, 2, 3],)]
    assert statuses(home.load(home.write("copy.log", grown))) == ["unchanged"]


def test_a_pending_line_is_taken_by_a_later_final_load(home: Home) -> None:
    log = home.write("a.log", b"1 a\n2 b")
    home.load(log)
    assert home.texts() == ["a"]
    assert statuses(home.load(log, final=True)) == ["grown"]
    assert home.texts() == ["a", "b"]
    assert statuses(home.load(log, final=True)) == ["unchanged"]


def test_a_grown_log_that_was_rotated_and_compressed(home: Home) -> None:
    content = lines(1000)
    home.load(home.write("access.log", content[:5000]))
    rotated = home.write("old/access.log.1.gz", gzip.compress(content))
    assert statuses(home.load(rotated)) == ["grown"]
    assert len(home.texts()) == 1000


@pytest.mark.parametrize("original_kept", [True, False])
@pytest.mark.parametrize("length", [20, 300, 5000, 9_000])
def test_an_old_copy_is_nothing_to_do(home: Home, length: int, original_kept: bool) -> None:
    content = lines(1000) + b"not a record\n" + lines(10, text="z")
    log = home.write("access.log", content)
    home.load(log)
    if not original_kept:
        log.unlink()
    copy = home.write("backup.log", content[:length])
    assert statuses(home.load(copy)) == ["old copy"]
    assert statuses(home.load(copy)) == ["unchanged"]
    assert len(home.texts()) == 1010


@pytest.mark.parametrize("original_kept", [True, False])
def test_two_inputs_with_a_long_common_beginning_are_two(home: Home, original_kept: bool) -> None:
    common = lines(3000)
    first = home.write("a.log", common + lines(2000, text="a"))
    home.load(first)
    if not original_kept:
        first.unlink()
    # Shorter than the first and alike up to its last line: only a comparison of everything can tell them apart.
    second = home.write("b.log", common + b"7 other\n")
    assert statuses(home.load(second)) == ["loaded"]
    assert len(home.texts()) == 3000 + 2000 + 3001
    longer = home.write("c.log", common + lines(5000, text="c"))
    assert statuses(home.load(longer)) == ["loaded"]
    assert len(home.texts()) == 3000 + 2000 + 3001 + 8000


def test_a_copy_within_the_same_command(home: Home) -> None:
    content = lines(500)
    paths = [
        home.write(f"d/{name}", part)
        for name, part in (("a", content), ("b", content), ("c", content[:3000]), ("d", content + b"9 more\n"))
    ]
    report = home.load(*paths)
    assert statuses(report) == ["loaded", "unchanged", "old copy", "grown"]
    assert len(home.texts()) == 501
    assert home.snapshots() == 1


def test_equal_bytes_from_two_named_sources_are_two_inputs(home: Home) -> None:
    content = lines(10)
    web1, web2 = home.write("web1/access.log", content), home.write("web2/access.log", content)
    home.load(web1, source="web1")
    home.load(web2, source="web2")
    assert len(home.texts()) == 20
    assert statuses(home.load(home.write("web1/access.log.1", content), source="web1")) == ["unchanged"]


def test_a_command_over_several_folders_keeps_them_apart(home: Home) -> None:
    content = lines(10)
    home.write("logs/web1/access.log", content)
    home.write("logs/web2/access.log", content)
    home.load(home.folder / "logs")
    assert len(home.texts()) == 20
    # Later one of the folders alone: its input is known, although nobody names a source.
    assert statuses(home.load(home.folder / "logs" / "web1" / "access.log")) == ["unchanged"]
    assert len(home.texts()) == 20


def test_site_and_source_from_the_path(home: Home) -> None:
    for site, source in (("rennes", "web1"), ("rennes", "web2"), ("paris", "web1")):
        home.write(f"in/{site}/{source}/2026/a.log", lines(5, text=site + source))
    home.load(str(home.folder / "in" / "{site}" / "{source}" / "**" / "*.log"), site=None)
    assert home.query("SELECT site, count(*) FROM t GROUP BY 1 ORDER BY 1") == [("paris", 5), ("rennes", 10)]
    assert {record.source for record in home.ledger().inputs.values()} == {"web1", "web2"}


def test_the_same_bytes_under_another_site_are_refused(home: Home) -> None:
    log = home.write("a.log", lines(10))
    home.load(log)
    with pytest.raises(UsageError, match=r"already loaded for site s .*lakehouse unload tiny"):
        home.load(log, site="other")
    assert len(home.texts()) == 10
    assert home.snapshots() == 1


def test_the_same_bytes_for_two_sites_in_one_command(home: Home) -> None:
    for site in ("rennes", "paris"):
        home.write(f"in/{site}/a.log", lines(1))
    with pytest.raises(UsageError) as caught:
        home.load(str(home.folder / "in" / "{site}" / "*.log"), site=None)
    message = str(caught.value)
    for site in ("rennes", "paris"):
        assert f"{home.folder}/in/{site}/a.log (for site {site})" in message
    assert "already loaded" not in message
    assert "unload" not in message
    assert home.snapshots() == 0


def test_the_same_bytes_for_two_sites_from_sources_that_were_named(home: Home) -> None:
    log = home.write("a.log", lines(10))
    home.load(log, site="rennes")
    with pytest.raises(UsageError, match="name the source"):
        home.load(log, site="paris")
    home.load(log, site="paris", source="web2")
    assert home.query("SELECT site, count(*) FROM t GROUP BY 1 ORDER BY 1") == [("paris", 10), ("rennes", 10)]
    for source, other in (("web2", "paris"), ("room/web3", "rennes")):
        with pytest.raises(UsageError, match=f"already loaded for site {other} .*name another source, without /"):
            home.load(log, site="lyon", source=source)
    assert statuses(home.load(log, site="paris", source="web2")) == ["unchanged"]


def test_the_same_bytes_for_two_sites_and_sources_from_the_path(home: Home) -> None:
    for place in ("rennes/web1", "paris/web2"):
        home.write(f"in/{place}/a.log", lines(10))
    assert statuses(home.load(str(home.folder / "in/{site}/{source}/*.log"), site=None)) == ["loaded", "loaded"]


def test_a_site_is_needed(home: Home) -> None:
    with pytest.raises(UsageError, match="--site"):
        home.load(home.write("a.log", lines(1)), site=None)


def test_unload_takes_one_input_out_and_it_can_come_back(home: Home) -> None:
    first, second = home.write("a.log", lines(60, text="a")), home.write("b.log", lines(60, text="b"))
    home.load(first, second)
    record = next(record for record in home.ledger().inputs.values() if record.location == str(first))
    report = home.unload(record.id)
    assert report.rows_removed == 60
    assert home.texts() == sorted(f"b{index}" for index in range(60))
    assert statuses(home.load(first, second)) == ["loaded", "unchanged"]
    assert len(home.texts()) == 120


def test_replace_takes_the_old_input_out_in_the_same_commit(home: Home) -> None:
    home.load(home.write("wrong.log", lines(30, text="wrong")), home.write("other.log", lines(30, text="other")))
    wrong = next(record for record in home.ledger().inputs.values() if record.location.endswith("wrong.log"))
    home.load(home.write("fixed.log", lines(40, text="fixed")), replace=(wrong.id,))
    assert home.snapshots() == 2
    assert home.query("SELECT regexp_extract(text, '[a-z]+'), count(*) FROM t GROUP BY 1 ORDER BY 1") == [
        ("fixed", 40),
        ("other", 30),
    ]


def test_replace_day_takes_out_that_day_of_that_site_only(home: Home) -> None:
    home.load(home.write("a.log", lines(48, text="a")))
    home.load(home.write("b.log", lines(48, text="b")), site="other")
    correction = home.write("day.log", lines(3, start=DAY, text="c"))
    report = home.load(correction, replace_day=date(1970, 1, 2))
    assert report.rows_removed == 24
    assert home.query("SELECT date::VARCHAR, site, count(*) FROM t GROUP BY ALL ORDER BY 1, 2") == [
        ("1970-01-01", "other", 24), ("1970-01-01", "s", 24), ("1970-01-02", "other", 24), ("1970-01-02", "s", 3),
    ]  # fmt: skip
    for record in home.ledger().inputs.values():
        assert record.lines == record.rows + record.known_rejects + record.unknown_rejects
    assert {record.rows_replaced for record in home.ledger().inputs.values()} == {24, 0}
    # Loading the same correction again replaces the day by itself.
    home.load(correction, replace_day=date(1970, 1, 2))
    assert home.query("SELECT count(*) FROM t") == [(24 + 48 + 3,)]


def test_reparse_replaces_rows_and_rejects(home: Home) -> None:
    log = home.write("a.log", lines(20) + b"bad\n")
    home.load(log)
    report = home.load(log, reparse=True)
    assert statuses(report) == ["replaced"]
    assert len(home.texts()) == 20
    assert [record.unknown_rejects for record in home.ledger().inputs.values()] == [1]
    assert home.snapshots() == 2


def test_too_many_rejects_stop_the_load_before_its_commit(home: Home) -> None:
    log = home.write("a.log", lines(10) + b"bad\n" * 6)
    with pytest.raises(TooManyRejectsError, match=r"6 of 16 lines.*line 11 .*--format"):
        home.load(log)
    assert home.snapshots() == 0
    home.load(log, max_rejects=0.2)
    assert len(home.texts()) == 10


def test_rejects_are_counted_over_all_growths_of_an_input(home: Home) -> None:
    log = home.write("a.log", lines(100))
    home.load(log)
    noise = b"bad\n" * 5
    log.write_bytes(lines(100) + noise)
    home.load(log)
    log.write_bytes(lines(100) + 2 * noise)
    with pytest.raises(TooManyRejectsError, match=r"10 of 110 lines, 5 of them new, cannot be read.*line 106 "):
        home.load(log)
    assert [record.unknown_rejects for record in home.ledger().inputs.values()] == [5]
    log.write_bytes(lines(100) + 2 * noise + lines(95, text="y"))  # now they are few enough again
    home.load(log)
    assert len(home.texts()) == 195


def test_rejects_that_were_accepted_do_not_hinder_new_lines(home: Home) -> None:
    content = lines(100) + b"bad\n" * 40
    log = home.write("a.log", content)
    home.load(log, max_rejects=0.5)
    for more in (lines(10, text="a"), lines(39, text="b") + b"bad\n", lines(4, text="c") + b"bad\n"):
        content += more
        log.write_bytes(content)
        assert statuses(home.load(log)) == ["grown"]
    log.write_bytes(content + b"bad\n" * 6)
    with pytest.raises(TooManyRejectsError, match=r"48 of 201 lines, 6 of them new,"):
        home.load(log)
    with pytest.raises(TooManyRejectsError, match=r"42 of 195 lines cannot"):
        home.load(home.write("a.log", content), reparse=True)
    assert len(home.texts()) == 153


def test_the_rejects_of_one_input_are_none_of_anothers(home: Home) -> None:
    first, second = home.write("a.log", lines(100) + b"bad\n" * 5), home.write("b.log", lines(100, text="b") + b"bad\n" * 5)
    assert statuses(home.load(first, second)) == ["loaded", "loaded"]


@pytest.mark.parametrize(
    "content",
    [gzip.compress(lines(5000))[:-20], zstandard.compress(lines(5000))[:-20], bz2.compress(lines(5000))[:-20]],
)
def test_a_cut_off_compressed_input_is_refused(home: Home, content: bytes) -> None:
    with pytest.raises(InputError, match="damaged or cut off"):
        home.load(home.write("a.log.x", content))
    assert home.snapshots() == 0


def test_a_missing_input_is_named(home: Home) -> None:
    with pytest.raises(InputError, match=r"nothing\.log"):
        home.load("nothing.log")


def test_unchanged_inputs_are_not_read_again(home: Home) -> None:
    paths = [home.write(f"in/{index}.log", lines(3, text=f"f{index}-")) for index in range(30)]
    home.load(home.folder / "in")
    report = home.load(home.folder / "in")
    assert [outcome.read for outcome in report.outcomes] == [False] * 30
    shutil.copy(paths[0], paths[1])
    assert [outcome.read for outcome in home.load(home.folder / "in").outcomes].count(True) == 1


def test_rows_of_many_days_and_sites_lie_in_a_file_for_each(home: Home) -> None:
    home.load(home.write("a.log", lines(400, step=DAY // 2)))
    files = home.table().inspect.files()
    assert files.num_rows == 200
    assert home.query("SELECT count(*), count(DISTINCT date) FROM t") == [(400, 200)]


def test_commit_every_makes_several_commits(home: Home) -> None:
    for index in range(5):
        home.write(f"in/{index}.log", lines(3, text=f"f{index}-"))
    report = home.load(home.folder / "in", commit_every=2)
    assert len(report.load_ids) == 3
    assert home.snapshots() == 3
    assert len(home.texts()) == 15


def test_a_log_that_is_rotated_between_comparing_and_parsing_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    known = lines(300)
    home.load(home.write("a.log", known))
    log = home.write("b.log", known[:5000] + lines(100, text="new"))

    def rotate_then_answer(*arguments: Any) -> Any:
        log.write_bytes(known)  # now it holds what is loaded already
        return identify(*arguments)

    monkeypatch.setattr("lakehouse.intake.identify", rotate_then_answer)
    with pytest.raises(InputError, match="changed while it was being read"):
        home.load(log)
    assert len(home.texts()) == 300


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, zstandard.compress])
def test_progress_counts_the_bytes_of_an_input_as_it_is_stored(home: Home, compress: Callable[[bytes], bytes]) -> None:
    class Counting(SilentObserver):
        total = 0

        def read(self, found: InputFile, size: int) -> None:
            self.total += size

    log = home.write("a.log", compress(lines(50)))
    home.load(log, observer=(counting := Counting()))
    assert counting.total == log.stat().st_size
    log.write_bytes(compress(lines(60)))
    home.load(log, observer=(again := Counting()))
    assert again.total == log.stat().st_size, "what is known is read too"


def test_a_format_that_was_asked_for_holds_until_another_is(tmp_path: Path) -> None:
    home = Home(tmp_path, get_dataset("access_logs", Path()))
    line = b'192.0.2.7 - - [21/Nov/2026:06:25:01 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8.0" %s\n'
    directive = '$remote_addr - - [$time_local] "$request" $status $bytes_sent "-" "$http_user_agent" $request_time'
    log = home.write("access.log", line % b"0.25")
    times = "SELECT response_time_ms FROM t ORDER BY _line"
    home.load(log, format=directive)
    home.load(home.write("access.log", line % b"0.25" + line % b"0.5"))
    assert home.query(times) == [(250.0,), (500.0,)]
    home.load(log, reparse=True)
    assert home.query(times) == [(250.0,), (500.0,)]
    home.load(log, reparse=True, format=directive.replace("$request_time", "$request_id"))
    assert home.query(times) == [(None,), (None,)]
