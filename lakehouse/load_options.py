"""What is said of all inputs of a load."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """How inputs are to be read.

    Args:
        site, source, format: as given by the user; None: from the pattern or detected.
        final: an unfinished last line is the last one.
        reparse: parse again what is already loaded.
        max_rejects: share of lines.
        only_known: leave inputs alone that go on where no known input ended.
    """

    site: str | None = None
    source: str | None = None
    format: str | None = None
    final: bool = False
    reparse: bool = False
    max_rejects: float = 0.05
    only_known: bool = False
