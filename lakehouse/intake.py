"""One input of a load: find out what it is, and have what is new of it parsed."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Protocol

from lakehouse.datasets.base import Dataset, FileParser, ParseContext
from lakehouse.errors import InputError, UsageError
from lakehouse.identity import Hasher, Identity, KnownInputs, Relation, identify, is_named
from lakehouse.inputs import HEAD_BYTES, InputFile, OpenInput, behind_nuls, open_input
from lakehouse.ledger import InputRecord
from lakehouse.load_options import Options
from lakehouse.observer import Observer
from lakehouse.parse import InputParse, is_final
from lakehouse.rejects import RejectWriter
from lakehouse.settings import Settings
from lakehouse.stage import PartitionWriter
from lakehouse.whole_lines import Piece, whole_lines

PARQUET_MAGIC = b"PAR1"
_ASKED = "asked_format"
"""Key, beside what the parser keeps, of the format that was asked for, if one was."""
ARCHIVES = (
    (257, b"ustar\0", "a tar archive"),
    (257, b"ustar  \0", "a tar archive"),  # GNU's
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"\xfd7zXZ\x00", "compressed with xz, which cannot be read"),
)
"""Where in an input which bytes stand that only these begin with, and what they are."""


class TakeFirst(Exception):
    """An input replaces one that this very load has staged already: it must be taken before that one.

    Args:
        found: the input.
    """

    def __init__(self, found: InputFile):
        super().__init__(found.location)
        self.found = found


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


class Comparer(Protocol):
    """Tells whether an input that is shorter than a record is an old copy of it."""

    def __call__(self, found: InputFile, hasher: Hasher, record: InputRecord, parser_options: Options) -> bool: ...


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
            _refuse_archive(found, head)
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
        line_begin: Hasher | None = None  # where a line began that is too long
        bytes_after = {record.length: b"" for record in related if record.open_end}
        pending = 0
        with open_input(found, self.settings) as opened:
            head = opened.read(HEAD_BYTES)
            blocks = chain((head,), opened.blocks())
            for block, too_long, last in whole_lines(blocks) if self._has_lines(head) else map(Piece, blocks):
                if too_long and line_begin is None:
                    line_begin = hasher.copy()
                if last and not is_final(opened, options):
                    begun = line_begin or hasher
                    pending = hasher.length + len(block) - begun.length
                    hasher = begun
                    continue
                for length, after in bytes_after.items():
                    start = max(length - hasher.length, 0)
                    bytes_after[length] = (after + block[start : start + 2])[:2]
                hasher.update(block)
                if block.endswith(b"\n"):
                    line_begin = None
        return identify(hasher, related, bytes_after), hasher, pending

    def _has_lines(self, head: bytes) -> bool:
        return self.dataset.line_based and not head.startswith(PARQUET_MAGIC)

    def _load(
        self, opened: OpenInput, head: bytes, identity: Identity, related: list[InputRecord],
        site: str, source: str, options: Options,
    ) -> Outcome:  # fmt: skip
        found = opened.found
        grown = identity.record if identity.relation is Relation.GROWN and not options.reparse else None
        replaced = identity.record if grown is None else None
        # What was once said of an input's format holds until something else is said.
        asked = options.format or (identity.record.parser_state.get(_ASKED) if identity.record else None)
        context = ParseContext(
            site=site,
            format=asked,
            zone=self.settings["input_zone"],
            modified=found.modified,
            options=self.dataset_options,
            key=self.key,
        )
        try:
            parser = self.dataset.open_parser(
                behind_nuls(found, head, self.settings), context, grown.parser_state if grown else None
            )
        except InputError as error:
            raise type(error)(f"{found.location}: {error}") from error
        input_id = grown.id if grown else secrets.token_hex(8)
        parse = InputParse(
            self.dataset, self.writer, self.rejects, self.observer, opened, head,
            Hasher(record.length for record in related), site, source, input_id,
        )  # fmt: skip
        pending = 0
        if isinstance(parser, FileParser):
            parse.parse_file(parser)
        else:
            pending = parse.parse_lines(parser, grown, options)
        parse.check_rejects(options.max_rejects, grown)
        hasher = parse.hasher
        if not _still(identity, grown, related, hasher):
            raise InputError(f"{found.location}: it was changed while it was being read: run the load again")
        self._check_other_sites(found, hasher, site, source)
        outcome = Outcome(
            found, site, source, "empty", grown, grown, (), tuple(hasher.checkpoints), hasher.digest, pending,
            parse.rows, parse.known, parse.unknown, parse.lines,
        )  # fmt: skip
        if grown is not None and hasher.length == grown.length:
            return replace(outcome, status="unchanged")
        if hasher.length == 0:
            return outcome
        state = {**parser.state(), **({_ASKED: asked} if asked else {})}
        record = self._record(parse, state, grown)
        status = "grown" if grown else "replaced" if replaced else "loaded"
        self.records.add(record)
        if replaced is not None:
            self.records.remove(replaced.id)
        return replace(outcome, status=status, record=record, dropped=(replaced.id,) if replaced else ())

    def _record(self, parse: InputParse, parser_state: Mapping[str, Any], grown: InputRecord | None) -> InputRecord:
        hasher = parse.hasher
        reject_files = (self.rejects.path,) if parse.known + parse.unknown else ()
        record = InputRecord(
            id=parse.input_id,
            site=parse.site,
            source=grown.source if grown else parse.source,
            location=parse.opened.found.location,
            length=hasher.length,
            digest=hasher.digest,
            checkpoints=tuple(hasher.checkpoints),
            lines=parse.lines,
            rows=parse.rows,
            known_rejects=parse.known,
            unknown_rejects=parse.unknown,
            days=tuple(sorted(parse.days)),
            parser_state=parser_state,
            load_id=self.load_id,
            continuation_lines=parse.lines - parse.rows - parse.known - parse.unknown,
            open_end=parse.open_end,
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

    def _check_other_sites(self, found: InputFile, hasher: Hasher, site: str, source: str) -> None:
        """Refuse the very bytes of another site, unless they are from a source that was named to tell them apart."""
        advice = "name another source, without /" if source else "name the source of this one"
        for record in self.records.with_digest(hasher.digest):
            if record.site == site or (is_named(source) and source != record.source):
                continue
            if record.load_id == self.load_id:
                raise UsageError(
                    f"{found.location} (for site {site}) and {record.location} (for site {record.site}) hold the very same "
                    "bytes; nothing was loaded. Load only the one whose site is right; if both are, load one after the other, "
                    "each with a --source NAME of its own"
                )
            raise UsageError(
                f"{found.location}: the very same bytes are already loaded for site {record.site} (input {record.id}, from "
                f"{record.location}); nothing was loaded. If {record.site} was wrong, take it out first: lakehouse unload "
                f"{self.dataset.name} {record.id}; if both are right, {advice}: --source NAME"
            )


def _refuse_archive(found: InputFile, head: bytes) -> None:
    """Refuse what must be unpacked first: names and padding of an archive's files would pass for lines.

    Args:
        found: the input.
        head: its first decompressed bytes.

    Raises:
        InputError: it is an archive.
    """
    for place, magic, kind in ARCHIVES:
        if head[place:].startswith(magic):
            raise InputError(f"{found.location}: this is {kind}: unpack it and load the files in it")


def _still(identity: Identity, grown: InputRecord | None, related: list[InputRecord], hasher: Hasher) -> bool:
    """Whether the bytes that were parsed stand to the known inputs as the bytes of the first reading did."""
    if identity.record is None:
        return identify(hasher, related, {}).record is None
    if grown is None and hasher.length < identity.record.length:
        return True  # parsed again, and this time its last record waits for the rest
    return hasher.digest_at.get(identity.record.length) == identity.record.digest
