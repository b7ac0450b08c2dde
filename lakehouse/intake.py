"""One input of a load: find out what it is, parse what is new of it, stage its rows."""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Protocol

import polars as pl

from lakehouse.catalog import table_columns
from lakehouse.datasets.base import Dataset, EncodingParser, FileParser, ParseContext, Parsed, Parser
from lakehouse.datasets.encoded_rows import EncodedRows
from lakehouse.errors import InputError, TooManyRejectsError, UsageError
from lakehouse.identity import Hasher, Identity, KnownInputs, Relation, identify
from lakehouse.inputs import BLOCK_BYTES, HEAD_BYTES, InputFile, OpenInput, open_input, whole_lines
from lakehouse.ledger import InputRecord
from lakehouse.rejects import RejectWriter
from lakehouse.settings import Settings
from lakehouse.stage import PartitionWriter

REJECTS_FROM_LINES = 100
"""The share of rejects is taken of at least this many lines, so that one odd line does not stop a short input."""
EXAMPLES = 3
PARQUET_MAGIC = b"PAR1"


class TakeFirst(Exception):
    """An input replaces one that this very load has staged already: it must be taken before that one.

    Args:
        found: the input.
    """

    def __init__(self, found: InputFile):
        super().__init__(found.location)
        self.found = found


class Observer(Protocol):
    """Is told how far a load is: for a progress bar, for a log, and for tests that stop at each step."""

    def step(self, name: str) -> None:
        """A step of the state machine in docs/exactly-once.md is reached."""
        ...

    def read(self, found: InputFile, size: int) -> None:
        """`size` more decompressed bytes of an input are dealt with."""
        ...


@dataclass(frozen=True)
class Options:
    """How inputs are to be read.

    Args:
        site, source, format: as given by the user; None: from the pattern or detected.
        final: an unfinished last line is the last one.
        reparse: parse again what is already loaded.
        max_rejects: share of lines.
        only_known: leave inputs alone that go on where no known input ended.
    """

    site: str | None = None
    source: str | None = None
    format: str | None = None
    final: bool = False
    reparse: bool = False
    max_rejects: float = 0.05
    only_known: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one input.

    Args:
        status: loaded, grown, replaced, unchanged, old copy, empty or unknown (and only known inputs were wanted).
        record: the ledger's entry now; None when there is none.
        previous: the entry that it grew from.
        dropped: ids of entries whose rows must go with this commit.
        checkpoints, digest, length: of its bytes, to tell later whether a rival's commit concerns it.
        pending: bytes of an unfinished last line or record that wait for the next load.
        read: whether its bytes were read at all.
    """

    found: InputFile
    site: str
    source: str
    status: str
    record: InputRecord | None = None
    previous: InputRecord | None = None
    dropped: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    digest: str = ""
    pending: int = 0
    rows: int = 0
    known_rejects: int = 0
    unknown_rejects: int = 0
    lines: int = 0
    read: bool = True

    @property
    def changes(self) -> bool:
        """Whether there is something to commit."""
        return self.status in ("loaded", "grown", "replaced")


@dataclass
class _Counts:
    lines: int = 0
    rows: int = 0
    known: int = 0
    unknown: int = 0
    days: set[str] = field(default_factory=set)
    examples: list[tuple[int, str, str]] = field(default_factory=list)
    open_end: bool = False


class Comparer(Protocol):
    """Tells whether an input that is shorter than a record is an old copy of it."""

    def __call__(self, found: InputFile, hasher: Hasher, record: InputRecord, parser_options: "Options") -> bool: ...


@dataclass
class Intake:
    """Takes the inputs of one load, one after the other.

    Args:
        settings, dataset, key: what parsing needs.
        records: the ledger's inputs, and those of this load so far.
        writer, rejects: where rows and rejects go.
        comparer: decides on inputs that are shorter than what is known.
        observer: is told of progress.
        dataset_options: of the dataset, validated.
    """

    settings: Settings
    dataset: Dataset
    key: bytes
    records: KnownInputs
    writer: PartitionWriter
    rejects: RejectWriter
    load_id: str
    comparer: Comparer
    observer: Observer
    dataset_options: Mapping[str, Any]

    def take(self, found: InputFile, site: str, source: str, options: Options) -> Outcome:
        """Identify an input, and parse and stage what is new of it.

        Raises:
            InputError: unreadable, in an unknown format, loaded for another site, or too many rejects.
            TakeFirst: what was staged for another input of this load would have to go.
        """
        with open_input(found, self.settings) as opened:
            head = opened.read(HEAD_BYTES)
            if not head:
                return Outcome(found, site, source, "empty")
            related = self.records.candidates(head, site, source)
            if not related and options.only_known:
                return Outcome(found, site, source, "unknown")
            if not related:
                return self._load(opened, head, Identity(Relation.NEW), [], site, source, options)
        identity, hasher, pending = self._identify(found, related, options)
        if identity.relation is Relation.SHORTER:
            longer = identity.longer if self._has_lines(head) else ()
            old = next((record for record in longer if self.comparer(found, hasher, record, options)), None)
            identity = Identity(Relation.NEW) if old is None else Identity(Relation.SHORTER, old)
        staged_by_this_load = identity.record is not None and identity.record.load_id == self.load_id
        if staged_by_this_load:
            options = replace(options, reparse=False)
        if identity.relation is Relation.SHORTER:  # also to parse it again would lose the lines that follow it
            return Outcome(found, site, source, "old copy", record=identity.record, pending=pending)
        if identity.relation is Relation.SAME and not options.reparse:
            return Outcome(found, site, source, "unchanged", record=identity.record, pending=pending)
        if identity.relation is Relation.OPEN_END and staged_by_this_load:
            raise TakeFirst(found)
        if identity.relation is Relation.NEW and options.only_known:
            return Outcome(found, site, source, "unknown")
        with open_input(found, self.settings) as opened:
            head = opened.read(HEAD_BYTES)
            return self._load(opened, head, identity, related, site, source, options)

    def _identify(self, found: InputFile, related: list[InputRecord], options: Options) -> tuple[Identity, Hasher, int]:
        """Hash the whole input, without an unfinished last line that would wait anyway, and compare.

        Returns:
            What it is, the hash, and the bytes of that last line.
        """
        hasher = Hasher(record.length for record in related)
        open_ends = {record.length for record in related if record.open_end}
        bytes_after: dict[int, bytes] = {}
        pending = 0
        with open_input(found, self.settings) as opened:
            head = opened.read(HEAD_BYTES)
            blocks = chain((head,), opened.blocks())
            for block, last in whole_lines(blocks) if self._has_lines(head) else ((block, False) for block in blocks):
                if last and not self._is_final(opened, options):
                    pending = len(block)
                    continue
                for length in open_ends:
                    if hasher.length <= length < hasher.length + len(block):
                        bytes_after[length] = block[length - hasher.length :][:2]
                hasher.update(block)
        return identify(hasher, related, bytes_after), hasher, pending

    def _is_final(self, opened: OpenInput, options: Options) -> bool:
        """Whether what stands behind the last newline is all there will be."""
        return options.final or opened.compression is not None

    def _has_lines(self, head: bytes) -> bool:
        return self.dataset.line_based and not head.startswith(PARQUET_MAGIC)

    def _load(
        self, opened: OpenInput, head: bytes, identity: Identity, related: list[InputRecord],
        site: str, source: str, options: Options,
    ) -> Outcome:  # fmt: skip
        found = opened.found
        grown = identity.record if identity.relation is Relation.GROWN and not options.reparse else None
        replaced = identity.record if grown is None else None
        context = ParseContext(
            site=site,
            format=options.format,
            zone=self.settings["input_zone"],
            modified=found.modified,
            options=self.dataset_options,
            key=self.key,
        )
        try:
            parser = self.dataset.open_parser(head, context, grown.parser_state if grown else None)
        except InputError as error:
            raise type(error)(f"{found.location}: {error}") from error
        input_id = grown.id if grown else secrets.token_hex(8)
        hasher = Hasher(record.length for record in related)
        counts = _Counts()
        place = (site, source, found.location, input_id)
        if isinstance(parser, FileParser):
            pending = self._parse_file(parser, opened, head, hasher, counts, place)
        else:
            pending = self._parse_lines(parser, opened, head, hasher, counts, place, grown, options)
        self._check_rejects(found, counts, options.max_rejects)
        if not _still(identity, grown, related, hasher):
            raise InputError(f"{found.location}: it was changed while it was being read: run the load again")
        self._check_other_sites(found, hasher, site, identity)
        outcome = Outcome(
            found, site, source, "empty", grown, grown, (), tuple(hasher.checkpoints), hasher.digest, pending,
            counts.rows, counts.known, counts.unknown, counts.lines,
        )  # fmt: skip
        if grown is not None and hasher.length == grown.length:
            return replace(outcome, status="unchanged")
        if hasher.length == 0:
            return outcome
        record = self._record(input_id, found, site, source, hasher, counts, parser, grown)
        status = "grown" if grown else "replaced" if replaced else "loaded"
        self.records.add(record)
        if replaced is not None:
            self.records.remove(replaced.id)
        return replace(outcome, status=status, record=record, dropped=(replaced.id,) if replaced else ())

    def _parse_lines(
        self, parser: Parser, opened: OpenInput, head: bytes, hasher: Hasher, counts: _Counts,
        place: tuple[str, str, str, str], grown: InputRecord | None, options: Options,
    ) -> int:  # fmt: skip
        """Parse an input of lines from where `grown` ended; returns the bytes left pending."""
        stream: Iterator[bytes] = chain((head + opened.read(BLOCK_BYTES - len(head)),), opened.blocks())
        line = 1
        if grown is not None:
            stream = _skip(stream, grown.length, hasher)
            line = grown.lines + 1
            if grown.open_end:
                stream = _drop_newline(stream, hasher)
        carry = b""
        final = self._is_final(opened, options)
        parse = parser.parse_encoded if isinstance(parser, EncodingParser) else parser.parse
        for block, last in whole_lines(stream):
            if last and block and not final:
                return len(carry) + len(block)
            data = carry + block if carry else block
            if not data:
                continue
            parsed = parse(data, line, last and final)
            self._stage(parsed, counts, place)
            hasher.update(memoryview(data)[: parsed.consumed])
            if parsed.consumed:
                counts.open_end = data[parsed.consumed - 1 : parsed.consumed] != b"\n"
            self.observer.read(opened.found, parsed.consumed)
            line += parsed.lines
            carry = data[parsed.consumed :]
            del block, data, parsed  # or two blocks, with the rows of one, would be in memory while the next is read
        return len(carry)

    def _parse_file(
        self,
        parser: FileParser,
        opened: OpenInput,
        head: bytes,
        hasher: Hasher,
        counts: _Counts,
        place: tuple[str, str, str, str],
    ) -> int:
        """Parse an input that only makes sense as a whole, from a local copy; nothing stays pending."""
        import tempfile
        from pathlib import Path

        with tempfile.NamedTemporaryFile(prefix="lakehouse-", suffix=".input") as copy:
            for block in chain((head,), opened.blocks()):
                copy.write(block)
                hasher.update(block)
                self.observer.read(opened.found, len(block))
            copy.flush()
            for parsed in parser.parse_file(Path(copy.name)):
                self._stage(parsed, counts, place)
        return 0

    def _stage(self, parsed: Parsed, counts: _Counts, place: tuple[str, str, str, str]) -> None:
        site, source, location, input_id = place
        counts.lines += parsed.lines
        counts.rows += parsed.row_count
        known = int(parsed.rejects["known"].sum())
        counts.known += known
        counts.unknown += parsed.rejects.height - known
        if parsed.rejects.height > known and len(counts.examples) < EXAMPLES:
            unknown = parsed.rejects.filter(~pl.col("known")).head(EXAMPLES - len(counts.examples))
            counts.examples += [
                (line, reason, text) for line, reason, text in unknown.select("_line", "reason", "text").iter_rows()
            ]
        rows = with_origin(parsed.rows, self.dataset, site, input_id)
        counts.days.update(day.isoformat() for day in rows["date"].unique())
        self.writer.write(rows)
        if parsed.encoded is not None:
            encoded = encoded_with_origin(parsed.encoded, self.dataset, site, input_id)
            counts.days.update(day.isoformat() for day in encoded.frame["date"].unique())
            self.writer.write_encoded(encoded)
        self.rejects.write(parsed.rejects, site, source, location, input_id)

    def _record(
        self,
        input_id: str,
        found: InputFile,
        site: str,
        source: str,
        hasher: Hasher,
        counts: _Counts,
        parser: Any,
        grown: InputRecord | None,
    ) -> InputRecord:
        reject_files = (self.rejects.path,) if counts.known + counts.unknown else ()
        record = InputRecord(
            id=input_id,
            site=site,
            source=grown.source if grown else source,
            location=found.location,
            length=hasher.length,
            digest=hasher.digest,
            checkpoints=tuple(hasher.checkpoints),
            lines=counts.lines,
            rows=counts.rows,
            known_rejects=counts.known,
            unknown_rejects=counts.unknown,
            days=tuple(sorted(counts.days)),
            parser_state=dict(parser.state()),
            load_id=self.load_id,
            continuation_lines=counts.lines - counts.rows - counts.known - counts.unknown,
            open_end=counts.open_end,
            reject_files=reject_files,
            line_ends=tuple(hasher.line_ends),
        )
        if grown is None:
            return record
        return replace(
            record,
            lines=grown.lines + record.lines,
            rows=grown.rows + record.rows,
            known_rejects=grown.known_rejects + record.known_rejects,
            unknown_rejects=grown.unknown_rejects + record.unknown_rejects,
            continuation_lines=grown.continuation_lines + record.continuation_lines,
            rows_replaced=grown.rows_replaced,
            days=tuple(sorted({*grown.days, *record.days})),
            reject_files=(*grown.reject_files, *reject_files),
        )

    def _check_rejects(self, found: InputFile, counts: _Counts, max_rejects: float) -> None:
        allowed = max_rejects * max(counts.lines, REJECTS_FROM_LINES)
        if counts.unknown <= allowed:
            return
        examples = "; ".join(f"line {line} ({reason}): {text[:120]!r}" for line, reason, text in counts.examples)
        raise TooManyRejectsError(
            f"{found.location}: {counts.unknown} of {counts.lines} lines cannot be read, more than --max-rejects "
            f"{max_rejects:g} allows; nothing was loaded. For example {examples}. Name the format with --format (a name or "
            "the server's own log format), or raise --max-rejects if these lines are really noise"
        )

    def _check_other_sites(self, found: InputFile, hasher: Hasher, site: str, identity: Identity) -> None:
        for record in self.records.with_digest(hasher.digest):
            if record.site != site:
                raise UsageError(
                    f"{found.location}: the very same bytes are already loaded for site {record.site} (input {record.id}, from "
                    f"{record.location}); nothing was loaded. If {record.site} was wrong, take it out first: lakehouse unload "
                    f"{self.dataset.name} {record.id}; if both are right, the files must differ in at least one line"
                )


def _still(identity: Identity, grown: InputRecord | None, related: list[InputRecord], hasher: Hasher) -> bool:
    """Whether the bytes that were parsed stand to the known inputs as the bytes of the first reading did."""
    if identity.record is None:
        return identify(hasher, related, {}).record is None
    if grown is None and hasher.length < identity.record.length:
        return True  # parsed again, and this time its last record waits for the rest
    return hasher.digest_at.get(identity.record.length) == identity.record.digest


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
