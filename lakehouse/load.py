"""One load: inputs -> parse -> Parquet -> one atomic commit with its ledger -> rollups of the days it touched.

The state machine, and why each step may be followed by a kill, is argued in docs/exactly-once.md.
"""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from pyiceberg.table import Table
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay, stop_all, wait_random_exponential

import lakehouse
from lakehouse.catalog import catalog_errors, ensure_table, find_table, open_catalog, table_columns
from lakehouse.commit import CommitAnswerLostError, CommitRaceError, StagedFiles
from lakehouse.compare import RowComparer
from lakehouse.current import publish_dataset
from lakehouse.datasets.base import Dataset
from lakehouse.errors import CatalogError, CommitConflictError, CommitUnknownError, LakehouseError, UsageError
from lakehouse.identity import KnownInputs, agrees, in_scope
from lakehouse.inputs import InputFile
from lakehouse.intake import Intake, Observer, Options, Outcome, TakeFirst
from lakehouse.intents import Intents, discard_load
from lakehouse.ledger import Changes, InputRecord, Ledger, LoadRecord, ledger_root, read_ledger
from lakehouse.ledger_commit import commit_with_ledger
from lakehouse.privacy_key import read_key
from lakehouse.rejects import RejectWriter
from lakehouse.removal import Removal, Removed, remove_rows
from lakehouse.rollups import update_rollups
from lakehouse.seen import Seen, SeenInputs
from lakehouse.settings import Settings
from lakehouse.stage import PartitionWriter
from lakehouse.storage import Store, storage_errors

DECISIONS = 5
"""Times that a load is decided anew because of rivals, however long each time takes, before the load gives up."""
LOST_ANSWERS = 5
"""Commits of one load that may vanish on the way to the catalog before the load gives up."""

LOOK_UP_SECONDS = 30
"""Time in which the catalog must say whether a commit whose answer was lost is there."""


@dataclass(frozen=True)
class Request:
    """What a load is asked to do.

    Args:
        inputs: what to load.
        options: how to read them.
        replace: ids of inputs whose rows these inputs replace.
        replace_day: a day whose rows, of the sites loaded, these inputs replace.
        commit_every: inputs per commit; None: all in one.
        folders_are_sources: inputs that name no source have their folder for one; None: when they lie in several.
    """

    inputs: Sequence[InputFile] = ()
    options: Options = field(default_factory=Options)
    replace: tuple[str, ...] = ()
    replace_day: date | None = None
    commit_every: int | None = None
    folders_are_sources: bool | None = None


@dataclass(frozen=True)
class Report:
    """What a load did.

    Args:
        outcomes: one for each input, in their order.
        load_ids: of the commits; none when there was nothing to commit.
        rows_removed: rows that were taken out.
    """

    outcomes: tuple[Outcome, ...] = ()
    load_ids: tuple[str, ...] = ()
    rows_removed: int = 0


class SilentObserver:
    """Listens to nothing."""

    def step(self, name: str) -> None:
        """See `Observer`."""

    def read(self, found: InputFile, size: int) -> None:
        """See `Observer`."""


class _DecideAgain(Exception):
    """A rival's commit concerns this load: what was staged is void."""


@dataclass
class _Attempt:
    """One try at a group of inputs: what it looked at and what it staged."""

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
        return any(outcome.changes for outcome in self.outcomes) or bool(self.dropped) or bool(self.removed.files)


class Loader:
    """Loads into one dataset's table.

    Args:
        settings: in force.
        dataset: whose table.
        observer: is told of progress.
    """

    def __init__(self, settings: Settings, dataset: Dataset, observer: Observer | None = None):
        self._settings = settings
        self._dataset = dataset
        self._observer: Observer = observer or SilentObserver()
        self._columns = table_columns(dataset.columns)
        self._sites_in_lines = any(column.name == "site" for column in dataset.columns)
        self._dataset_options = dataset.validate_options(settings.dataset_options.get(dataset.name, {}))
        self._catalog = open_catalog(settings)
        self._key = read_key(settings)
        self._store = Store(settings)
        self._ledger: Ledger | None = None
        self._table: Table
        self._root: str
        self._intents: Intents

    def _open_table(self) -> None:
        """Open the table, and create it when this is the first load."""
        dataset = self._dataset
        self._table = ensure_table(self._catalog, self._settings, dataset.name, dataset.doc, self._columns)
        self._root = ledger_root(self._table.location())
        self._intents = Intents(self._store, self._root)

    def run(self, request: Request) -> Report:
        """Load; may be run again after any failure.

        Raises:
            LakehouseError: one of its kinds; nothing of the failing commit is visible.
        """
        inputs = list(request.inputs)
        if request.commit_every and (request.replace or request.replace_day):
            raise UsageError("what is replaced goes in the commit that brings its replacement: leave out --commit-every")
        if request.folders_are_sources is None:
            request = replace(request, folders_are_sources=len({found.folder for found in inputs}) > 1)
        for found in inputs:
            self._site_of(found, request.options)
        self._open_table()
        size = request.commit_every or len(inputs) or 1
        outcomes: list[Outcome] = []
        load_ids: list[str] = []
        removed = 0
        try:
            for start in range(0, max(len(inputs), 1), size):
                attempt = self._load_group(replace(request, inputs=inputs[start : start + size]))
                outcomes += attempt.outcomes
                removed += attempt.removed.total
                if attempt.changes:
                    load_ids.append(attempt.load_id)
        except LakehouseError:
            if load_ids:  # commits before the failure count; if this fails too, the next load does it
                with suppress(LakehouseError):
                    self._update_rollups()
            raise
        self._update_rollups()  # also when nothing was new: an earlier run may have died here
        self._observer.step("done")
        return Report(tuple(outcomes), tuple(load_ids), removed)

    def _update_rollups(self) -> None:
        try:
            update_rollups(self._settings, self._dataset)
        except LakehouseError as error:
            raise type(error)(
                f"the rows are loaded, but their rollups are not up to date yet: {error}; the next load will try again, "
                f"or: lakehouse rollups {self._dataset.name}"
            ) from error
        publish_dataset(self._settings, self._dataset)
        self._observer.step("rolled up")

    def _load_group(self, request: Request) -> _Attempt:
        first: list[InputFile] = []
        while True:
            try:
                return self._load_in_order(request, first)
            except TakeFirst as conflict:
                first.insert(0, conflict.found)

    def _load_in_order(self, request: Request, first: list[InputFile]) -> _Attempt:
        for again in Retrying(
            retry=retry_if_exception_type(_DecideAgain),
            # The time counts from the beginning: a load that parses for hours must still be able to decide again.
            stop=stop_all(stop_after_attempt(DECISIONS), stop_after_delay(self._settings["commit_timeout"])),
            wait=wait_random_exponential(0.02, max=1),
            retry_error_callback=self._give_up,
        ):
            with again:
                return self._try_group(request, first)
        raise AssertionError("unreachable")

    def _give_up(self, _: object) -> None:
        raise CommitConflictError(
            f"other writers changed {self._dataset.name} all through {self._settings['commit_timeout']:g} s; nothing was "
            "loaded: run the load again, or raise commit_timeout"
        )

    def _look(self) -> tuple[Table, Ledger]:
        """The table and its ledger as they are now."""
        with catalog_errors(f"table {self._dataset.name}"):
            table = find_table(self._catalog, self._settings, self._dataset.name) or self._table
        with storage_errors("reading the ledger"):
            ledger = read_ledger(table.io, table.location(), table.properties, self._ledger)
        self._table, self._ledger = table, ledger
        return table, ledger

    def _try_group(self, request: Request, first: list[InputFile]) -> _Attempt:
        table, ledger = self._look()
        load_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(6)}"
        attempt = _Attempt(load_id, table, ledger, StagedFiles(table, load_id))
        seen = SeenInputs(self._store, self._root)
        todo = self._plan(request, attempt, seen)
        todo.sort(key=lambda item: first.index(item[1]) if item[1] in first else len(first))
        self._observer.step("looked")
        if not todo and not attempt.dropped and request.replace_day is None:
            return attempt
        with storage_errors(f"writing {self._root}"):
            self._intents.declare(load_id, attempt.staged.folder)
        try:
            self._observer.step("intent declared")
            rejects = RejectWriter(table.io, self._root, load_id)
            try:
                self._stage(request, attempt, todo, rejects)
            finally:
                rejects.close()
            self._check_replaced(request, attempt)
            self._observer.step("staged")
            if attempt.changes:
                self._commit(attempt, rejects)
                self._observer.step("committed")
        except BaseException:
            # Once the catalog was asked and has not said no, the files must stay: a clean-up fences the load first.
            if not attempt.may_be_committed:
                self._discard(attempt)
            raise
        if not attempt.changes:
            self._discard(attempt)
        self._intents.withdraw(load_id)
        seen.remember(_seen(outcome) for outcome in attempt.outcomes if outcome.read and outcome.record)
        return attempt

    def _site_of(self, found: InputFile, options: Options) -> str:
        """The site of an input; raises UsageError when nothing tells it."""
        site = found.field("site") or options.site or self._dataset.site
        if not site:
            raise UsageError(f"{found.location}: for which site? Give --site NAME, or {{site}} in the path")
        return site

    def _plan(self, request: Request, attempt: _Attempt, seen: SeenInputs) -> list[tuple[int, InputFile, str, str]]:
        """Inputs that must be read; those that are known to be unchanged get their outcome here."""
        attempt.dropped.update(record_id for record_id in request.replace if record_id in attempt.ledger.inputs)
        todo: list[tuple[int, InputFile, str, str]] = []
        for index, found in enumerate(request.inputs):
            site = self._site_of(found, request.options)
            source = found.field("source") or request.options.source or (found.folder if request.folders_are_sources else "")
            anew = request.options.reparse or request.replace or request.replace_day is not None
            known = None if anew else seen.unchanged(found, site, source, attempt.ledger, request.options.final)
            if known:
                record = attempt.ledger.inputs[known.input_id]
                attempt.outcomes.append(Outcome(found, site, source, "unchanged", record=record, read=False))
            else:
                attempt.outcomes.append(Outcome(found, site, source, "empty", read=False))
                todo.append((index, found, site, source))
        return todo

    def _stage(
        self, request: Request, attempt: _Attempt, todo: list[tuple[int, InputFile, str, str]], rejects: RejectWriter
    ) -> None:
        records = KnownInputs(attempt.ledger.inputs, attempt.ledger.inputs.index, attempt.dropped)
        options = request.options
        if request.replace_day is not None:
            options = replace(options, reparse=True)
        with PartitionWriter(attempt.table, self._columns, attempt.staged) as writer:
            comparer = RowComparer(self._settings, self._dataset, attempt.table, attempt.ledger, self._key, self._dataset_options)
            intake = Intake(
                self._settings,
                self._dataset,
                self._key,
                records,
                writer,
                rejects,
                attempt.load_id,
                comparer,
                self._observer,
                self._dataset_options,
            )
            for index, found, site, source in todo:
                outcome = intake.take(found, site, source, options)
                attempt.outcomes[index] = outcome
                attempt.dropped.update(dropped for dropped in outcome.dropped if dropped in attempt.ledger.inputs)
            attempt.removed = remove_rows(attempt.table, self._columns, self._removal(request, attempt), writer)

    def _check_replaced(self, request: Request, attempt: _Attempt) -> None:
        """Refuse to add the replacement of what a rival has taken out, and perhaps replaced, meanwhile."""
        gone = [record_id for record_id in request.replace if record_id not in attempt.ledger.inputs]
        if gone and any(outcome.changes for outcome in attempt.outcomes):
            raise UsageError(
                f"input {gone[0]} is not loaded any more, so nothing can replace it and nothing was loaded: see "
                f"lakehouse inputs {self._dataset.name}"
            )

    def _removal(self, request: Request, attempt: _Attempt) -> Removal:
        gone = [attempt.ledger.inputs[key] for key in attempt.dropped]
        days = frozenset(date.fromisoformat(day) for record in gone for day in record.days)
        sites = {outcome.site for outcome in attempt.outcomes}
        replaced = frozenset((request.replace_day, site) for site in sites) if request.replace_day else frozenset()
        return Removal(frozenset(attempt.dropped), days, replaced)

    def _discard(self, attempt: _Attempt) -> None:
        """Delete what an attempt wrote that certainly was not and will not be committed."""
        with storage_errors(f"cleaning up load {attempt.load_id}"):
            discard_load(self._store, self._intents, attempt.table, attempt.load_id)

    def _commit(self, attempt: _Attempt, rejects: RejectWriter) -> None:
        """Commit what was staged, against rivals that do not concern it; raises _DecideAgain when one does."""
        with storage_errors("flushing data files to disk"):
            data = [stored.path for stored in self._store.files(attempt.staged.folder)]
            self._store.sync([*data, *([rejects.path] if rejects.used else [])])
        table, ledger = attempt.table, attempt.ledger
        tries = 0
        for again in Retrying(
            retry=retry_if_exception_type(CommitRaceError),
            stop=stop_after_delay(self._settings["commit_timeout"]),
            wait=wait_random_exponential(0.02, max=1),
            retry_error_callback=self._give_up,
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

    def _commit_once(self, attempt: _Attempt, table: Table, ledger: Ledger, number: int) -> None:
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
            commit_with_ledger(
                self._store, table, ledger, changes, f"{attempt.load_id}-{number}",
                staged=attempt.staged if attempt.staged.files else None, deleted=attempt.removed.files,
                before_publish=about_to_publish,
            )  # fmt: skip
        except CommitRaceError:
            attempt.may_be_committed = undecided
            raise
        except CommitAnswerLostError as error:
            self._look_up_lost_answer(attempt, error)

    def _look_up_lost_answer(self, attempt: _Attempt, error: CommitAnswerLostError) -> None:
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

    def _committed(self, attempt: _Attempt, ledger: Ledger) -> bool:
        """Whether an attempt is in the ledger; raises CommitConflictError when a clean-up has fenced it."""
        record = ledger.load_by_id(attempt.load_id)
        if record is not None and record.kind == "fence":
            raise CommitConflictError(
                f"load {attempt.load_id} stood still for so long that a clean-up has given it up; nothing was loaded: "
                "run it again"
            )
        return record is not None

    def _check_still_valid(self, attempt: _Attempt, ledger: Ledger) -> None:
        """Whether what was staged is still right on top of what a rival has committed."""
        if attempt.removed.files or attempt.dropped or not self._intents.stands(attempt.load_id):
            raise _DecideAgain
        if ledger.oldest_load_sequence > attempt.ledger.sequence:
            raise _DecideAgain  # the ledger may have forgotten a fence, or this very load
        before, after = attempt.ledger.inputs, ledger.inputs
        changed = [*after.not_in(before), *before.not_in(after)]
        if any(_concerns(record, outcome) for outcome in attempt.outcomes if outcome.changes for record in changed):
            raise _DecideAgain

    def _put_inputs(self, attempt: _Attempt, ledger: Ledger) -> tuple[InputRecord, ...]:
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

    def _load_record(self, attempt: _Attempt) -> LoadRecord:
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
        )


def _concerns(record: InputRecord, outcome: Outcome) -> bool:
    """Whether a ledger entry can decide about an input: its kin, or its very bytes at another site."""
    if outcome.record is not None and record.digest == outcome.record.digest:
        return True
    return in_scope(record, outcome.site, outcome.source) and agrees(outcome.checkpoints, record.checkpoints)


def _seen(outcome: Outcome) -> Seen:
    assert outcome.record is not None
    return Seen(
        outcome.found.location, outcome.site, outcome.source, outcome.found.fingerprint, outcome.record.id,
        outcome.record.length if outcome.status != "old copy" else 0, outcome.pending > 0,
    )  # fmt: skip
