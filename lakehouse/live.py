"""What a version of a table holds, told from its manifests alone: no data file is opened."""

import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import date, timedelta

from pyiceberg.manifest import DataFile, ManifestContent, ManifestFile
from pyiceberg.table import Table

from lakehouse.commit import EPOCH, OWN_FILE, partition_day
from lakehouse.manifests import live_entries, manifests


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
            for entry in live_entries(table, manifest):
                if wanted(entry.data_file):
                    yield entry.data_file


def manifest_of_days(days: Collection[date]) -> Callable[[ManifestFile], bool]:
    """Tells of a manifest of a table by day whether it can list files of these days, by the bounds that its list gives."""
    return manifest_of_partitions([(day - EPOCH).days for day in days])


def manifest_of_partitions(first_values: Iterable[int]) -> Callable[[ManifestFile], bool]:
    """The same of partitions, by the number that each begins with."""
    numbers = sorted(first_values)

    def may_hold(manifest: ManifestFile) -> bool:
        bounds = _bounds(manifest)
        if bounds is None:
            return bool(numbers)
        first = bisect_left(numbers, bounds[0])
        return first < len(numbers) and numbers[first] <= bounds[1]

    return may_hold


def newest_files(table: Table, count: int) -> dict[date, list[DataFile]] | None:
    """Data files of the newest `count` days that have rows; opens the manifests that can list files of these days only.

    Returns:
        Files by day, the days in ascending order; None when manifests cannot tell: another program has deleted single rows, or
        has changed how the table is partitioned.
    """
    listed = manifests(table)
    if any(manifest.content != ManifestContent.DATA or manifest.partition_spec_id != 0 for manifest in listed):
        return None
    ranges = [(_bounds(manifest), manifest) for manifest in listed]
    last = [(EPOCH + timedelta(days=bounds[1]) if bounds else date.max, manifest) for bounds, manifest in ranges]
    found: dict[date, list[DataFile]] = {}
    for newest, manifest in sorted(last, key=lambda item: item[0], reverse=True):
        if len(found) == count and newest < min(found):
            break
        for entry in live_entries(table, manifest):
            if entry.data_file.record_count:
                found.setdefault(partition_day(entry.data_file), []).append(entry.data_file)
        found = dict(sorted(found.items())[-count:])
    return found


def are_own(table: Table, files: Iterable[DataFile]) -> bool:
    """Whether this package wrote all these files, and no other program has deleted single rows of any."""
    if any(manifest.content != ManifestContent.DATA for manifest in manifests(table)):
        return False
    own = own_file(table)
    return all(own.fullmatch(found.file_path) for found in files)


def own_file(table: Table) -> re.Pattern[str]:
    """Matches the path of a data file that this package wrote, which lies in a folder of its load."""
    return re.compile(re.escape(table.location().rstrip("/")) + OWN_FILE)


def _bounds(manifest: ManifestFile) -> tuple[int, int] | None:
    """First and last partition, in days or months since 1970, of the files that a manifest lists."""
    bounds = manifest.partitions[0] if manifest.partitions else None
    if bounds is None or bounds.lower_bound is None or bounds.upper_bound is None:
        return None
    return int.from_bytes(bounds.lower_bound, "little", signed=True), int.from_bytes(bounds.upper_bound, "little", signed=True)
