"""Manifests of a table's version and their entries: they never change once they are written, so a process reads each once."""

from collections.abc import Sized
from threading import RLock

from cachetools import LRUCache, cached
from pyiceberg.manifest import ManifestEntry, ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

KEPT = 4096
"""Manifests, and entries of manifests, that are kept in memory; what is larger is read each time."""


def _size(found: Sized) -> int:
    return len(found) + 1  # what lists nothing takes room, too


def manifests(table: Table) -> tuple[ManifestFile, ...]:
    """Those that the current snapshot lists."""
    snapshot = table.metadata.current_snapshot()
    return _listed(table, snapshot) if snapshot else ()


@cached(LRUCache(KEPT, _size), key=lambda _, snapshot: snapshot.manifest_list, lock=RLock())
def _listed(table: Table, snapshot: Snapshot) -> tuple[ManifestFile, ...]:
    return tuple(snapshot.manifests(table.io))


@cached(LRUCache(KEPT, _size), key=lambda _, manifest: manifest.manifest_path, lock=RLock())
def live_entries(table: Table, manifest: ManifestFile) -> tuple[ManifestEntry, ...]:
    """Entries of a manifest but for those that tell of deleted files."""
    return tuple(manifest.fetch_manifest_entry(table.io, discard_deleted=True))
