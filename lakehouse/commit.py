"""The only code that commits to Iceberg: one snapshot, conditional on the snapshot that was looked at.

pyiceberg's transactions retry by appending blindly on top of what another writer did, hold every data file in memory and
copy the metadata dozens of times. Here a commit is built from pyiceberg's own parts - manifests, a manifest list, updates
and requirements - and handed to the catalog once. Format: Iceberg table specification v2, https://iceberg.apache.org/spec/.
"""

import secrets
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count
from typing import Any, Final

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import (
    DataFile,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriter,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.update import (
    AddSnapshotUpdate,
    AssertRefSnapshotId,
    AssertTableUUID,
    RemoveSnapshotsUpdate,
    SetPropertiesUpdate,
    SetSnapshotRefUpdate,
    TableUpdate,
)
from pyiceberg.typedef import Record

from lakehouse.catalog import explain_catalog_error
from lakehouse.errors import CommitConflictError
from lakehouse.manifests import live_entries, manifests

FORMAT_VERSION: Final = 2
COMMIT_NAME = "lakehouse.commit"
MANIFEST_ENTRIES = 1000
"""Data files listed in one manifest that a load writes."""
SMALL_MANIFEST = 256
MERGE_SMALL_MANIFESTS = 16
"""When this many manifests with fewer than SMALL_MANIFEST files have gathered, they become one."""
SNAPSHOTS_KEPT = 20
"""Snapshots kept for readers and for going back; a commit gets slower with each (0.8 to 1 ms)."""


OWN_FILE = r"/data/[0-9]{8}T[0-9]{6}-[0-9a-f]{12}/[0-9]{5,}\.parquet"
"""Pattern of the paths of data files that this package writes, behind the table's location."""
EPOCH = date(1970, 1, 1)


class CommitRaceError(CommitConflictError):
    """Another writer committed after the table was looked at: look again and decide anew."""


class CommitAnswerLostError(CommitConflictError):
    """The catalog was asked and neither agreed nor refused: whether it committed must be looked up by load id."""


@dataclass
class StagedFiles:
    """Data files written for one load, listed in manifests as they are finished so that memory stays bounded.

    Args:
        table: the table, at any version: only schema, partition and location are used.
        load_id: names the files.
        snapshot_id: of the snapshot that will add them; Iceberg wants it in the manifest.
    """

    table: Table
    load_id: str
    snapshot_id: int = field(default_factory=lambda: secrets.randbelow(2**62) + 1)
    files: int = 0
    rows: int = 0
    size: int = 0
    days: set[str] = field(default_factory=set)
    _manifests: list[ManifestFile] = field(default_factory=list)
    _pending: list[DataFile] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def folder(self) -> str:
        """Where this load's data files lie: a folder of its own, so that left-overs are known by their load."""
        return f"{self.table.location().rstrip('/')}/data/{self.load_id}"

    def next_path(self) -> str:
        """A path for one more data file."""
        return f"{self.folder}/{next(self._numbers):05d}.parquet"

    def add(self, data_file: DataFile, day: date) -> None:
        """List a finished data file, with the first day of its partition."""
        self._pending.append(data_file)
        self.files += 1
        self.rows += data_file.record_count
        self.size += data_file.file_size_in_bytes
        self.days.add(day.isoformat())
        if len(self._pending) >= MANIFEST_ENTRIES:
            self._flush()

    def manifests(self) -> list[ManifestFile]:
        """Manifests of all files added so far, to be listed by one attempt: listing them numbers them."""
        if self._pending:
            self._flush()
        return deepcopy(self._manifests)

    def _flush(self) -> None:
        entries = (
            ManifestEntry.from_args(
                status=ManifestEntryStatus.ADDED,
                snapshot_id=self.snapshot_id,
                sequence_number=None,
                file_sequence_number=None,
                data_file=data_file,
            )
            for data_file in self._pending
        )
        path = f"{self.table.location().rstrip('/')}/metadata/{self.load_id}-a{len(self._manifests)}.avro"
        self._manifests.append(_write_manifest(self.table, path, self.snapshot_id, entries))
        self._pending = []


def data_file(path: str, size: int, rows: int, partition: tuple[Any, ...], bounds: Mapping[int, tuple[bytes, bytes]]) -> DataFile:
    """Describe a Parquet file for a manifest.

    Args:
        path: where it lies.
        size: bytes; rows: records.
        partition: as Iceberg keeps it: days or months since 1970, and what else the table is partitioned by.
        bounds: field id -> lower and upper bound in Iceberg's single-value serialization.
    """
    from pyiceberg.manifest import DataFileContent, FileFormat

    described = DataFile.from_args(
        _table_format_version=FORMAT_VERSION,
        content=DataFileContent.DATA,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=Record(*partition),
        record_count=rows,
        file_size_in_bytes=size,
        column_sizes=None,
        value_counts=None,
        null_value_counts=None,
        nan_value_counts=None,
        lower_bounds={field_id: lower for field_id, (lower, _) in bounds.items()},
        upper_bounds={field_id: upper for field_id, (_, upper) in bounds.items()},
        key_metadata=None,
        split_offsets=None,
        equality_ids=None,
        sort_order_id=None,
    )
    described.spec_id = 0
    return described


def month_number(day: date) -> int:
    """Months since 1970, by which Iceberg keeps a partition by month."""
    return (day.year - EPOCH.year) * 12 + day.month - EPOCH.month


def partition_day(data_file: DataFile) -> date:
    """The day of a file's partition, which Iceberg keeps as days since 1970, in a table by day."""
    return EPOCH + timedelta(days=data_file.partition[0])


@dataclass(frozen=True)
class Commit:
    """One snapshot to be.

    Args:
        name: unique to this attempt; part of the names of what it writes, and in the snapshot's summary.
        properties: table properties that change with it.
        snapshots_kept: newest snapshots that stay, this one among them; older ones expire.
        staged: files to add; None: none.
        deleted: paths of data files to take out, with what the table says of them.
    """

    name: str
    properties: Mapping[str, str]
    snapshots_kept: int
    staged: StagedFiles | None = None
    deleted: Mapping[str, DataFile] = field(default_factory=dict)


def expiring_snapshots(table: Table, kept: int) -> list[Snapshot]:
    """Snapshots that the next commit will expire to keep so many, itself among them: the oldest, tags and branches spared."""
    protected = {ref.snapshot_id for ref in table.metadata.refs.values()}
    ordered = sorted(table.metadata.snapshots, key=lambda snapshot: snapshot.sequence_number or 0)
    surplus = ordered[: max(0, len(ordered) + 1 - kept)]
    return [snapshot for snapshot in surplus if snapshot.snapshot_id not in protected]


def commit(table: Table, change: Commit, before_publish: Callable[[], None] | None = None) -> Table:
    """Commit one snapshot on top of exactly the version that `table` shows; returns the version that it made.

    Args:
        table: as it was looked at; not refreshed here.
        change: what to commit.
        before_publish: called when all files are written, just before the catalog is asked.

    Raises:
        CommitRaceError: another writer was faster; nothing was committed.
        CommitAnswerLostError: the catalog's client failed in any other way.
    """
    parent = table.metadata.current_snapshot()
    snapshot_id = change.staged.snapshot_id if change.staged else secrets.randbelow(2**62) + 1
    prefix = f"{table.location().rstrip('/')}/metadata/{change.name}"
    kept = list(manifests(table))
    if change.deleted:
        kept = _without(table, kept, set(change.deleted), snapshot_id, prefix)
    listed = _merge_small(table, kept, snapshot_id, prefix)
    listed = [*(change.staged.manifests() if change.staged else []), *listed]
    sequence = table.metadata.next_sequence_number()
    path = f"{prefix}-{uuid.uuid4().hex[:8]}-list.avro"
    with write_manifest_list(
        FORMAT_VERSION,
        table.io.new_output(path),
        snapshot_id,
        parent.snapshot_id if parent else None,
        sequence,
        "deflate",
    ) as writer:
        writer.add_manifests(listed)
    snapshot = Snapshot(
        snapshot_id=snapshot_id,
        parent_snapshot_id=parent.snapshot_id if parent else None,
        sequence_number=sequence,
        timestamp_ms=max(time.time_ns() // 1_000_000, (parent.timestamp_ms + 1) if parent else 0),
        manifest_list=path,
        summary=_summary(change, parent),
        schema_id=table.metadata.current_schema_id,
    )
    updates: list[TableUpdate] = [
        SetPropertiesUpdate(updates=dict(change.properties)),
        AddSnapshotUpdate(snapshot=snapshot),
        SetSnapshotRefUpdate(
            ref_name="main",
            type="branch",
            snapshot_id=snapshot_id,
            max_ref_age_ms=None,
            max_snapshot_age_ms=None,
            min_snapshots_to_keep=None,
        ),
    ]
    if expired := expiring_snapshots(table, change.snapshots_kept):
        updates.append(RemoveSnapshotsUpdate(snapshot_ids=[old.snapshot_id for old in expired]))
    if before_publish:
        before_publish()
    try:
        answer = table.catalog.commit_table(
            table,
            (
                AssertTableUUID(uuid=table.metadata.table_uuid),
                AssertRefSnapshotId(ref="main", snapshot_id=parent.snapshot_id if parent else None),
            ),
            tuple(updates),
        )
    except CommitFailedException as error:
        raise CommitRaceError(f"another writer committed to {'.'.join(table.name())} first: {error}") from error
    except Exception as error:
        raise CommitAnswerLostError(explain_catalog_error(error)) from error
    return Table(table.name(), answer.metadata, answer.metadata_location, table.io, table.catalog)


def _summary(change: Commit, parent: Snapshot | None) -> Summary:
    before = parent.summary if parent and parent.summary else None
    added = change.staged
    deleted_rows = sum(deleted.record_count for deleted in change.deleted.values())
    deleted_size = sum(deleted.file_size_in_bytes for deleted in change.deleted.values())

    def total(key: str, plus: int, minus: int) -> str:
        previous = before[key] if before is not None else None
        return str(int(previous or 0) + plus - minus)

    values = {
        COMMIT_NAME: change.name,
        "added-data-files": str(added.files if added else 0),
        "added-records": str(added.rows if added else 0),
        "added-files-size": str(added.size if added else 0),
        "deleted-data-files": str(len(change.deleted)),
        "deleted-records": str(deleted_rows),
        "removed-files-size": str(deleted_size),
        "total-data-files": total("total-data-files", added.files if added else 0, len(change.deleted)),
        "total-records": total("total-records", added.rows if added else 0, deleted_rows),
        "total-files-size": total("total-files-size", added.size if added else 0, deleted_size),
        "total-delete-files": total("total-delete-files", 0, 0),
        "total-position-deletes": total("total-position-deletes", 0, 0),
        "total-equality-deletes": total("total-equality-deletes", 0, 0),
    }
    return Summary(Operation.OVERWRITE if change.deleted else Operation.APPEND, **values)


def _write_manifest(table: Table, path: str, snapshot_id: int, entries: Iterable[ManifestEntry]) -> ManifestFile:
    with _manifest_writer(table, path, snapshot_id) as writer:
        for entry in entries:
            writer.add_entry(entry)
    return writer.to_manifest_file()


def _manifest_writer(table: Table, path: str, snapshot_id: int) -> ManifestWriter:
    return write_manifest(FORMAT_VERSION, table.spec(), table.schema(), table.io.new_output(path), snapshot_id, "deflate")


def _carried(entry: ManifestEntry, status: ManifestEntryStatus, snapshot_id: int | None) -> ManifestEntry:
    """An entry as a rewritten manifest lists it: with its own sequence numbers, which the format wants kept."""
    return ManifestEntry.from_args(
        status=status,
        snapshot_id=snapshot_id,
        sequence_number=entry.sequence_number,
        file_sequence_number=entry.file_sequence_number,
        data_file=entry.data_file,
    )


def _without(table: Table, listed: list[ManifestFile], paths: set[str], snapshot_id: int, prefix: str) -> list[ManifestFile]:
    """Rewrite the manifests that list a deleted file; raises CommitRaceError when one is not listed any more."""
    kept: list[ManifestFile] = []
    missing = set(paths)
    for manifest in listed:
        entries = live_entries(table, manifest) if missing else ()
        gone = {entry.data_file.file_path for entry in entries} & missing
        if not gone:
            kept.append(manifest)
            continue
        missing -= gone
        rewritten = (
            _carried(entry, ManifestEntryStatus.DELETED, snapshot_id)
            if entry.data_file.file_path in gone
            else _carried(entry, ManifestEntryStatus.EXISTING, entry.snapshot_id)
            for entry in entries
        )
        kept.append(_write_manifest(table, f"{prefix}-d{len(kept)}-{uuid.uuid4().hex[:8]}.avro", snapshot_id, rewritten))
    if missing:
        raise CommitRaceError(f"{len(missing)} data files of {'.'.join(table.name())} were rewritten by another writer")
    return kept


def _merge_small(table: Table, listed: list[ManifestFile], snapshot_id: int, prefix: str) -> list[ManifestFile]:
    """Merge small manifests when enough have gathered, so that neither a commit nor a query opens ever more of them."""

    def live(manifest: ManifestFile) -> int:
        return (manifest.added_files_count or 0) + (manifest.existing_files_count or 0)

    # A manifest without live files only tells what its own snapshot deleted; later snapshots need not carry it.
    listed = [manifest for manifest in listed if live(manifest) or manifest.added_snapshot_id == snapshot_id]
    small = [
        manifest
        for manifest in listed
        if manifest.content == ManifestContent.DATA
        and manifest.partition_spec_id == table.spec().spec_id
        and live(manifest) < SMALL_MANIFEST
        and manifest.added_snapshot_id != snapshot_id
    ]
    if len(small) < MERGE_SMALL_MANIFESTS:
        return listed
    entries = (
        _carried(entry, ManifestEntryStatus.EXISTING, entry.snapshot_id)
        for manifest in small
        for entry in live_entries(table, manifest)
    )
    merged = _write_manifest(table, f"{prefix}-m-{uuid.uuid4().hex[:8]}.avro", snapshot_id, entries)
    small_paths = {manifest.manifest_path for manifest in small}
    return [merged, *(manifest for manifest in listed if manifest.manifest_path not in small_paths)]
