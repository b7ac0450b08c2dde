"""Parse what is new of one input, stage its rows and rejects, and count them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from tempfile import NamedTemporaryFile

import polars as pl

from lakehouse.catalog import table_columns
from lakehouse.datasets.base import (
    COLUMN_TYPES,
    MAX_REJECT_TEXT,
    REJECT_SCHEMA,
    Dataset,
    EncodingParser,
    FileParser,
    Parsed,
    Parser,
)
from lakehouse.datasets.encoded_rows import EncodedRows
from lakehouse.errors import TooManyRejectsError
from lakehouse.identity import Hasher
from lakehouse.inputs import BLOCK_BYTES, OpenInput
from lakehouse.ledger import InputRecord
from lakehouse.load_options import Options
from lakehouse.observer import Observer
from lakehouse.rejects import RejectWriter
from lakehouse.stage import PartitionWriter
from lakehouse.whole_lines import LongLine, whole_lines

REJECTS_FROM_LINES = 100
"""The share of rejects is taken of at least this many lines, so that one odd line does not stop a short input."""
EXAMPLES = 3
TOO_LONG = "line too long"
"""The reason of a line of more than MAX_LINE_BYTES, each run of NULs in it counted as one, or of nothing but NULs."""
_BEGINNING_BYTES = 4 * MAX_REJECT_TEXT
"""Bytes of such a line that hold all the characters that are kept of it, each of which takes four at most."""


def is_final(opened: OpenInput, options: Options) -> bool:
    """Whether what stands behind the last newline is all there will be."""
    return options.final or opened.compression is not None


class LineParse:
    """An input's lines on their way through its parser.

    Args:
        dataset: whose rows they give.
        parse: the parser's method.
        hasher: is given the bytes that are dealt with; `self.hasher` is the one to ask afterwards.
        line: number of the first line.
        final: what stands behind the last newline is all there will be.
        open_end: the last line dealt with had no newline.
        pending: bytes of a last line or record that waits to be complete.
    """

    def __init__(
        self, dataset: Dataset, parse: Callable[[bytes, int, bool], Parsed], hasher: Hasher, line: int, final: bool
    ) -> None:
        self.hasher = hasher
        self.open_end = False
        self.pending = 0
        self._dataset = dataset
        self._parse = parse
        self._line = line
        self._final = final

    def parsed(self, blocks: Iterator[bytes]) -> Iterator[Parsed]:
        """The parser's answers, in the order of the lines; once there are no more, the attributes are right."""
        carry = beginning = b""
        ahead: Hasher | None = None  # of a line that is too long, and that may have to wait for its newline
        long_line = LongLine()
        for data, too_long, last in whole_lines(blocks):
            if too_long:
                if ahead is None:
                    ahead = self.hasher.copy()
                    ahead.update(carry)
                ahead.update(data)
                long_line.add(data)
                beginning += data[: _BEGINNING_BYTES - len(beginning)]
                if data.endswith(b"\n") or (last and self._final):
                    text = long_line.text
                    if carry or text:  # no record goes on behind such a line
                        yield self._counted(self._parse(carry + text, self._line, True))
                    if not text:
                        yield self._counted(self._too_long(beginning))
                    self.hasher, self.open_end = ahead, not data.endswith(b"\n")
                    carry, beginning, ahead, long_line = b"", b"", None, LongLine()
                continue
            if last and data and not self._final:
                self.pending = len(carry) + len(data)
                return
            data = carry + data if carry else data
            if not data:
                continue
            parsed = self._counted(self._parse(data, self._line, last and self._final))
            self.hasher.update(memoryview(data)[: parsed.consumed])
            if parsed.consumed:
                self.open_end = data[parsed.consumed - 1 : parsed.consumed] != b"\n"
            carry = data[parsed.consumed :]
            yield parsed
            del data, parsed  # or two blocks, with the rows of one, would be in memory while the next is read
        self.pending = ahead.length - self.hasher.length if ahead else len(carry)

    def _counted(self, parsed: Parsed) -> Parsed:
        self._line += parsed.lines
        return parsed

    def _too_long(self, beginning: bytes) -> Parsed:
        text = beginning.decode(errors="backslashreplace")[:MAX_REJECT_TEXT]
        rejects = pl.DataFrame([(self._line, TOO_LONG, text, False)], REJECT_SCHEMA, orient="row")
        schema = {column.name: COLUMN_TYPES[column.type] for column in self._dataset.columns} | {"_line": pl.Int64()}
        return Parsed(pl.DataFrame(schema=schema), rejects, consumed=0, lines=1)


@dataclass
class InputParse:
    """One input while it is parsed.

    Args:
        dataset: whose rows it gives.
        writer, rejects: where rows and rejects go.
        observer: is told of progress.
        opened: the input, read up to the end of its head.
        head: its first bytes.
        hasher: is given the bytes that count.
        site, source, input_id: for its rows and rejects.
        lines, rows, known, unknown: counts, the last two of rejects.
        days: days of its rows, ISO format.
        examples: line number, reason and text of some unknown rejects.
        open_end: the last line taken had no newline.
    """

    dataset: Dataset
    writer: PartitionWriter
    rejects: RejectWriter
    observer: Observer
    opened: OpenInput
    head: bytes
    hasher: Hasher
    site: str
    source: str
    input_id: str
    lines: int = 0
    rows: int = 0
    known: int = 0
    unknown: int = 0
    days: set[str] = field(default_factory=set)
    examples: list[tuple[int, str, str]] = field(default_factory=list)
    open_end: bool = False
    _reported: int = 0

    def parse_lines(self, parser: Parser, grown: InputRecord | None, options: Options) -> int:
        """Parse an input of lines from where `grown` ended; returns the bytes left pending."""
        stream: Iterator[bytes] = chain((self.head + self.opened.read(BLOCK_BYTES - len(self.head)),), self._further_blocks())
        line = 1
        if grown is not None:
            stream = _skip(stream, grown.length, self.hasher)
            line = grown.lines + 1
            if grown.open_end:
                stream = _drop_newline(stream, self.hasher)
        parse = parser.parse_encoded if isinstance(parser, EncodingParser) else parser.parse
        lines = LineParse(self.dataset, parse, self.hasher, line, is_final(self.opened, options))
        for parsed in lines.parsed(stream):
            self._stage(parsed)
            del parsed  # see LineParse
        self._report()
        self.hasher, self.open_end = lines.hasher, lines.open_end
        return lines.pending

    def parse_file(self, parser: FileParser) -> None:
        """Parse an input that only makes sense as a whole, from a local copy."""
        with NamedTemporaryFile(prefix="lakehouse-", suffix=".input") as copy:
            for block in chain((self.head,), self.opened.blocks()):
                copy.write(block)
                self.hasher.update(block)
                self._report()
            copy.flush()
            for parsed in parser.parse_file(Path(copy.name)):
                self._stage(parsed)

    def _further_blocks(self) -> Iterator[bytes]:
        """The blocks behind the first; who asks for one has dealt with those before, be they but a part of one line."""
        blocks = self.opened.blocks()

        def following() -> bytes:
            self._report()
            return next(blocks, b"")

        return iter(following, b"")

    def _report(self) -> None:
        self.observer.read(self.opened.found, self.opened.position - self._reported)
        self._reported = self.opened.position

    def _stage(self, parsed: Parsed) -> None:
        self.lines += parsed.lines
        self.rows += parsed.row_count
        known = int(parsed.rejects["known"].sum())
        self.known += known
        self.unknown += parsed.rejects.height - known
        if parsed.rejects.height > known and len(self.examples) < EXAMPLES:
            unknown = parsed.rejects.filter(~pl.col("known")).head(EXAMPLES - len(self.examples))
            found = unknown.select("_line", "reason", "text")
            self.examples += [(line, reason, text) for line, reason, text in found.iter_rows()]
        rows = with_origin(parsed.rows, self.dataset, self.site, self.input_id)
        self.days.update(day.isoformat() for day in rows["date"].unique())
        self.writer.write(rows)
        if parsed.encoded is not None:
            encoded = encoded_with_origin(parsed.encoded, self.dataset, self.site, self.input_id)
            self.days.update(day.isoformat() for day in encoded.frame["date"].unique())
            self.writer.write_encoded(encoded)
        self.rejects.write(parsed.rejects, self.site, self.source, self.opened.found.location, self.input_id)

    def check_rejects(self, max_rejects: float, grown: InputRecord | None) -> None:
        """Whether few enough lines could not be read, of the whole input or at least of what is new of it.

        A log that grows by a few lines at a time would else gather any number of rejects; and one that was loaded with more
        of them than are allowed now must be able to go on, also by a few lines of which one is odd.

        Args:
            max_rejects: share of lines.
            grown: what is loaded of the input already.

        Raises:
            TooManyRejectsError: with examples.
        """
        lines, unknown, new = self.lines, self.unknown, ""
        new_lines = self.lines
        if grown is not None:
            if grown.unknown_rejects > max_rejects * max(grown.lines, REJECTS_FROM_LINES):  # they were accepted
                new_lines = max(new_lines, REJECTS_FROM_LINES)
            lines, unknown, new = lines + grown.lines, unknown + grown.unknown_rejects, f", {self.unknown} of them new,"
        few_in_all = unknown <= max_rejects * max(lines, REJECTS_FROM_LINES)
        if few_in_all or self.unknown <= max_rejects * new_lines:
            return
        examples = "; ".join(f"line {line} ({reason}): {text[:120]!r}" for line, reason, text in self.examples)
        raise TooManyRejectsError(
            f"{self.opened.found.location}: {unknown} of {lines} lines{new} cannot be read, more than --max-rejects "
            f"{max_rejects:g} allows; nothing was loaded. For example {examples}. Name the format with --format (a name or "
            "the server's own log format), or raise --max-rejects if these lines are really noise"
        )


def with_origin(rows: pl.DataFrame, dataset: Dataset, site: str, input_id: str) -> pl.DataFrame:
    """A parser's rows as rows of the table: with date, site and input."""
    site_column = pl.col("site").fill_null(site) if "site" in rows.columns else pl.lit(site)
    return rows.with_columns(
        pl.col("ts").dt.date().alias("date"), site_column.alias("site"), pl.lit(input_id).alias("_input")
    ).select([column.name for column in table_columns(dataset.columns)])


def encoded_with_origin(rows: EncodedRows, dataset: Dataset, site: str, input_id: str) -> EncodedRows:
    """The same of encoded rows, of a dataset whose lines tell no site."""
    rows = rows.with_text("site", site).with_text("_input", input_id)
    names = [column.name for column in table_columns(dataset.columns)]
    return EncodedRows(rows.frame.with_columns(pl.col("ts").dt.date().alias("date")).select(names), rows.values)


def _skip(stream: Iterator[bytes], length: int, hasher: Hasher) -> Iterator[bytes]:
    """The stream behind its first `length` bytes, which are hashed on the way."""
    left = length
    for block in stream:
        if left >= len(block):
            hasher.update(block)
            left -= len(block)
            continue
        hasher.update(memoryview(block)[:left])
        yield block[left:]
        left = 0


def _drop_newline(stream: Iterator[bytes], hasher: Hasher) -> Iterator[bytes]:
    """The stream without the newline that belongs to a last line that is already loaded."""
    first = b""
    for block in stream:
        first += block
        if len(first) >= 2 or first == b"\n":
            break
    cut = 2 if first.startswith(b"\r\n") else 1 if first.startswith(b"\n") else 0
    hasher.update(first[:cut])
    yield first[cut:]
    yield from stream
