"""Who is told how far a load is."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lakehouse.inputs import InputFile


class Observer(Protocol):
    """Is told how far a load is: for a progress bar, for a log, and for tests that stop at each step."""

    def step(self, name: str) -> None:
        """A step of the state machine in docs/exactly-once.md is reached."""
        ...

    def read(self, found: "InputFile", size: int) -> None:
        """`size` more bytes of an input, as it is stored, are dealt with."""
        ...


class SilentObserver:
    """Listens to nothing."""

    def step(self, name: str) -> None:
        """See `Observer`."""

    def read(self, found: "InputFile", size: int) -> None:
        """See `Observer`."""


Count = Callable[[str, int, int], None]
"""Is told of work that is counted: what was dealt with last, how many are done, and how many there are."""


def count_silently(name: str, done: int, total: int) -> None:
    """Shows nothing; see `Count`."""
