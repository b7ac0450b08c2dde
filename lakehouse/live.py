"""What a version of a table holds, told from its manifests alone: no data file is opened."""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator
from datetime import date, timedelta

from pyiceberg.manifest import DataFile, ManifestContent, ManifestFile
from pyiceberg.table import Table

from lakehouse.commit import EPOCH, partition_day


def live_files(
    table: Table, wanted: Callable[[DataFile], bool], manifest_wanted: Callable[[ManifestFile], bool] | None = None
) -> Iterator[DataFile]:
    """Data files of the current snapshot that a predicate picks, held in memory for one manifest at a time.

    Args:
        table: at the version that is meant.
        wanted: the predicate.
        manifest_wanted: whether a manifest can hold any such file; others are not opened.
    """
    for manifest in manifests(table):
        if manifest.content == ManifestContent.DATA and (manifest_wanted is None or manifest_wanted(manifest)):
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                if wanted(entry.data_file):
                    yield entry.data_file


def manifest_of_days(days: Collection[date]) -> Callable[[ManifestFile], bool]:
    """Tells of a manifest whether it can list files of these days, by the bounds that its list gives."""
    numbers = sorted((day - EPOCH).days for day in days)

    def may_hold(manifest: ManifestFile) -> bool:
        bounds = _bounds(manifest)
        if bounds is None:
            return bool(numbers)
        first = bisect_left(numbers, bounds[0])
        return first < len(numbers) and numbers[first] <= bounds[1]

    return may_hold


def newest_days(table: Table, count: int) -> list[date] | None:
    """The newest `count` days that have rows; opens the manifests that can list files of these days only.

    Returns:
        Days in ascending order; None when manifests cannot tell: another program has deleted single rows, or has
        changed how the table is partitioned.
    """
    listed = manifests(table)
    if any(manifest.content != ManifestContent.DATA or manifest.partition_spec_id != 0 for manifest in listed):
        return None
    ranges = [(_bounds(manifest), manifest) for manifest in listed]
    last = [(EPOCH + timedelta(days=bounds[1]) if bounds else date.max, manifest) for bounds, manifest in ranges]
    days: list[date] = []
    for newest, manifest in sorted(last, key=lambda item: item[0], reverse=True):
        if len(days) == count and newest < days[0]:
            break
        entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
        found = {partition_day(entry.data_file) for entry in entries if entry.data_file.record_count}
        days = sorted(found.union(days))[-count:]
    return days


def manifests(table: Table) -> list[ManifestFile]:
    """Those that the current snapshot lists."""
    snapshot = table.metadata.current_snapshot()
    return snapshot.manifests(table.io) if snapshot else []


def _bounds(manifest: ManifestFile) -> tuple[int, int] | None:
    """First and last day, in days since 1970, of the files that a manifest lists."""
    bounds = manifest.partitions[0] if manifest.partitions else None
    if bounds is None or bounds.lower_bound is None or bounds.upper_bound is None:
        return None
    return int.from_bytes(bounds.lower_bound, "little", signed=True), int.from_bytes(bounds.upper_bound, "little", signed=True)
