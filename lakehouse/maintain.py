"""Clean up: files of loads that were killed, files that only expired snapshots reached, superseded ledger files."""

import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, filterfalse

from pyiceberg.catalog import Catalog
from pyiceberg.manifest import ManifestContent, ManifestFile, read_manifest_list
from pyiceberg.table import Table

import lakehouse
from lakehouse.catalog import find_table, open_catalog
from lakehouse.commit import SNAPSHOTS_KEPT, CommitAnswerLostError, CommitRaceError
from lakehouse.current import publish_current, publish_dataset
from lakehouse.datasets.base import Dataset
from lakehouse.derived import ledger_of
from lakehouse.errors import CatalogError
from lakehouse.intents import Intent, Intents, discard_load
from lakehouse.ledger import LOAD_REPORTS, Changes, Ledger, LoadRecord, ledger_root
from lakehouse.ledger_commit import attempts, commit_with_ledger
from lakehouse.live import own_file
from lakehouse.observer import Count, count_silently
from lakehouse.settings import Settings
from lakehouse.storage import TEMPORARY, Store, storage_errors

_LOAD_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{12}")
_METADATA = re.compile(r"(\d+)-[0-9a-f-]+(?:\.gz)?\.metadata\.json$")

GRACE = timedelta(hours=24)
"""How long a load may be silent, and a query may still read an old snapshot, before what only they need is deleted."""


@dataclass(frozen=True)
class Cleaned:
    """What a clean-up did: killed loads given up, snapshots whose files went, files deleted."""

    loads: tuple[str, ...] = ()
    snapshots: int = 0
    files: int = 0


def clean_up(settings: Settings, dataset: Dataset, older_than: timedelta = GRACE, count: Count = count_silently) -> Cleaned:
    """Delete what is known to be left over in a dataset's table and its rollups.

    Args:
        settings: in force.
        dataset: whose tables.
        older_than: younger left-overs stay: they may belong to a load or a query that is under way. A load that is
            given up all the same notices it and fails cleanly.
        count: is told of the tables that are done.

    Raises:
        StorageError, CatalogError, CommitConflictError.
    """
    catalog = open_catalog(settings)
    publish_dataset(catalog, settings, dataset)
    names = (dataset.name, *(rollup.name for rollup in dataset.rollups), LOAD_REPORTS)
    done: list[Cleaned] = []
    for name in names:
        done.append(_clean_up_table(catalog, settings, name, older_than))
        count(name, len(done), len(names))
    return Cleaned(
        tuple(load for cleaned in done for load in cleaned.loads),
        sum(cleaned.snapshots for cleaned in done),
        sum(cleaned.files for cleaned in done),
    )


def _clean_up_table(catalog: Catalog, settings: Settings, name: str, older_than: timedelta) -> Cleaned:
    table = find_table(catalog, settings, name)
    if table is None:
        return Cleaned()
    store = Store(settings)
    publish_current(store, table)  # first: it may still name a metadata file that is superseded and about to be deleted
    intents = Intents(store, ledger_root(table.location()))
    limit = datetime.now(UTC) - older_than
    given_up: list[str] = []
    files = 0
    for intent in list(intents.all()):
        if _last_sign_of_life(store, intent) <= limit:
            deleted = _give_up(settings, store, intents, table, intent)
            if deleted is not None:
                given_up.append(intent.load_id)
                files += deleted
    snapshots, expired_files = _delete_expired(settings, store, table, limit)
    files += expired_files + _delete_unreferenced(store, table, datetime.now(UTC) - older_than)
    return Cleaned(tuple(given_up), snapshots, files)


def _last_sign_of_life(store: Store, intent: Intent) -> datetime:
    written = max((stored.modified for stored in store.files(intent.folder)), default=0.0)
    return max(datetime.fromisoformat(intent.begun), datetime.fromtimestamp(written, UTC))


def _give_up(settings: Settings, store: Store, intents: Intents, table: Table, intent: Intent) -> int | None:
    """Fence a load and delete its files; None when it has committed and only its intent was left."""
    for attempt in attempts(settings, CommitRaceError):
        with attempt:
            table.refresh()
            ledger = ledger_of(table)
            record = ledger.load_by_id(intent.load_id)
            if record is None and _has_committed(table, ledger, intent):
                record = LoadRecord(intent.load_id, "load", "")
            if record is not None and record.kind != "fence":
                intents.withdraw(intent.load_id)
                return None
            if record is None:
                _commit(store, table, ledger, Changes(_note(intent.load_id, "fence")))
    return discard_load(store, intents, table, intent.load_id)


def _has_committed(table: Table, ledger: Ledger, intent: Intent) -> bool:
    """Whether anything that counts was written by the load: the ledger forgets loads in time, the table never."""
    paths = chain(_referenced(table, ledger), _data_paths(table, _manifests(table)))
    return any(intent.load_id in path for path in paths)


def _delete_expired(settings: Settings, store: Store, table: Table, limit: datetime) -> tuple[int, int]:
    """Delete what only snapshots reached that were expired before `limit`."""
    for attempt in attempts(settings, CommitRaceError):
        with attempt:
            table.refresh()
            ledger = ledger_of(table)
            due = [record for record in ledger.expired.values() if datetime.fromisoformat(record.at) <= limit]
            if not due:
                return 0, 0
            with storage_errors("deleting files of expired snapshots"):
                paths = _unreachable(table, [record.id for record in due])
                is_own = own_file(table).fullmatch
                # What other engines wrote lies in folders that they share.
                deleted = store.delete(filter(is_own, paths), with_folders=True)
                deleted += store.delete(filterfalse(is_own, paths))
            _commit(
                store,
                table,
                ledger,
                Changes(_note(secrets.token_hex(8), "clean-up"), forget_expired=tuple(record.id for record in due)),
            )
    return len(due), deleted


def _unreachable(table: Table, lists: list[str]) -> list[str]:
    """Data files, manifests and manifest lists that the given expired snapshots reached and no kept one reaches."""
    kept = {manifest.manifest_path for manifest in _manifests(table)}
    gone: dict[str, ManifestFile] = {}
    for path in lists:
        for manifest in _listed(table, path):
            if manifest.manifest_path not in kept:
                gone[manifest.manifest_path] = manifest
    data = set(_data_paths(table, gone.values(), discard_deleted=False)) - set(_data_paths(table, _manifests(table)))
    return [*sorted(data), *sorted(gone), *lists]


def _listed(table: Table, manifest_list: str) -> list[ManifestFile]:
    try:
        return list(read_manifest_list(table.io.new_input(manifest_list)))
    except FileNotFoundError:
        return []  # an earlier clean-up was killed after it deleted the list, which it does last


def _manifests(table: Table) -> list[ManifestFile]:
    """Manifests that any kept snapshot reaches."""
    found = {
        manifest.manifest_path: manifest for snapshot in table.metadata.snapshots for manifest in snapshot.manifests(table.io)
    }
    return list(found.values())


def _data_paths(table: Table, manifests: Iterable[ManifestFile], discard_deleted: bool = True) -> Iterable[str]:
    for manifest in manifests:
        if manifest.content == ManifestContent.DATA:
            try:
                for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=discard_deleted):
                    yield entry.data_file.file_path
            except FileNotFoundError:
                continue


def _delete_unreferenced(store: Store, table: Table, limit: datetime) -> int:
    """Delete metadata, ledger and reject files of this package that nothing refers to, or will.

    Looked at in this order - files, intents, table - a file whose load has no intent belongs to a load that is over, and
    if it was committed, the table says so. Data files need no such look: they go with their load or their snapshots.
    """
    location, root = table.location().rstrip("/"), ledger_root(table.location())
    files = [stored for folder in (f"{location}/metadata", root) for stored in store.files(folder)]
    under_way = {intent.load_id for intent in Intents(store, root).all()}
    table.refresh()
    ledger = ledger_of(table)
    needed = {_path(path) for path in _referenced(table, ledger)}
    version = _version(table.metadata_location)

    def is_over(name: str) -> bool:
        if match := _METADATA.match(name):
            return int(match[1]) <= version  # a commit that would make it current can only fail
        match = _LOAD_ID.search(name)
        return name.endswith(TEMPORARY) or (match is not None and match[0] not in under_way)

    with storage_errors("deleting superseded files"):
        return store.delete(
            [
                stored.path
                for stored in files
                if stored.modified <= limit.timestamp()
                and (not stored.path.endswith(".json") or "/intents/" not in stored.path)
                and _path(stored.path) not in needed
                and is_over(stored.path.rpartition("/")[2])
            ]
        )


def _referenced(table: Table, ledger: Ledger) -> Iterator[str]:
    """Metadata, ledger and reject files that the table needs, or needs to clean up after snapshots that it has expired."""
    yield table.metadata_location
    yield from (entry.metadata_file for entry in table.metadata.metadata_log)
    yield from (snapshot.manifest_list for snapshot in table.metadata.snapshots)
    yield from (manifest.manifest_path for manifest in _manifests(table))
    for expired in ledger.expired:
        yield expired
        yield from (manifest.manifest_path for manifest in _listed(table, expired))
    yield from ledger.file_paths()
    yield from (path for record in ledger.inputs.values() for path in record.reject_files)


def _version(metadata_location: str) -> int:
    match = _METADATA.match(metadata_location.rpartition("/")[2])
    return int(match[1]) if match else -1


def _path(location: str) -> str:
    """A location without its scheme, which not all that write locations agree about."""
    return location.partition("://")[2] or location


def _note(load_id: str, kind: str) -> LoadRecord:
    return LoadRecord(load_id, kind, datetime.now(UTC).isoformat(timespec="seconds"), code_version=lakehouse.__version__)


def _commit(store: Store, table: Table, ledger: Ledger, changes: Changes) -> None:
    """Commit a note, under an intent of its own, so that another clean-up knows its files."""
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(6)}"
    intents = Intents(store, ledger_root(table.location()))
    with storage_errors("writing the ledger"):
        intents.declare(name, f"{table.location().rstrip('/')}/data/{name}")
    try:
        committed = commit_with_ledger(store, table, ledger, changes, name, snapshots_kept=SNAPSHOTS_KEPT)
    except CommitAnswerLostError as error:
        # Its files stay until it is known whether they count.
        raise CatalogError(f"the catalog did not answer a clean-up ({error}): run it again") from error
    except CommitRaceError:
        discard_load(store, intents, table, name)
        raise
    intents.withdraw(name)
    publish_current(store, committed)
