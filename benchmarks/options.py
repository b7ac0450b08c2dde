"""What every benchmark is told."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """How to measure.

    Args:
        folder: empty, for what a benchmark writes; deleted afterwards.
        quick: sizes of a thousand lines, to see that a benchmark runs at all.
        profile: also where the time goes, where a benchmark can tell.
    """

    folder: Path
    quick: bool = False
    profile: bool = False
