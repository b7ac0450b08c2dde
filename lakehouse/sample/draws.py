"""Randomness that is the same on every machine: Python's Mersenne Twister and nothing but exact arithmetic.

The random functions of vectorised engines may change with their version, and logarithms and powers may differ in the
last bit between C libraries; additions, multiplications and divisions may not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import gcd
from random import Random

import polars as pl
import pyarrow as pa

_HOUR = 3_600_000


class Draws:
    """Columns of random numbers from one stream."""

    def __init__(self, *seed: object) -> None:
        self._random = Random("/".join(map(str, seed)))

    def uniform(self, rows: int) -> pl.Series:
        """Numbers in [0, 1) with 53 random bits each."""
        words = pa.Array.from_buffers(pa.uint64(), rows, [None, pa.py_buffer(self._random.randbytes(8 * rows))])
        return (pl.Series(words) // 2**11).cast(pl.Float64) * 2.0**-53

    def below(self, rows: int, limit: int) -> pl.Series:
        """Integers in [0, limit)."""
        return (self.uniform(rows) * limit).cast(pl.Int64)

    def integer(self, limit: int) -> int:
        """One integer in [0, limit)."""
        return self._random.randrange(limit)

    def bits(self, number: int) -> int:
        """One integer of that many random bits."""
        return self._random.getrandbits(number)


class Weighted:
    """Indexes drawn in proportion to weights."""

    def __init__(self, weights: Sequence[float]) -> None:
        self._bounds = pl.Series(list(accumulate(weights)), dtype=pl.Float64)
        self._total = float(self._bounds[-1])
        self._last = len(weights) - 1

    def draw(self, draws: Draws, rows: int) -> pl.Series:
        """Indexes into the weights."""
        found = self._bounds.search_sorted(draws.uniform(rows) * self._total, side="right")
        return found.cast(pl.Int64).clip(0, self._last)


class Popularity:
    """Items of which few are frequent and many are rare, and every one appears at least once in `rows` rows.

    Frequencies follow Zipf's law with a flattened head: 1 / (rank + 7).
    """

    def __init__(self, items: int, rows: int, draws: Draws) -> None:
        self._items = items
        self._rows = rows
        self._weighted = Weighted([1.0 / (rank + 7) for rank in range(items)])
        # k -> (factor * k + offset) % rows visits every number once: what must appear is spread over all rows.
        self._factor = rows // 2 + 1 + draws.integer(rows)
        while gcd(self._factor, rows) != 1:
            self._factor += 1
        self._offset = draws.integer(rows)

    def draw(self, draws: Draws, first_row: int, rows: int) -> pl.DataFrame:
        """Columns `item` (index) and `forced` (the row where the item must appear) of consecutive rows."""
        visited = (pl.int_range(first_row, first_row + rows, dtype=pl.Int64) * self._factor + self._offset) % self._rows
        drawn = self._weighted.draw(draws, rows)
        return pl.select(visited=visited).select(
            item=pl.when(pl.col.visited < self._items).then(pl.col.visited).otherwise(drawn),
            forced=pl.col.visited < self._items,
        )


def allocate(total: int, weights: Sequence[float]) -> list[int]:
    """Divide a whole number in proportion to weights; the parts add up to it (largest remainders)."""
    whole = sum(weights)
    exact = [total * weight / whole for weight in weights]
    parts = [int(share) for share in exact]
    by_remainder = sorted(range(len(weights)), key=lambda index: (parts[index] - exact[index], index))
    for index in by_remainder[: total - sum(parts)]:
        parts[index] += 1
    return parts


@dataclass(frozen=True)
class TimeSlice:
    """A part of a day, in milliseconds since midnight, and how many events are in it."""

    start: int
    length: int
    events: int


def time_slices(events: int, hours: Sequence[float], block: int) -> Iterator[list[TimeSlice]]:
    """Divide a day's events over its 24 hours by weight, in ascending groups of about `block` events at most."""
    group: list[TimeSlice] = []
    for hour, count in enumerate(allocate(events, hours)):
        pieces = max(1, -(-count // block))
        length = _HOUR // pieces
        for piece, part in enumerate(allocate(count, [1.0] * pieces)):
            if group and sum(slice_.events for slice_ in group) + part > block:
                yield group
                group = []
            if part:
                group.append(TimeSlice(hour * _HOUR + piece * length, length, part))
    if group:
        yield group


def times_of_day(draws: Draws, slices: Sequence[TimeSlice]) -> pl.Series:
    """Ascending milliseconds since midnight of all events in the slices."""
    counts = pl.DataFrame({"start": [s.start for s in slices], "length": [s.length for s in slices]})
    repeated = counts.select(pl.all().repeat_by(pl.Series([s.events for s in slices])).explode())
    offsets = (draws.uniform(repeated.height) * repeated["length"]).cast(pl.Int64)
    return (repeated["start"] + offsets).sort()
