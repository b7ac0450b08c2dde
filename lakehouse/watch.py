"""Load a log while it is being written: only its new lines, for ever, also across its rotations and the watch's restarts."""

import hashlib
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import FrameType
from typing import NamedTuple, Protocol

from lakehouse.datasets.base import Dataset
from lakehouse.errors import (
    CatalogError,
    CommitConflictError,
    CommitUnknownError,
    InputError,
    LakehouseError,
    StorageError,
    TooManyRejectsError,
    UsageError,
)
from lakehouse.inputs import HEAD_BYTES, InputFile, find_inputs, local_file, open_input
from lakehouse.intake import Outcome
from lakehouse.load import Loader, Report, Request
from lakehouse.load_options import Options
from lakehouse.observer import Observer
from lakehouse.settings import Settings
from lakehouse.storage import explain, is_s3

TRANSIENT = (CatalogError, CommitConflictError, CommitUnknownError, InputError, StorageError)
"""Errors that may be gone at the next round; anything else ends the watch."""
_ROTATED = re.compile(r"[.-]((\d+([.T_-]\d+)*|old)(\.(gz|bz2|zst))?|gz|bz2|zst)")
"""What programs that rotate logs put behind a log's name."""
_GIVEN_UP = 2
"""Failures after which a file is left until it is changed; one alone may come from a file that is just being written."""
_Marks = frozenset[tuple[str, int, float]]


class Listener(Protocol):
    """Is told what a watch does."""

    def loaded(self, report: Report) -> None:
        """A load is done, which may have found nothing new."""
        ...

    def failed(self, error: LakehouseError) -> None:
        """Something went wrong that the next round will try again."""
        ...

    def left_alone(self, log: InputFile, files: Sequence[InputFile]) -> None:
        """The watch begins, and leaves rotated files of a log alone that hold lines which nobody has loaded."""
        ...


class _Beginning(NamedTuple):
    """The first bytes of a file: how many, and their hash."""

    length: int
    digest: bytes


@dataclass(frozen=True)
class _Look:
    """What a round has found of one log, for the next one.

    Args:
        modified: when the log was written to last, by the clock of its file system.
        inodes: of the log and the files beside it.
        unasked: by inode, how those files beside it begin that were left alone.
        settled: marks of the files beside it that need no reading until they are written to.
        begun: inodes of files whose lines are wanted although the ledger knows none of them: there was nothing complete in
            them yet, or they could not be read.
    """

    modified: float
    inodes: frozenset[str]
    unasked: dict[str, _Beginning]
    settled: _Marks
    begun: frozenset[str]


class Watch:
    """Loads what patterns name, again and again.

    A log that is rotated leaves lines in the file that it was renamed, copied or compressed to. So each round looks at the
    files beside a log before it loads the log itself, and loads

    - what goes on where a known input ended;
    - what is the file that was the log, and had nothing complete in it then;
    - what has come since the round before and was written to since: a log that came and went between two rounds.

    Other files beside the log stay alone, because nobody asked for them. Inodes and times say only which unknown files
    are wanted; what is loaded of a file is decided by its bytes, as in any load.

    Args:
        settings: in force.
        dataset: to load into.
        patterns: of the logs.
        options: how to read them.
        listener: is told what happens.
        observer: of the loads.
    """

    def __init__(
        self,
        settings: Settings,
        dataset: Dataset,
        patterns: list[str],
        options: Options,
        listener: Listener,
        observer: Observer | None = None,
    ):
        self._settings = settings
        self._dataset = dataset
        self._patterns = patterns
        self._options = options
        self._listener = listener
        self._observer = observer
        self._looks: dict[str, _Look] = {}
        self._failures: Counter[str] = Counter()
        self._folders_are_sources = False

    def run(self, every: float, stop: threading.Event) -> None:
        """Play rounds, `every` so many seconds, until the event ends the watch after the round under way."""
        while not stop.is_set():
            try:
                self._round()
            except TRANSIENT as error:
                self._listener.failed(error)
            stop.wait(every)

    def _round(self) -> None:
        logs = find_inputs(self._patterns, self._settings)
        self._folders_are_sources = len({log.folder for log in logs}) > 1
        looks: dict[str, _Look] = {}
        left_alone: list[tuple[InputFile, list[InputFile]]] = []
        seen: set[str] = set()
        # After the logs themselves: what is renamed in between is seen twice and not missed.
        for log, files in _files_beside(logs):
            looks[log.location], unknown = self._look(log, files)
            seen.update(found.fingerprint for found in files)
            if unknown:
                left_alone.append((log, unknown))
        self._failures = Counter({key: count for key, count in self._failures.items() if key in seen})
        outcomes = self._load(logs, self._options)
        for location, look in looks.items():
            self._looks[location] = replace(look, begun=_begun(look.begun, [outcomes[location].found], outcomes))
        for log, unknown in left_alone:
            self._listener.left_alone(log, unknown)

    def _look(self, log: InputFile, files: list[InputFile]) -> tuple[_Look, list[InputFile]]:
        """Load what is wanted of the files beside a log.

        Returns:
            What was found, and the files that were left alone although they may hold lines of this log, if this is the
            first look at it.
        """
        before = self._looks.get(log.location)
        begun: Set[str] = before.begun if before else frozenset()
        if before is None and files:
            begun = self._loader().begun(self._request([log, *files], self._options))
        changed = [found for found in files if before is None or before.settled.isdisjoint(_marks(found))]
        fresh = [found for found in changed if self._failures[found.fingerprint] < _GIVEN_UP]
        wanted = [found for found in fresh if self._is_wanted(found, log, before, begun)]
        outcomes = {
            **self._load_readable(wanted, self._options),
            **self._load_readable([found for found in fresh if found not in wanted], replace(self._options, only_known=True)),
        }
        unread = {found.location for found in changed} - outcomes.keys()
        inodes = frozenset(found.inode for found in (log, *files))
        # An inode that is gone may soon be that of any file; but what is renamed while its folder is listed is only missed once.
        known = inodes | before.inodes if before else inodes
        unasked = {inode: beginning for inode, beginning in before.unasked.items() if inode in known} if before else {}
        for outcome in outcomes.values():
            if outcome.status == "unknown" and (head := self._head(outcome.found)):
                unasked[outcome.found.inode] = _beginning(head)
        look = _Look(
            log.modified,
            inodes,
            unasked,
            frozenset(mark for found in files if found.location not in unread for mark in _marks(found)),
            _begun(begun & known, wanted, outcomes),
        )
        return look, [] if before else _newer_unknown(log, outcomes.values())

    def _is_wanted(self, found: InputFile, log: InputFile, before: _Look | None, begun: Set[str]) -> bool:
        """Whether a file beside a log is to be loaded even if the ledger knows nothing of it."""
        if before is not None and self._is_unasked(found, before.unasked):
            return False
        if found.inode in begun and found.inode != log.inode:
            # While no watch was running, there was time enough for the inode to become that of any file.
            return before is not None or _is_rotated(found, log)
        return before is not None and _is_rotated(found, log) and found.modified >= before.modified

    def _is_unasked(self, found: InputFile, unasked: dict[str, _Beginning]) -> bool:
        """Whether a file is one that was left alone, written to or compressed since."""
        head = self._head(found) if unasked else b""
        if not head:
            return False
        # The inode alone would not do: that of a file that was deleted is soon used again.
        same = unasked.get(found.inode)
        return (same is not None and _beginning(head[: same.length]) == same) or _beginning(head) in unasked.values()

    def _head(self, found: InputFile) -> bytes:
        """The first bytes of a file; none if it cannot be read, which its load will tell."""
        try:
            with open_input(found, self._settings) as opened:
                return opened.read(HEAD_BYTES)
        except InputError:
            return b""

    def _load_readable(self, files: list[InputFile], options: Options) -> dict[str, Outcome]:
        """Load files, without those that cannot be: one that is damaged, or no log at all, must not keep the log from it."""
        try:
            return self._load(files, options) if files else {}
        except (InputError, TooManyRejectsError, UsageError) as error:
            if len(files) == 1:
                self._failed(files[0], error)
                return {}
        return {location: outcome for found in files for location, outcome in self._load_readable([found], options).items()}

    def _failed(self, found: InputFile, error: LakehouseError) -> None:
        """Tell of a file that cannot be loaded, once, and not while it is still being compressed or copied."""
        self._failures[found.fingerprint] += 1
        if self._failures[found.fingerprint] == _GIVEN_UP:
            self._listener.failed(error)

    def _load(self, inputs: list[InputFile], options: Options) -> dict[str, Outcome]:
        report = self._loader().run(self._request(inputs, options))
        self._listener.loaded(report)
        return {outcome.found.location: outcome for outcome in report.outcomes}

    def _loader(self) -> Loader:
        """A new one each time: catalog and storage may have been away meanwhile."""
        return Loader(self._settings, self._dataset, self._observer)

    def _request(self, inputs: list[InputFile], options: Options) -> Request:
        return Request(inputs, options, folders_are_sources=self._folders_are_sources)


def _files_beside(logs: list[InputFile]) -> Iterator[tuple[InputFile, list[InputFile]]]:
    """Local logs, each with the files in its folder that are named like it and something more: `log.1`, `log-20261122.gz`."""
    named = {log.location for log in logs}
    by_folder: dict[str, list[InputFile]] = {}
    for log in logs:
        if not is_s3(log.location):
            by_folder.setdefault(log.folder or "/", []).append(log)
    for folder, its_logs in by_folder.items():
        beside: dict[str, list[InputFile]] = {log.location: [] for log in its_logs}
        try:
            with os.scandir(folder) as entries:
                paths = sorted(entry.path for entry in entries if entry.path not in named and entry.is_file())
        except OSError as error:
            raise InputError(f"{folder}: its rotated logs cannot be looked for: {explain(error)}") from error
        for path in paths:
            if owners := [log for log in its_logs if path.startswith((f"{log.location}.", f"{log.location}-"))]:
                owner = max(owners, key=lambda log: len(log.location))
                with suppress(InputError):  # renamed or deleted since
                    beside[owner.location].append(replace(local_file(path), fields=owner.fields))
        yield from ((log, beside[log.location]) for log in its_logs)


def _beginning(head: bytes) -> _Beginning:
    return _Beginning(len(head), hashlib.sha256(head).digest())


def _marks(found: InputFile) -> _Marks:
    """Two by which a file that was not written to is known again: renamed, or on a file system without lasting inodes."""
    return frozenset((name, found.size, found.modified) for name in (found.inode, found.location))


def _is_rotated(found: InputFile, log: InputFile) -> bool:
    return _ROTATED.fullmatch(found.location.removeprefix(log.location)) is not None


def _begun(before: Set[str], wanted: list[InputFile], outcomes: dict[str, Outcome]) -> frozenset[str]:
    """Inodes of files whose lines are wanted and not loaded yet, now that these files were read, or could not be."""
    loaded = {
        found.inode for found in wanted if (outcome := outcomes.get(found.location)) is not None and outcome.status != "empty"
    }
    return frozenset({*before, *(found.inode for found in wanted)} - loaded)


def _newer_unknown(log: InputFile, outcomes: Collection[Outcome]) -> list[InputFile]:
    """Rotated files of a log of which nothing is known and that are newer than any that is known, the oldest first."""
    known = max((outcome.found.modified for outcome in outcomes if outcome.record is not None), default=0.0)
    unknown = [outcome.found for outcome in outcomes if outcome.status == "unknown"]
    return sorted(
        (found for found in unknown if found.modified > known and _is_rotated(found, log)), key=lambda found: found.modified
    )


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, so that a watch ends between two rounds and not in one."""
    event = threading.Event()

    def set_event(number: int, frame: FrameType | None) -> None:
        event.set()

    before = {number: signal.signal(number, set_event) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
