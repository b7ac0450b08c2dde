"""Who is told how far a load is."""

from typing import Protocol

from lakehouse.inputs import InputFile


class Observer(Protocol):
    """Is told how far a load is: for a progress bar, for a log, and for tests that stop at each step."""

    def step(self, name: str) -> None:
        """A step of the state machine in docs/exactly-once.md is reached."""
        ...

    def read(self, found: InputFile, size: int) -> None:
        """`size` more bytes of an input, as it is stored, are dealt with."""
        ...


class SilentObserver:
    """Listens to nothing."""

    def step(self, name: str) -> None:
        """See `Observer`."""

    def read(self, found: InputFile, size: int) -> None:
        """See `Observer`."""
