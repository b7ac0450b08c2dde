"""A commit together with its entry in the ledger: one atomic step for loads, removals, fences and compactions."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from lakehouse.commit import Commit, StagedFiles, commit, expiring_snapshots
from lakehouse.errors import CommitConflictError
from lakehouse.ledger import LAYOUT_VERSION, POINTER, VERSION, Changes, ExpiredRecord, Ledger
from lakehouse.settings import Settings
from lakehouse.storage import Store, storage_errors


def commit_with_ledger(
    store: Store,
    table: Table,
    ledger: Ledger,
    changes: Changes,
    attempt_name: str,
    *,
    snapshots_kept: int,
    staged: StagedFiles | None = None,
    deleted: Mapping[str, DataFile] | None = None,
    properties: Mapping[str, str] | None = None,
    before_publish: Callable[[], None] | None = None,
) -> Table:
    """Write the ledger's next file and commit it with the data files it speaks of, on top of `table` as it is.

    Args:
        store: to make the ledger's file durable before it counts.
        table, ledger: as they were looked at.
        changes: of the ledger; snapshots that this commit expires are added to them.
        attempt_name: begins with the load id and is unique to this attempt; part of the names of the files written.
        snapshots_kept: see `Commit`.
        staged, deleted: data files to add and to take out.
        properties: other table properties that change with it.
        before_publish: called when all is written, just before the catalog is asked.

    Returns:
        The version that was committed; readers without the catalog are still to be told of it.

    Raises:
        CommitRaceError, CommitAnswerLostError: see `commit`.
        StorageError: the ledger cannot be written.
    """
    at = datetime.now(UTC).isoformat(timespec="seconds")
    expired = tuple(ExpiredRecord(snapshot.manifest_list, at) for snapshot in expiring_snapshots(table, snapshots_kept))
    with storage_errors("writing the ledger"):
        pointer = ledger.write(replace(changes, expired=(*changes.expired, *expired)), attempt_name)
        store.sync([pointer])
    changed = {**(properties or {}), POINTER: pointer, VERSION: str(LAYOUT_VERSION)}
    with storage_errors("writing table metadata"):
        return commit(table, Commit(attempt_name, changed, snapshots_kept, staged, deleted or {}), before_publish)


def attempts(settings: Settings, *errors: type[CommitConflictError]) -> Retrying:
    """Looking and committing anew after these errors, for as long as the settings allow; the last one is raised."""
    return Retrying(
        retry=retry_if_exception_type(errors),
        stop=stop_after_delay(settings["commit_timeout"]),
        wait=wait_random_exponential(0.02, max=1),
        reraise=True,
    )
