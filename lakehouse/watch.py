"""Load a log while it is being written: only its new lines, for ever, also across its rotation."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from lakehouse.errors import CatalogError, CommitConflictError, CommitUnknownError, InputError, StorageError
from lakehouse.inputs import InputFile, find_inputs
from lakehouse.settings import Settings
from lakehouse.storage import is_s3, now

Load = Callable[[list[InputFile], bool], None]
CLOCK_SLACK = 2.0
"""Seconds by which a file system's clock may run behind."""
TRANSIENT = (CatalogError, CommitConflictError, CommitUnknownError, InputError, StorageError)
"""Errors that may be gone at the next round; anything else ends the watch."""


def watch(
    settings: Settings, patterns: list[str], every: float, load: Load, complain: Callable[[str], None], stop: threading.Event
) -> None:
    """Load what the patterns name, again and again.

    A log that is rotated between two rounds leaves lines in the file that it was renamed or copied to. So each round
    first loads those siblings of the logs that were written since the round before, as far as they go on where a known
    input ended; what is not known stays alone, because nobody asked for it.

    Args:
        every: seconds between rounds.
        load: loads inputs; its second argument: only those that are known already.
        complain: is told of errors that the next round may not meet again.
        stop: ends the watch after the round under way.
    """
    previous_round: float | None = None
    while not stop.is_set():
        begun = now()
        try:
            found = find_inputs(patterns, settings)
            if previous_round is not None and (rotated := list(_rotated(found, previous_round, settings))):
                load(rotated, True)
            load(found, False)
            previous_round = begun
        except TRANSIENT as error:
            complain(str(error))
        stop.wait(every)


def _rotated(found: list[InputFile], since: float, settings: Settings) -> Iterator[InputFile]:
    """Siblings named like rotated logs (`log.1`, `log-20261122.gz`) that were written since the round before."""
    for log in found:
        if is_s3(log.location):
            continue
        for sibling in find_inputs([log.folder], settings):
            name = sibling.location
            if name.startswith((f"{log.location}.", f"{log.location}-")) and sibling.modified >= since - CLOCK_SLACK:
                yield sibling


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
