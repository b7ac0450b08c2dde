"""Commit one load, exactly once: against rivals, and when the catalog's answer is lost (docs/exactly-once.md)."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Never

from pyiceberg.table import Table
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

import lakehouse
from lakehouse.commit import SNAPSHOTS_KEPT, CommitAnswerLostError, CommitRaceError, StagedFiles
from lakehouse.current import publish_current
from lakehouse.datasets.base import Dataset
from lakehouse.errors import CatalogError, CommitConflictError, CommitUnknownError, LakehouseError
from lakehouse.identity import agrees, in_scope
from lakehouse.intake import Outcome
from lakehouse.intents import Intents
from lakehouse.ledger import Changes, InputRecord, Ledger, LoadRecord
from lakehouse.ledger_commit import commit_with_ledger
from lakehouse.observer import Observer
from lakehouse.rejects import RejectWriter
from lakehouse.removal import Removed
from lakehouse.settings import Settings
from lakehouse.storage import Store, storage_errors

LOST_ANSWERS = 5
"""Commits of one load that may vanish on the way to the catalog before the load gives up."""

LOOK_UP_SECONDS = 30
"""Time in which the catalog must say whether a commit whose answer was lost is there."""


class DecideAgain(Exception):
    """A rival's commit concerns this load: what was staged is void."""


@dataclass
class Attempt:
    """One try at a group of inputs: what it looked at and what it staged.

    Args:
        load_id: of this try; names all that it writes.
        table, ledger: as they were looked at; the commit holds only as long as nothing of concern changes.
        staged: data files to add.
        outcomes: one for each input.
        removed: rows to take out, with the files that hold them.
        dropped: ids of inputs to take out.
        may_be_committed: the catalog was asked and has not said no.
        lost_answers: commits whose answer did not come and that did not arrive either.
    """

    load_id: str
    table: Table
    ledger: Ledger
    staged: StagedFiles
    outcomes: list[Outcome] = field(default_factory=list)
    removed: Removed = field(default_factory=Removed)
    dropped: set[str] = field(default_factory=set)
    may_be_committed: bool = False
    lost_answers: int = 0

    @property
    def changes(self) -> bool:
        """Whether there is something to commit."""
        return any(outcome.changes for outcome in self.outcomes) or bool(self.dropped) or bool(self.removed.files)


class LoadCommitter:
    """Commits the loads of one table.

    Args:
        settings: in force.
        dataset: whose table.
        store, intents: of the table.
        look: tells table and ledger as they are now.
        observer: is told of progress.
    """

    def __init__(
        self,
        settings: Settings,
        dataset: Dataset,
        store: Store,
        intents: Intents,
        look: Callable[[], tuple[Table, Ledger]],
        observer: Observer,
    ):
        self._settings = settings
        self._dataset = dataset
        self._store = store
        self._intents = intents
        self._look = look
        self._observer = observer
        self._sites_in_lines = any(column.name == "site" for column in dataset.columns)

    def commit(self, attempt: Attempt, rejects: RejectWriter) -> None:
        """Commit what was staged, against rivals that do not concern it.

        Raises:
            DecideAgain: a rival's commit concerns this load; nothing was committed.
            CommitConflictError: rivals kept winning, or a clean-up has given this load up.
            CommitUnknownError: neither the commit nor a question after it was answered.
            CatalogError, StorageError: refused.
        """
        with storage_errors("flushing data files to disk"):
            data = [stored.path for stored in self._store.files(attempt.staged.folder)]
            self._store.sync([*data, *([rejects.path] if rejects.used else [])])
        table, ledger = attempt.table, attempt.ledger
        tries = 0
        for again in Retrying(
            retry=retry_if_exception_type(CommitRaceError),
            stop=stop_after_delay(self._settings["commit_timeout"]),
            wait=wait_random_exponential(0.02, max=1),
            retry_error_callback=self.give_up,
        ):
            with again:
                if tries:
                    table, ledger = self._look()
                    if self._committed(attempt, ledger):
                        return
                    if table.metadata.current_snapshot_id != attempt.table.metadata.current_snapshot_id:
                        self._check_still_valid(attempt, ledger)
                tries += 1
                self._commit_once(attempt, table, ledger, tries)
                return

    def give_up(self, _: object) -> Never:
        """Rivals kept winning until the time was over; raises CommitConflictError."""
        raise CommitConflictError(
            f"other writers changed {self._dataset.name} all through {self._settings['commit_timeout']:g} s; nothing was "
            "loaded: run the load again, or raise commit_timeout"
        )

    def _commit_once(self, attempt: Attempt, table: Table, ledger: Ledger, number: int) -> None:
        changes = Changes(
            load=self._load_record(attempt),
            put_inputs=self._put_inputs(attempt, ledger),
            drop_inputs=tuple(sorted(attempt.dropped)),
        )

        def about_to_publish() -> None:
            self._observer.step("commit prepared")
            attempt.may_be_committed = True

        undecided = attempt.may_be_committed
        try:
            committed = commit_with_ledger(
                self._store, table, ledger, changes, f"{attempt.load_id}-{number}", snapshots_kept=SNAPSHOTS_KEPT,
                staged=attempt.staged if attempt.staged.files else None, deleted=attempt.removed.files,
                before_publish=about_to_publish,
            )  # fmt: skip
        except CommitRaceError:
            attempt.may_be_committed = undecided
            raise
        except CommitAnswerLostError as error:
            self._look_up_lost_answer(attempt, error)
        else:
            # What is committed counts, whether or not readers without the catalog are told now: the load's last step tells them.
            with suppress(LakehouseError):
                publish_current(self._store, committed)

    def _look_up_lost_answer(self, attempt: Attempt, error: CommitAnswerLostError) -> None:
        """The catalog's answer did not come: look whether the commit is there before anything is tried again."""
        try:
            for again in Retrying(stop=stop_after_delay(LOOK_UP_SECONDS), wait=wait_random_exponential(0.1, max=5), reraise=True):
                with again:
                    _, ledger = self._look()
        except LakehouseError as unreachable:
            raise CommitUnknownError(
                f"the catalog did not answer the commit of load {attempt.load_id} ({error}) nor a question after it "
                f"({unreachable}): run the same load again once it can be reached; nothing will be loaded twice"
            ) from error
        if self._committed(attempt, ledger):
            return
        attempt.lost_answers += 1
        if attempt.lost_answers >= LOST_ANSWERS:
            raise CatalogError(f"the catalog failed {attempt.lost_answers} times to commit: {error}") from error
        raise CommitRaceError(f"the commit did not arrive: {error}") from error

    def _committed(self, attempt: Attempt, ledger: Ledger) -> bool:
        """Whether an attempt is in the ledger; raises CommitConflictError when a clean-up has fenced it."""
        record = ledger.load_by_id(attempt.load_id)
        if record is not None and record.kind == "fence":
            raise CommitConflictError(
                f"load {attempt.load_id} stood still for so long that a clean-up has given it up; nothing was loaded: "
                "run it again"
            )
        return record is not None

    def _check_still_valid(self, attempt: Attempt, ledger: Ledger) -> None:
        """Whether what was staged is still right on top of what a rival has committed."""
        if attempt.removed.files or attempt.dropped or not self._intents.stands(attempt.load_id):
            raise DecideAgain
        if ledger.oldest_load_sequence > attempt.ledger.sequence:
            raise DecideAgain  # the ledger may have forgotten a fence, or this very load
        before, after = attempt.ledger.inputs, ledger.inputs
        changed = [*after.not_in(before), *before.not_in(after)]
        if any(_concerns(record, outcome) for outcome in attempt.outcomes if outcome.changes for record in changed):
            raise DecideAgain

    def _put_inputs(self, attempt: Attempt, ledger: Ledger) -> tuple[InputRecord, ...]:
        put = {outcome.record.id: outcome.record for outcome in attempt.outcomes if outcome.changes and outcome.record}
        taken: dict[str, dict[date, int]] = {}
        for (input_id, day), rows in attempt.removed.rows.items():
            if input_id not in attempt.dropped:
                taken.setdefault(input_id, {})[day] = rows
        for input_id, by_day in taken.items():
            record = put.get(input_id) or ledger.inputs.get(input_id)
            if record is not None:
                # Where lines tell their site, rows of other sites may be left on that day.
                gone = set() if self._sites_in_lines else {day.isoformat() for day in by_day}
                put[input_id] = replace(
                    record,
                    rows_replaced=record.rows_replaced + sum(by_day.values()),
                    days=tuple(day for day in record.days if day not in gone),
                )
        return tuple(put.values())

    def _load_record(self, attempt: Attempt) -> LoadRecord:
        changed = [outcome for outcome in attempt.outcomes if outcome.changes]
        days = set(attempt.staged.days) | {day.isoformat() for _, day in attempt.removed.rows}
        return LoadRecord(
            id=attempt.load_id,
            kind="load" if changed else "unload",
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            days=tuple(sorted(days)),
            inputs=tuple(sorted({*attempt.dropped, *(outcome.record.id for outcome in changed if outcome.record)})),
            rows_added=sum(outcome.rows for outcome in changed),
            rows_removed=attempt.removed.total,
            rejects=sum(outcome.known_rejects + outcome.unknown_rejects for outcome in changed),
            code_version=lakehouse.__version__,
            rows_by_site=_rows_by_site(changed),
        )


def _rows_by_site(outcomes: Sequence[Outcome]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for outcome in outcomes:
        rows[outcome.site] = rows.get(outcome.site, 0) + outcome.rows
    return rows


def _concerns(record: InputRecord, outcome: Outcome) -> bool:
    """Whether a ledger entry can decide about an input: its kin, or its very bytes at another site."""
    if outcome.record is not None and record.digest == outcome.record.digest:
        return True
    return in_scope(record, outcome.site, outcome.source) and agrees(outcome.checkpoints, record.checkpoints)
