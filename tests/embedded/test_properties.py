"""Whatever the bytes, their pieces, copies, compressions and order: the rows are those of one load of the whole."""

import bz2
import gzip
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lakehouse import compare, intake, parse, whole_lines
from lakehouse.inputs import OpenInput
from tests.support.home import Home
from tests.support.state import rows
from tests.support.tiny import DAY

pytestmark = pytest.mark.embedded
EXAMPLES = settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would load for many minutes
    suppress_health_check=[HealthCheck.too_slow],
)
COMPRESSIONS: dict[str, Any] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "bzip2": bz2.compress,
}

line = st.builds(
    lambda day, second, text, end: f"{day * DAY + second} {text}{end}".encode(),
    st.integers(0, 4),
    st.integers(0, DAY - 1),
    st.text("ab é", max_size=12),
    st.sampled_from(["\n", "\n", "\r\n"]),
)
LONGEST = 400
endless = st.builds(
    lambda character, size, end: b"7 x" + character * size + end,
    st.sampled_from([b"x", b"\0"]),
    st.integers(LONGEST - 4, 3 * LONGEST),
    st.sampled_from([b"\n", b"\r\n", b"y\n"]),
)
noise = st.binary(max_size=30).map(lambda data: data.replace(b"\n", b" ") + b"\n")
MAGIC = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"PAR1")
"""What begins like this is no text: a compressed file, and here a damaged one."""


def is_log(content: bytes) -> bool:
    """Whether nothing in these bytes says that they are compressed, or an archive: they would be unpacked, or refused."""
    return not content.startswith(MAGIC) and not any(content[place:].startswith(magic) for place, magic, _ in intake.ARCHIVES)


log = st.lists(st.one_of(line, line, line, noise, endless), min_size=1, max_size=60).filter(lambda parts: is_log(parts[0]))


@contextmanager
def home(block_bytes: int) -> Iterator[Home]:
    """A lakehouse that reads in small pieces, so that these logs have many."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole_lines, "MAX_LINE_BYTES", LONGEST)
        patch.setattr(parse, "BLOCK_BYTES", block_bytes)
        patch.setattr(compare, "HEAD_BYTES", max(block_bytes // 2, 40))
        patch.setattr(intake, "HEAD_BYTES", max(block_bytes // 2, 40))
        patch.setattr(OpenInput.blocks, "__defaults__", (block_bytes,))
        yield Home(Path(folder))


def texts(found: Counter[tuple[str, str]]) -> Counter[str]:
    return Counter(text.rstrip("\r") for _, text in found.elements())


def expected(content: list[bytes]) -> Counter[str]:
    """The tiny dataset's rows, told in another way: by the line's first blank."""
    parsed = []
    for part in content:
        if len(part) - 1 > LONGEST:
            part = re.sub(rb"\0+", b"\0", part)
        if len(part) - 1 > LONGEST:
            continue
        head, blank, text = part.removesuffix(b"\n").partition(b" ")
        if blank and head.isdigit() and len(head) <= 10 and b"\x00" not in head:
            parsed.append(text.decode("utf-8", "replace").rstrip("\r"))
    return Counter(parsed)


@EXAMPLES
@given(log, st.data(), st.integers(40, 400))
def test_growth_copies_compressions_and_order(content: list[bytes], data: st.DataObject, block: int) -> None:
    whole = b"".join(content)
    with home(block) as lakehouse:
        # Versions of one log: cut anywhere, in any order and compression, some of them several times.
        cuts = [*data.draw(st.lists(st.integers(0, len(whole)), max_size=3)), len(whole)]
        versions = data.draw(st.permutations(cuts))
        for index, cut in enumerate(versions):
            kind = data.draw(st.sampled_from(sorted(COMPRESSIONS)))
            # What is cut in the middle of a line is only offered where it is known to wait.
            part = whole[:cut] if kind == "plain" else whole[: whole.rfind(b"\n", 0, cut) + 1]
            lakehouse.load(lakehouse.write(f"{index}/log", COMPRESSIONS[kind](part)), max_rejects=1.0)
        assert texts(rows(lakehouse)) == expected(content)
        assert len(lakehouse.ledger().inputs) == 1


@EXAMPLES
@given(log, st.data())
def test_an_unfinished_line_that_was_taken_for_the_last_is_put_right(content: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(content)
    with home(200) as lakehouse:
        path = lakehouse.write("log", b"")
        for cut in sorted(data.draw(st.lists(st.integers(1, len(whole)), max_size=4))):
            path.write_bytes(whole[:cut])
            lakehouse.load(path, max_rejects=1.0, final=data.draw(st.booleans()))
        path.write_bytes(whole)
        lakehouse.load(path, max_rejects=1.0)
        assert texts(rows(lakehouse)) == expected(content)
        assert len(lakehouse.ledger().inputs) == 1


@EXAMPLES
@given(st.lists(log, min_size=1, max_size=4), st.data())
def test_several_logs_in_several_commands(logs: list[list[bytes]], data: st.DataObject) -> None:
    with home(300) as lakehouse:
        paths = [
            # A line of its own keeps logs apart that would else be beginnings of each other.
            lakehouse.write(f"{index}.log", b"".join([b"%d log %d\n" % (index * DAY, index), *content]))
            for index, content in enumerate(logs)
        ]
        for _ in range(data.draw(st.integers(1, 3))):
            chosen = data.draw(st.lists(st.sampled_from(paths), min_size=1, unique=True))
            lakehouse.load(*chosen, max_rejects=1.0, commit_every=data.draw(st.sampled_from([None, 1, 2])))
        lakehouse.load(*data.draw(st.permutations(paths)), max_rejects=1.0)
        every = Counter[str]()
        for index, content in enumerate(logs):
            every += expected([b"%d log %d\n" % (index * DAY, index), *content])
        assert texts(rows(lakehouse)) == every


@EXAMPLES
@given(st.binary(max_size=2000).filter(is_log), st.integers(40, 300))
def test_lines_are_rows_and_rejects_for_any_bytes(content: bytes, block: int) -> None:
    with home(block) as lakehouse:
        path = lakehouse.write("log", content)
        report = lakehouse.load(path, max_rejects=1.0, final=True)
        rows(lakehouse)  # checks every count against the ledger
        assert report.outcomes[0].lines == content.count(b"\n") + (not content.endswith(b"\n") and bool(content))
