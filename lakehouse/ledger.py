"""The ledger of a table: which inputs are in it, which loads put them there, and what is left to clean up.

It is a set of small immutable Parquet files beside the table's folder, so that no orphan removal looks at them. The
table property `lakehouse.ledger` names the newest one; its Parquet metadata lists the older ones that still count. The
property changes in the very commit that changes the data, which makes the ledger atomic with the rows. Files are
merged by size like a log-structured merge tree: a commit writes few bytes and a reader opens few files.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO

from lakehouse.errors import CatalogError

_T = TypeVar("_T")

LAYOUT_VERSION = 1
"""Version of the tables' and the ledger's layout; code that meets a higher one must not write."""

POINTER = "lakehouse.ledger"
VERSION = "lakehouse.version"
MERGE_LIMIT = 512
"""Records in a file beyond which it is not merged again: bounds what one commit rewrites."""
SEGMENT_LIMIT = 64
"""Files beyond which a commit rewrites the whole ledger, without what was superseded."""
LOADS_KEPT = 10_000
"""Load records kept; older ones are dropped."""

_SCHEMA = pa.schema([("kind", pa.string()), ("id", pa.string()), ("sequence", pa.int64()), ("payload", pa.string())])


@dataclass(frozen=True)
class InputRecord:
    """One input: bytes from a source, for a site (DESIGN 2).

    Args:
        id: value of `_input` in its rows.
        site, source: the scope in which inputs are compared.
        location: path or URL where it was last read.
        length: decompressed bytes that are loaded.
        digest: SHA-256 of those bytes, hex.
        checkpoints: hex of the first 16 bytes of the SHA-256 of the first 32, 64, 128, ... bytes.
        lines: lines in those bytes; rows, known and unknown rejects, and rows taken out since by --replace-day.
        continuation_lines: the second and later lines of records over several lines.
        reject_files: Parquet files with its rejects.
        days: days that hold rows of it, ISO format.
        parser_state: what the parser of a tail needs.
        open_end: the last loaded line had no newline, because the input was said to be final.
        load_id: the load that wrote it last.
    """

    id: str
    site: str
    source: str
    location: str
    length: int
    digest: str
    checkpoints: tuple[str, ...]
    lines: int
    rows: int
    known_rejects: int
    unknown_rejects: int
    days: tuple[str, ...]
    parser_state: Mapping[str, Any]
    load_id: str
    rows_replaced: int = 0
    continuation_lines: int = 0
    open_end: bool = False
    reject_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadRecord:
    """One commit by this package: its report, and the days whose rows it changed.

    Args:
        id: load id; also the folder of its data files.
        kind: load, unload, fence (an abandoned load that may never commit any more) or compact.
        at: ISO time of the commit, UTC.
        days: days whose rows changed.
        inputs: ids of the inputs that were added, grown or taken out.
    """

    id: str
    kind: str
    at: str
    days: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    rows_added: int = 0
    rows_removed: int = 0
    rejects: int = 0
    code_version: str = ""


@dataclass(frozen=True)
class ExpiredRecord:
    """A snapshot that was expired; the files that only it reached can go after a grace period for readers."""

    id: str
    at: str


@dataclass(frozen=True)
class Changes:
    """What one commit adds to and takes from the ledger."""

    load: LoadRecord
    put_inputs: tuple[InputRecord, ...] = ()
    drop_inputs: tuple[str, ...] = ()
    expired: tuple[ExpiredRecord, ...] = ()
    forget_expired: tuple[str, ...] = ()


class _Record(NamedTuple):
    kind: str
    id: str
    sequence: int
    payload: str  # empty: the record of this kind and id is gone


class _Decoded(Mapping[str, _T]):
    """Records of one kind by id, decoded when they are asked for: most of a long ledger's records never are."""

    def __init__(self, decode: Callable[[_Record], _T]):
        self.records: dict[str, _Record] = {}
        self._decode = decode
        self._decoded: dict[str, _T] = {}

    def __getitem__(self, record_id: str) -> _T:
        if record_id not in self._decoded:
            self._decoded[record_id] = self._decode(self.records[record_id])
        return self._decoded[record_id]

    def __contains__(self, record_id: object) -> bool:
        return record_id in self.records

    def __iter__(self) -> Iterator[str]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def apply(self, record: _Record) -> None:
        """Take a later record: a new one, one in the place of another, or the end of one."""
        self._decoded.pop(record.id, None)
        if record.payload:
            self.records[record.id] = record
        else:
            self.records.pop(record.id, None)


def _input(record: _Record) -> InputRecord:
    return InputRecord(**_tuples(json.loads(record.payload)))


def _load(record: _Record) -> tuple[int, LoadRecord]:
    return record.sequence, LoadRecord(**_tuples(json.loads(record.payload)))


def _expired(record: _Record) -> ExpiredRecord:
    return ExpiredRecord(**json.loads(record.payload))


@dataclass(frozen=True)
class _Segment:
    path: str
    count: int


@dataclass
class Ledger:
    """The ledger as one table version sees it."""

    root: str
    io: FileIO
    sequence: int = 0
    inputs: _Decoded[InputRecord] = field(default_factory=lambda: _Decoded(_input))
    loads: _Decoded[tuple[int, LoadRecord]] = field(default_factory=lambda: _Decoded(_load))
    expired: _Decoded[ExpiredRecord] = field(default_factory=lambda: _Decoded(_expired))
    _segments: tuple[_Segment, ...] = ()
    _read: dict[str, tuple[_Record, ...]] = field(default_factory=dict)

    @property
    def oldest_load_sequence(self) -> int:
        """Sequence of the oldest load record that is kept, 0 when nothing was dropped yet."""
        if len(self.loads) < LOADS_KEPT:
            return 0
        return min(record.sequence for record in self.loads.records.values())

    def load_by_id(self, load_id: str) -> LoadRecord | None:
        """The record of a load or fence, or None when it never committed."""
        found = self.loads.get(load_id)
        return found[1] if found else None

    def days_changed_since(self, sequence: int) -> set[date]:
        """Days whose rows changed in commits after `sequence`."""
        return {
            date.fromisoformat(day)
            for record in self.loads.records.values()
            if record.sequence > sequence
            for day in self.loads[record.id][1].days
        }

    def write(self, changes: Changes, token: str) -> str:
        """Write the file that a commit will point at.

        Args:
            changes: of this commit.
            token: unique to this attempt; part of the file's name.

        Returns:
            Its path, the new value of the property `lakehouse.ledger`.
        """
        sequence = self.sequence + 1
        records = list(_records_of(changes, sequence))
        segments = list(self._segments)
        if len(segments) > SEGMENT_LIMIT:
            segments = []
            records = [*_records_of_ledger(self), *records]
        while segments and segments[-1].count <= len(records) and segments[-1].count + len(records) <= MERGE_LIMIT:
            records = _merge(self._records(segments.pop()), records, oldest=not segments)
        path = f"{self.root}/{sequence:010d}-{token}.parquet"
        metadata = {
            "lakehouse.version": str(LAYOUT_VERSION),
            "lakehouse.sequence": str(sequence),
            "lakehouse.segments": json.dumps([[_name(segment.path), segment.count] for segment in segments]),
        }
        table = pa.Table.from_pylist([record._asdict() for record in records], schema=_SCHEMA)
        with self.io.new_output(path).create(overwrite=True) as stream:
            pq.write_table(table.replace_schema_metadata(metadata), stream, compression="zstd")
        return path

    def _records(self, segment: _Segment) -> tuple[_Record, ...]:
        if segment.path not in self._read:
            self._read[segment.path] = _read_segment(self.io, segment.path)[1]
        return self._read[segment.path]

    def segment_paths(self) -> tuple[str, ...]:
        """Paths of the files that this version of the ledger consists of."""
        return tuple(segment.path for segment in self._segments)


def ledger_root(table_location: str) -> str:
    """Folder of a table's ledger: beside the table's folder, never in it."""
    parent, _, name = table_location.rstrip("/").rpartition("/")
    return f"{parent}/_lakehouse/{name}"


def read_ledger(io: FileIO, location: str, properties: Mapping[str, str], known: Ledger | None = None) -> Ledger:
    """Read the ledger that a version of a table points at.

    Args:
        location: the table's location.
        properties: the table's properties.
        known: a ledger of an earlier version of the same table, whose files need not be read again.

    Raises:
        CatalogError: the layout is newer than this code.
    """
    check_version(properties)
    ledger = Ledger(ledger_root(location), io)
    pointer = properties.get(POINTER)
    if pointer is None:
        return ledger
    if known is not None:
        ledger._read = known._read
        if known._segments and known._segments[-1].path == pointer:
            return known
    metadata, newest = _read_segment(io, pointer)
    older = [_Segment(f"{ledger.root}/{name}", count) for name, count in json.loads(metadata["lakehouse.segments"])]
    ledger.sequence = int(metadata["lakehouse.sequence"])
    ledger._read[pointer] = newest
    ledger._segments = (*older, _Segment(pointer, len(newest)))
    for segment in ledger._segments:
        for record in ledger._records(segment):
            _apply(ledger, record)
    ledger._read = {segment.path: ledger._read[segment.path] for segment in ledger._segments}
    return ledger


def check_version(properties: Mapping[str, str]) -> None:
    """Refuse tables of a newer layout; raises CatalogError."""
    version = properties.get(VERSION, str(LAYOUT_VERSION))
    if not version.isdigit() or int(version) > LAYOUT_VERSION:
        raise CatalogError(
            f"the table's layout is version {version}, this lakehouse knows {LAYOUT_VERSION} and will not write: "
            "upgrade the lakehouse package"
        )


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _records_of(changes: Changes, sequence: int) -> Iterable[_Record]:
    for input_id in changes.drop_inputs:
        yield _Record("input", input_id, sequence, "")
    for expired_id in changes.forget_expired:
        yield _Record("expired", expired_id, sequence, "")
    for record in changes.put_inputs:
        yield _Record("input", record.id, sequence, json.dumps(asdict(record)))
    for expired in changes.expired:
        yield _Record("expired", expired.id, sequence, json.dumps(asdict(expired)))
    yield _Record("load", changes.load.id, sequence, json.dumps(asdict(changes.load)))


def _records_of_ledger(ledger: Ledger) -> Iterable[_Record]:
    for known in (ledger.inputs, ledger.expired, ledger.loads):
        yield from known.records.values()


def _merge(older: Iterable[_Record], newer: Iterable[_Record], oldest: bool) -> list[_Record]:
    """Later records win; deletions are only kept while an older file could still hold what they delete."""
    merged = {(record.kind, record.id): record for record in older}
    for record in newer:
        merged.pop((record.kind, record.id), None)
        merged[(record.kind, record.id)] = record
    return [record for record in merged.values() if record.payload or not oldest]


def _read_segment(io: FileIO, path: str) -> tuple[dict[str, str], tuple[_Record, ...]]:
    with io.new_input(path).open() as stream:
        table = pq.read_table(pa.BufferReader(stream.read()))
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    check_version(metadata)
    return metadata, tuple(map(_Record, *(table[name].to_pylist() for name in _SCHEMA.names)))


def _apply(ledger: Ledger, record: _Record) -> None:
    if record.kind == "input":
        ledger.inputs.apply(record)
    elif record.kind == "expired":
        ledger.expired.apply(record)
    elif record.kind == "load":
        ledger.loads.apply(record)
        if len(ledger.loads) > LOADS_KEPT:
            del ledger.loads.records[next(iter(ledger.loads))]


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
