"""How much of a table each site has, brought up to date from what the newest commit changed."""

import json
from dataclasses import dataclass, field
from typing import Self

from pyiceberg.manifest import DataFile, ManifestContent, ManifestEntryStatus
from pyiceberg.table import Table

from lakehouse.live import live_files
from lakehouse.manifests import manifests

_SITE = 1
"""Place of the site in the partition of a dataset's table."""


@dataclass
class TableSizes:
    """Rows, data files and their bytes by site.

    Args:
        snapshot_id: of the version that they are told of; None of a table without one.
        by_site: the three numbers of each site that has files.
    """

    snapshot_id: int | None = None
    by_site: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Table, before: Self | None) -> Self:
        """The sizes of a table's version, from its manifests: those that its commit wrote, or else all.

        Args:
            table: at the version that is meant.
            before: what is known of an older version.
        """
        snapshot = table.metadata.current_snapshot()
        if snapshot is None:
            return cls()
        if before is not None and before.snapshot_id == snapshot.snapshot_id:
            return before
        sizes = cls(snapshot.snapshot_id)
        if before is not None and before.snapshot_id == snapshot.parent_snapshot_id:
            sizes.by_site = {site: list(numbers) for site, numbers in before.by_site.items()}
            sizes._apply_commit(table, snapshot.snapshot_id)
        else:  # commits of other programs, or of several loads at once
            for data_file in live_files(table, lambda _: True):
                sizes._count(data_file, 1)
        return sizes

    def _apply_commit(self, table: Table, snapshot_id: int) -> None:
        for manifest in manifests(table):
            if manifest.content != ManifestContent.DATA or manifest.added_snapshot_id != snapshot_id:
                continue
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False):
                if entry.snapshot_id == snapshot_id and entry.status != ManifestEntryStatus.EXISTING:
                    self._count(entry.data_file, -1 if entry.status == ManifestEntryStatus.DELETED else 1)

    def _count(self, data_file: DataFile, sign: int) -> None:
        site = str(data_file.partition[_SITE])
        numbers = self.by_site.setdefault(site, [0, 0, 0])
        for place, number in enumerate((data_file.record_count, 1, data_file.file_size_in_bytes)):
            numbers[place] += sign * number
        if numbers[1] == 0:
            del self.by_site[site]

    def encoded(self) -> str:
        """As text, for a table property."""
        return json.dumps([self.snapshot_id, self.by_site])

    @classmethod
    def decoded(cls, text: str) -> Self:
        """What `encoded` gave."""
        return cls(*json.loads(text))
