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

from lakehouse.catalog import catalog_errors, ensure_table, find_table, open_catalog, table_columns
from lakehouse.commit import StagedFiles
from lakehouse.compare import RowComparer
from lakehouse.current import publish_dataset
from lakehouse.datasets.base import Dataset
from lakehouse.errors import LakehouseError, UsageError
from lakehouse.identity import KnownInputs
from lakehouse.inputs import InputFile, inode_of
from lakehouse.intake import Intake, Outcome, TakeFirst
from lakehouse.intents import Intents, discard_failed, discard_load
from lakehouse.ledger import Ledger, ledger_root, read_ledger
from lakehouse.load_commit import Attempt, DecideAgain, LoadCommitter
from lakehouse.load_options import Options
from lakehouse.observer import Count, Observer, SilentObserver, count_silently
from lakehouse.privacy_key import read_key
from lakehouse.rejects import RejectWriter
from lakehouse.removal import Removal, remove_rows
from lakehouse.reports import update_reports
from lakehouse.rollups import update_rollups
from lakehouse.seen import Seen, SeenInputs
from lakehouse.settings import Settings
from lakehouse.stage import PartitionWriter
from lakehouse.storage import Store, storage_errors

DECISIONS = 5
"""Times that a load is decided anew because of rivals, however long each time takes, before the load gives up."""


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


class Loader:
    """Loads into one dataset's table.

    Args:
        settings: in force.
        dataset: whose table.
        observer: is told of progress.
        count: is told of the days of each rollup that are computed.
    """

    def __init__(self, settings: Settings, dataset: Dataset, observer: Observer | None = None, count: Count = count_silently):
        self._settings = settings
        self._dataset = dataset
        self._observer: Observer = observer or SilentObserver()
        self._count = count
        self._columns = table_columns(dataset.columns)
        self._dataset_options = dataset.validate_options(settings.dataset_options.get(dataset.name, {}))
        self._catalog = open_catalog(settings)
        self._key = read_key(settings)
        self._store = Store(settings)
        self._ledger: Ledger | None = None
        self._table: Table
        self._root: str
        self._intents: Intents
        self._committer: LoadCommitter

    def _open_table(self) -> None:
        """Open the table, and create it when this is the first load."""
        dataset = self._dataset
        self._table = ensure_table(self._catalog, self._settings, dataset.name, dataset.doc, self._columns)
        self._root = ledger_root(self._table.location())
        self._intents = Intents(self._store, self._root)
        self._committer = LoadCommitter(self._settings, dataset, self._store, self._intents, self._look, self._observer)

    def begun(self, request: Request) -> set[str]:
        """Inodes of the files that lay where these inputs are, and had nothing complete in them, when they were last read."""
        scopes = [(found.location, *self._scope(found, request)) for found in request.inputs]
        self._open_table()
        seen = SeenInputs(self._store, self._root)
        fingerprints = (seen.begun(*scope) for scope in scopes)
        return {inode_of(fingerprint) for fingerprint in fingerprints if fingerprint}

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
            update_rollups(self._catalog, self._settings, self._dataset, count=self._count)
            update_reports(self._catalog, self._settings, self._dataset)
        except LakehouseError as error:
            raise type(error)(
                f"the rows are loaded, but their rollups are not up to date yet: {error}; the next load will try again, "
                f"or: lakehouse rollups {self._dataset.name}"
            ) from error
        publish_dataset(self._catalog, self._settings, self._dataset)
        self._observer.step("rolled up")

    def _load_group(self, request: Request) -> Attempt:
        first: list[InputFile] = []
        while True:
            try:
                return self._load_in_order(request, first)
            except TakeFirst as conflict:
                first.insert(0, conflict.found)

    def _load_in_order(self, request: Request, first: list[InputFile]) -> Attempt:
        for again in Retrying(
            retry=retry_if_exception_type(DecideAgain),
            # The time counts from the beginning: a load that parses for hours must still be able to decide again.
            stop=stop_all(stop_after_attempt(DECISIONS), stop_after_delay(self._settings["commit_timeout"])),
            wait=wait_random_exponential(0.02, max=1),
            retry_error_callback=self._committer.give_up,
        ):
            with again:
                return self._try_group(request, first)
        raise AssertionError("unreachable")

    def _look(self) -> tuple[Table, Ledger]:
        """The table and its ledger as they are now."""
        with catalog_errors(f"table {self._dataset.name}"):
            table = find_table(self._catalog, self._settings, self._dataset.name) or self._table
        with storage_errors("reading the ledger"):
            ledger = read_ledger(table.io, table.location(), table.properties, self._ledger)
        self._table, self._ledger = table, ledger
        return table, ledger

    def _try_group(self, request: Request, first: list[InputFile]) -> Attempt:
        table, ledger = self._look()
        load_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(6)}"
        attempt = Attempt(load_id, table, ledger, StagedFiles(table, load_id))
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
                self._committer.commit(attempt, rejects)
                self._observer.step("committed")
        except BaseException:
            # Once the catalog was asked and has not said no, the files must stay: a clean-up fences the load first.
            if not attempt.may_be_committed:
                discard_failed(self._store, self._intents, table, load_id)
            raise
        if not attempt.changes:
            with storage_errors(f"cleaning up load {load_id}"):
                discard_load(self._store, self._intents, table, load_id)
        self._intents.withdraw(load_id)
        seen.remember(_seen(outcome) for outcome in attempt.outcomes if outcome.read and outcome.status != "unknown")
        return attempt

    def _site_of(self, found: InputFile, options: Options) -> str:
        """The site of an input; raises UsageError when nothing tells it."""
        site = found.field("site") or options.site or self._dataset.site
        if not site:
            raise UsageError(f"{found.location}: for which site? Give --site NAME, or {{site}} in the path")
        return site

    def _scope(self, found: InputFile, request: Request) -> tuple[str, str]:
        """Site and source of an input."""
        source = found.field("source") or request.options.source or (found.folder if request.folders_are_sources else "")
        return self._site_of(found, request.options), source

    def _plan(self, request: Request, attempt: Attempt, seen: SeenInputs) -> list[tuple[int, InputFile, str, str]]:
        """Inputs that must be read; those that are known to be unchanged get their outcome here."""
        attempt.dropped.update(record_id for record_id in request.replace if record_id in attempt.ledger.inputs)
        todo: list[tuple[int, InputFile, str, str]] = []
        for index, found in enumerate(request.inputs):
            site, source = self._scope(found, request)
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
        self, request: Request, attempt: Attempt, todo: list[tuple[int, InputFile, str, str]], rejects: RejectWriter
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

    def _check_replaced(self, request: Request, attempt: Attempt) -> None:
        """Refuse to add the replacement of what a rival has taken out, and perhaps replaced, meanwhile."""
        gone = [record_id for record_id in request.replace if record_id not in attempt.ledger.inputs]
        if gone and any(outcome.changes for outcome in attempt.outcomes):
            raise UsageError(
                f"input {gone[0]} is not loaded any more, so nothing can replace it and nothing was loaded: see "
                f"lakehouse inputs {self._dataset.name}"
            )

    def _removal(self, request: Request, attempt: Attempt) -> Removal:
        gone = [attempt.ledger.inputs[key] for key in attempt.dropped]
        days = frozenset(date.fromisoformat(day) for record in gone for day in record.days)
        sites = {outcome.site for outcome in attempt.outcomes}
        replaced = frozenset((request.replace_day, site) for site in sites) if request.replace_day else frozenset()
        return Removal(frozenset(attempt.dropped), days, replaced)


def _seen(outcome: Outcome) -> Seen:
    record = outcome.record
    return Seen(
        outcome.found.location, outcome.site, outcome.source, outcome.found.fingerprint, record.id if record else "",
        record.length if record and outcome.status != "old copy" else 0, outcome.pending > 0,
    )  # fmt: skip
