"""The ledger of a table: which inputs are in it, which loads put them there, and what is left to clean up.

It is a set of small immutable Parquet files beside the table's folder, so that no orphan removal looks at them. The
table property `lakehouse.ledger` names the newest one; its Parquet metadata lists the older ones that still count. The
property changes in the very commit that changes the data, which makes the ledger atomic with the rows. Files are
merged by size like a log-structured merge tree: a commit writes few bytes and a reader opens few files. What records are
found by stands in columns of its own, so that only those that are asked for are decoded.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO

from lakehouse.errors import CatalogError

_T = TypeVar("_T")

LAYOUT_VERSION = 1
"""Version of the tables' and the ledger's layout; code that meets a higher one must not write."""

POINTER = "lakehouse.ledger"
VERSION = "lakehouse.version"
SMALL_FILE = 64
"""Records up to which every commit writes the newest file anew, instead of another file that readers must open."""
PAYLOAD_GROUP = 2048
"""Records whose payloads are decoded together when that of one is asked for."""
TRAIL_CHARACTERS, TRAIL_CHECKPOINTS = 8, 12
"""Characters of each checkpoint that say which records are worth decoding, and checkpoints: up to 64 KiB of the input."""
LOAD_REPORTS = "load_reports"
"""Table that tells SQL engines of the loads in all ledgers."""
LOADS_KEPT = 10_000
"""Load records kept, one a commit; older ones are dropped."""

_INDEX = {
    "kind": pl.String(), "id": pl.String(), "sequence": pl.Int64(), "gone": pl.Boolean(),
    "site": pl.String(), "length": pl.Int64(), "digest": pl.String(), "trail": pl.String(),
}  # fmt: skip
_COLUMNS = {**_INDEX, "payload": pl.String()}


class Beginning(NamedTuple):
    """What an input is found by, without decoding its record: see `InputRecord`, and `trail_of` for the trail."""

    id: str
    site: str
    length: int
    digest: str
    trail: str


def trail_of(checkpoints: Sequence[str]) -> str:
    """The first checkpoints in few characters: the trail of an input's beginning is how the trail of the input begins."""
    return "".join(checkpoint[:TRAIL_CHARACTERS] for checkpoint in checkpoints[:TRAIL_CHECKPOINTS])


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
        line_ends: hex of the first 4 bytes of the SHA-256 up to the ends of the first lines; none in older records.
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
    line_ends: tuple[str, ...] = ()

    @property
    def beginning(self) -> Beginning:
        """What it is found by."""
        return Beginning(self.id, self.site, self.length, self.digest, trail_of(self.checkpoints))


@dataclass(frozen=True)
class LoadRecord:
    """One commit by this package: its report, and the days whose rows it changed.

    Args:
        id: load id; also the folder of its data files.
        kind: load, unload, fence (an abandoned load that may never commit any more) or compact.
        at: ISO time of the commit, UTC.
        days: days whose rows changed.
        inputs: ids of the inputs that were added, grown or taken out.
        rows_by_site: rows added, by site.
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
    rows_by_site: Mapping[str, int] = field(default_factory=dict)


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


class _File:
    """One file of the ledger, whole in memory, since a clean-up may delete it; its payloads are decoded when asked for.

    Without threads: one of Arrow's that lets go of these bytes when Python is ending already would abort the process.

    Args:
        path: where it lies.
        content: its bytes.

    Raises:
        CatalogError: its layout is newer than this code.
    """

    def __init__(self, path: str, content: bytes):
        self.path = path
        self._parquet = pq.ParquetFile(pa.BufferReader(content))
        self.metadata = {key.decode(): value.decode() for key, value in (self._parquet.schema_arrow.metadata or {}).items()}
        check_version(self.metadata, path)
        self.count: int = self._parquet.metadata.num_rows
        self._payloads: dict[int, pa.ChunkedArray] = {}

    @cached_property
    def index(self) -> pl.DataFrame:
        """All columns but the payloads."""
        return self._frame([*_INDEX])

    def records(self) -> pl.DataFrame:
        """All columns."""
        return self._frame([*_COLUMNS])

    def _frame(self, columns: list[str]) -> pl.DataFrame:
        return pl.DataFrame(pl.from_arrow(self._parquet.read(columns=columns, use_threads=False)))

    def payload(self, row: int) -> str:
        """The payload of one record."""
        group, offset = divmod(row, PAYLOAD_GROUP)
        if group not in self._payloads:
            self._payloads[group] = self._parquet.read_row_group(group, ["payload"], use_threads=False)["payload"]
        return str(self._payloads[group][offset].as_py())


class _Records(Mapping[str, _T]):
    """Records of one kind by id, decoded when they are asked for: most of a long ledger's records never are.

    Args:
        index: where they are, and what they are found by.
        files: the ledger's.
        decode: a record from its sequence and its payload.
    """

    def __init__(self, index: pl.DataFrame, files: tuple[_File, ...], decode: Callable[[int, dict[str, Any]], _T]):
        self.index = index
        self._files = files
        self._decode = decode
        self._decoded: dict[str, _T] = {}

    @cached_property
    def _places(self) -> dict[str, int]:
        return {record_id: place for place, record_id in enumerate(self.index["id"].to_list())}

    def __getitem__(self, record_id: str) -> _T:
        if record_id not in self._decoded:
            place = self._places[record_id]
            payload = self._files[self.index["file"][place]].payload(self.index["row"][place])
            self._decoded[record_id] = self._decode(self.index["sequence"][place], _tuples(json.loads(payload)))
        return self._decoded[record_id]

    def __contains__(self, record_id: object) -> bool:
        return record_id in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return self.index.height

    def not_in(self, other: "_Records[_T]") -> list[_T]:
        """Records that another version of the ledger does not have, or has with other bytes or from another commit."""
        found = self.index.join(other.index, on=["sequence", *Beginning._fields], how="anti")
        return [self[record_id] for record_id in found["id"]]


class Ledger:
    """The ledger as one table version sees it.

    Args:
        root: its folder.
        io: reads and writes its files.
        files: it consists of, oldest first.
    """

    def __init__(self, root: str, io: FileIO, files: tuple[_File, ...] = ()):
        self.root = root
        self.sequence = int(files[-1].metadata["lakehouse.sequence"]) if files else 0
        self._io = io
        self._files = files

    @cached_property
    def _index(self) -> pl.DataFrame:
        """The last word on every record that there is, with the file and the row where it stands."""
        indexes = [
            file.index.with_row_index("row").with_columns(pl.lit(number, pl.Int64).alias("file"))
            for number, file in enumerate(self._files)
        ]
        empty = pl.DataFrame(schema={"row": pl.UInt32(), **_INDEX, "file": pl.Int64()})
        return _last_words(pl.concat([empty, *indexes]), self.sequence).filter(~pl.col("gone"))

    def _records(self, kind: str, decode: Callable[[int, dict[str, Any]], _T]) -> _Records[_T]:
        return _Records(self._index.filter(pl.col("kind") == kind), self._files, decode)

    @cached_property
    def inputs(self) -> _Records[InputRecord]:
        """By id, in the order in which they were last changed."""
        return self._records("input", lambda _, values: InputRecord(**values))

    @cached_property
    def loads(self) -> _Records[tuple[int, LoadRecord]]:
        """With the sequence of each, by id, in their order."""
        return self._records("load", lambda sequence, values: (sequence, LoadRecord(**values)))

    @cached_property
    def expired(self) -> _Records[ExpiredRecord]:
        """By manifest list."""
        return self._records("expired", lambda _, values: ExpiredRecord(**values))

    @property
    def oldest_load_sequence(self) -> int:
        """Sequence of the oldest load record that is kept, 0 when nothing was dropped yet."""
        return max(0, self.sequence - LOADS_KEPT + 1) if self.sequence >= LOADS_KEPT else 0

    def load_by_id(self, load_id: str) -> LoadRecord | None:
        """The record of a load or fence, or None when it never committed."""
        found = self.loads.get(load_id)
        return found[1] if found else None

    def days_changed_since(self, sequence: int) -> set[date]:
        """Days whose rows changed in commits after `sequence`."""
        later = self.loads.index.filter(pl.col("sequence") > sequence)["id"]
        return {date.fromisoformat(day) for load_id in later for day in self.loads[load_id][1].days}

    def write(self, changes: Changes, token: str) -> str:
        """Write the file that a commit will point at.

        Args:
            changes: of this commit.
            token: unique to this attempt; part of the file's name.

        Returns:
            Its path, the new value of the property `lakehouse.ledger`.
        """
        sequence = self.sequence + 1
        records = pl.DataFrame(list(_rows_of(changes, sequence)), schema=_COLUMNS, orient="row")
        files = list(self._files)
        while files and files[-1].count <= max(SMALL_FILE, records.height):
            records = _last_words(pl.concat([files.pop().records(), records]), sequence)
        if not files:  # nothing older is left that could hold what is gone
            records = records.filter(~pl.col("gone"))
        path = f"{self.root}/{sequence:010d}-{token}.parquet"
        metadata = {
            "lakehouse.version": str(LAYOUT_VERSION),
            "lakehouse.sequence": str(sequence),
            "lakehouse.older": json.dumps([_name(file.path) for file in files]),
        }
        table = records.to_arrow(compat_level=pl.CompatLevel.oldest()).replace_schema_metadata(metadata)
        with self._io.new_output(path).create(overwrite=True) as stream:
            pq.write_table(
                table, stream, PAYLOAD_GROUP, compression="zstd", use_dictionary=["kind", "site"], write_statistics=False
            )
        return path

    def file_paths(self) -> tuple[str, ...]:
        """Paths of the files that this version of the ledger consists of."""
        return tuple(file.path for file in self._files)

    def file(self, path: str) -> _File | None:
        """One of these files, if it is one."""
        return next((file for file in self._files if file.path == path), None)


def ledger_root(table_location: str) -> str:
    """Folder of a table's ledger: beside the table's folder, never in it."""
    parent, _, name = table_location.rstrip("/").rpartition("/")
    return f"{parent}/_lakehouse/{name}"


def pointed_sequence(properties: Mapping[str, str]) -> int:
    """Sequence of the ledger that a version of a table points at, -1 for none: its file is not read."""
    pointer = properties.get(POINTER)
    return int(_name(pointer).partition("-")[0]) if pointer else -1


def read_ledger(io: FileIO, location: str, properties: Mapping[str, str], known: Ledger | None = None) -> Ledger:
    """Read the ledger that a version of a table points at.

    Args:
        location: the table's location.
        properties: the table's properties.
        known: a ledger of an earlier version of the same table, whose files need not be read again.

    Raises:
        CatalogError: the layout is newer than this code.
    """
    check_version(properties, location)
    root = ledger_root(location)
    pointer = properties.get(POINTER)
    if pointer is None:
        return Ledger(root, io)
    if known is not None and known.file_paths()[-1:] == (pointer,):
        return known

    def read(path: str) -> _File:
        return (known.file(path) if known else None) or _read_file(io, path)

    newest = read(pointer)
    older = (read(f"{root}/{name}") for name in json.loads(newest.metadata["lakehouse.older"]))
    return Ledger(root, io, (*older, newest))


def check_version(properties: Mapping[str, str], place: str) -> None:
    """Refuse what a newer version has written; raises CatalogError, which names the place."""
    version = properties.get(VERSION, str(LAYOUT_VERSION))
    if not version.isdigit() or int(version) > LAYOUT_VERSION:
        raise CatalogError(
            f"{place}: its layout is version {version}, this lakehouse knows {LAYOUT_VERSION}, and neither reads nor writes it: "
            "upgrade the lakehouse package"
        )


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _rows_of(changes: Changes, sequence: int) -> Iterable[tuple[Any, ...]]:
    nothing = (None,) * (len(Beginning._fields) - 1)
    for input_id in changes.drop_inputs:
        yield "input", input_id, sequence, True, *nothing, None
    for expired_id in changes.forget_expired:
        yield "expired", expired_id, sequence, True, *nothing, None
    for record in changes.put_inputs:
        yield "input", record.id, sequence, False, *record.beginning[1:], json.dumps(asdict(record))
    for expired in changes.expired:
        yield "expired", expired.id, sequence, False, *nothing, json.dumps(asdict(expired))
    yield "load", changes.load.id, sequence, False, *nothing, json.dumps(asdict(changes.load))


def _last_words(records: pl.DataFrame, sequence: int) -> pl.DataFrame:
    """Of records in the order in which they were written the last one of each, without loads that are too old at `sequence`."""
    kept = (pl.col("kind") != "load") | (pl.col("sequence") > sequence - LOADS_KEPT)
    return records.filter(kept).unique(["kind", "id"], keep="last", maintain_order=True)


def _read_file(io: FileIO, path: str) -> _File:
    with io.new_input(path).open() as stream:
        return _File(path, stream.read())


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
