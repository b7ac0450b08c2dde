"""Observers that stop a load at a step of its state machine: by an exception, by the death of its process, by a pause."""

import os
import threading
from collections.abc import Callable
from typing import Any

from lakehouse.load import Report
from lakehouse.observer import SilentObserver

STEPS = ("looked", "intent declared", "staged", "commit prepared", "committed", "rolled up", "done")
"""Steps of a load that changes something, in their order (docs/exactly-once.md)."""
COMMITTED = STEPS.index("committed")
EXIT_CODE = 86
PATIENCE = 60
"""Seconds after which a test that waits for another thread or process fails instead of waiting for ever."""


class StoppedError(Exception):
    """What a test throws into a load."""


class RaiseAt(SilentObserver):
    """Throws at a step."""

    def __init__(self, step: str, error: type[BaseException] = StoppedError):
        self._step = step
        self._error = error

    def step(self, name: str) -> None:
        if name == self._step:
            raise self._error(name)


class ExitAt(SilentObserver):
    """Ends the process at a step, without a chance to clean up."""

    def __init__(self, step: str):
        self._step = step

    def step(self, name: str) -> None:
        if name == self._step:
            os._exit(EXIT_CODE)


class PauseAt(SilentObserver):
    """Holds its load at a step, the first time that it is reached, until it is let go."""

    def __init__(self, step: str):
        self._step = step
        self.reached = False
        self._stands = threading.Event()
        self._go = threading.Event()

    def step(self, name: str) -> None:
        if name == self._step and not self.reached:
            self.reached = True
            self._stands.set()
            assert self._go.wait(PATIENCE), "nobody let the load go"

    def ended(self) -> None:
        """The load is over, whether or not it has come to the step."""
        self._stands.set()

    def wait(self) -> None:
        """Until the load stands at the step, or is over."""
        assert self._stands.wait(PATIENCE), f"the load neither came to {self._step!r} nor ended"

    def let_go(self) -> None:
        self._go.set()


class Paused:
    """A load that runs in a thread of its own up to a step, and on when the block ends; then it has a report or an error.

    Args:
        observer: pauses it.
        load: called with the observer.
        may_end_before: whether it may also come to its end without the step.
    """

    def __init__(self, observer: PauseAt, load: Callable[[PauseAt], Report], may_end_before: bool = False):
        self._observer = observer
        self._load = load
        self._may_end_before = may_end_before
        self.report: Report | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.report = self._load(self._observer)
        except BaseException as error:  # the test looks at it
            self.error = error
        finally:
            self._observer.ended()

    def __enter__(self) -> "Paused":
        self._thread.start()
        self._observer.wait()
        assert self._observer.reached or self._may_end_before, f"the load ended before: {self.error or self.report}"
        return self

    def __exit__(self, *_: Any) -> None:
        self.finish()

    def finish(self) -> None:
        """Let the load go, and wait for its end."""
        self._observer.let_go()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the load never ended"
