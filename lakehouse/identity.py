"""Which input is this? Decided by a hash over its bytes, compared with the ledger (DESIGN 2)."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import polars as pl

from lakehouse.ledger import TRAIL_CHARACTERS, Beginning, InputRecord, trail_of

FIRST_CHECKPOINT = 32
"""Bytes: with the time in it a log's first line differs from other logs' soon, so that few records are ever compared."""
LINE_ENDS, LINE_END_CHARACTERS = 16, 8
"""Lines whose ends are compared too, and hexadecimal digits of each: short inputs that share a long header are no kin."""


class Relation(StrEnum):
    """How an input's bytes relate to what the ledger holds."""

    NEW = "new"
    SAME = "same"
    GROWN = "grown"
    OPEN_END = "open end"
    SHORTER = "shorter"


@dataclass(frozen=True)
class Identity:
    """The outcome of a comparison.

    Args:
        relation: NEW: nothing known; SAME: the same bytes; GROWN: `record` is a prefix; OPEN_END: grown too, but the
            last loaded line has turned out to be unfinished, so that `record` must be replaced; SHORTER: every
            checkpoint agrees with longer records, whose rows must be compared to be sure.
        record: what it relates to; None when NEW or SHORTER.
        longer: the longer records, when SHORTER.
    """

    relation: Relation
    record: InputRecord | None = None
    longer: tuple[InputRecord, ...] = ()


class Hasher:
    """SHA-256 of a stream, its value at powers of two from FIRST_CHECKPOINT on, at the first line ends and at chosen lengths."""

    def __init__(self, marks: Iterable[int] = ()):
        self._hash = hashlib.sha256()
        self.length = 0
        self.checkpoints: list[str] = []
        self.line_ends: list[str] = []
        self._marks = sorted(set(marks), reverse=True)
        self.digest_at: dict[int, str] = {}

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        view = memoryview(data)
        while view:
            stop = min(self._next_stop(), self.length + len(view))
            step = stop - self.length
            end = -1
            if len(self.line_ends) < LINE_ENDS:
                end = view[:step].tobytes().find(b"\n") + 1
                if end:
                    step, stop = end, self.length + end
            self._hash.update(view[:step])
            self.length = stop
            view = view[step:]
            if end > 0:
                self.line_ends.append(self._hash.hexdigest()[:LINE_END_CHARACTERS])
            if stop == FIRST_CHECKPOINT << len(self.checkpoints):
                self.checkpoints.append(self._hash.hexdigest()[:32])
            while self._marks and self._marks[-1] <= stop:
                self.digest_at[self._marks.pop()] = self._hash.hexdigest()

    def _next_stop(self) -> int:
        checkpoint = FIRST_CHECKPOINT << len(self.checkpoints)
        return min(checkpoint, self._marks[-1]) if self._marks else checkpoint

    def copy(self) -> "Hasher":
        """Another one that goes on from here by itself."""
        other = copy(self)
        other._hash = self._hash.copy()
        other.checkpoints, other.line_ends = self.checkpoints.copy(), self.line_ends.copy()
        other._marks, other.digest_at = self._marks.copy(), self.digest_at.copy()
        return other

    @property
    def digest(self) -> str:
        """Of all bytes so far, hex."""
        return self._hash.hexdigest()


def in_scope(record: InputRecord, site: str, source: str) -> bool:
    """Whether an input of this site and source is compared with a record.

    Sources that nobody named (empty, or the folder when one command spanned several) are compared with each other as
    far as they can be the same: otherwise loading a folder once alone and once among others would load it twice.
    """
    if record.site != site:
        return False
    return record.source == source or not (is_named(record.source) or is_named(source) or "" not in (record.source, source))


def is_named(source: str) -> bool:
    """Whether somebody has named this source; it is no folder, and not empty."""
    return source != "" and "/" not in source


def candidates(head: bytes, records: Iterable[InputRecord]) -> list[InputRecord]:
    """Records that an input beginning with `head` can be related to.

    Args:
        head: first bytes of the input; all of them when it is shorter than a head usually is.
        records: those in its scope.
    """
    hasher = Hasher(record.length for record in records if record.length <= len(head))
    hasher.update(head)
    return [
        record
        for record in records
        if agrees(hasher.checkpoints, record.checkpoints)
        and agrees(hasher.line_ends, record.line_ends)
        and (record.length > len(head) or hasher.digest_at[record.length] == record.digest)
    ]


class _Lookup:
    """Rows by how a column's hexadecimal digits begin, found by bisection: a dictionary of all takes long to make."""

    def __init__(self, column: pl.Series):
        numbers = column.str.head(TRAIL_CHARACTERS).str.to_integer(base=16, dtype=pl.UInt32).to_numpy()
        self._order = np.argsort(numbers)
        self._numbers = numbers[self._order]

    def rows(self, text: str) -> list[int]:
        """Rows whose column begins like `text`."""
        number = np.uint32(int(text[:TRAIL_CHARACTERS], 16))
        first, last = (np.searchsorted(self._numbers, number, side) for side in ("left", "right"))
        return [int(row) for row in self._order[first:last]]


class KnownInputs:
    """Records, found by how their bytes begin: among thousands, few need comparing with an input.

    Args:
        records: of the ledger, by id; only those that an input can be related to are asked for.
        beginnings: what they are found by, with the fields of `Beginning` as columns.
        without: ids of those that do not count.
    """

    def __init__(self, records: Mapping[str, InputRecord], beginnings: pl.DataFrame, without: Iterable[str] = ()):
        self._records = records
        self._beginnings = beginnings.select(Beginning._fields)
        self._starts = _Lookup(beginnings.select(pl.coalesce(pl.col("trail").replace("", None), "digest")).to_series())
        self._digests = _Lookup(beginnings["digest"])
        self._gone = set(without)
        self._added: dict[str, InputRecord] = {}
        self._added_by: dict[str, dict[str, Beginning]] = {}

    def add(self, record: InputRecord) -> None:
        """Add a record, or put it in the place of its former self."""
        self.remove(record.id)
        self._added[record.id] = record
        for key in _keys(record.beginning):
            self._added_by.setdefault(key, {})[record.id] = record.beginning

    def remove(self, record_id: str) -> None:
        """Forget a record; one that is not there does not matter."""
        self._gone.add(record_id)
        record = self._added.pop(record_id, None)
        for key in _keys(record.beginning) if record else ():
            del self._added_by[key][record_id]

    def _record(self, record_id: str) -> InputRecord:
        return self._added.get(record_id) or self._records[record_id]

    def _stored(self, rows: Iterable[int]) -> list[Beginning]:
        """Beginnings of the ledger's records in these rows, as far as they still count."""
        found = (Beginning._make(self._beginnings.row(row)) for row in rows)
        return [beginning for beginning in found if beginning.id not in self._gone]

    def candidates(self, head: bytes, site: str, source: str) -> list[InputRecord]:
        """Records in scope that an input beginning with `head` can be related to."""
        if len(head) < FIRST_CHECKPOINT:
            found = [*self._stored(range(self._beginnings.height)), *(record.beginning for record in self._added.values())]
        else:
            hasher = Hasher(range(1, FIRST_CHECKPOINT))
            hasher.update(head[:FIRST_CHECKPOINT])
            starts = {start[:TRAIL_CHARACTERS] for start in (*hasher.checkpoints, *hasher.digest_at.values())}
            found = self._stored(row for start in starts for row in self._starts.rows(start))
            found += [beginning for start in starts for beginning in self._added_by.get(start, {}).values()]
        found = [beginning for beginning in found if beginning.site == site]
        hasher = Hasher(beginning.length for beginning in found if beginning.length <= len(head))
        hasher.update(head)
        trail = trail_of(hasher.checkpoints)
        records = [
            self._record(beginning.id)
            for beginning in found
            if hasher.digest_at.get(beginning.length) == beginning.digest
            or (beginning.length > len(head) and beginning.trail.startswith(trail))
        ]
        return candidates(head, [record for record in records if in_scope(record, site, source)])

    def with_digest(self, digest: str) -> list[InputRecord]:
        """Records of exactly the bytes with this SHA-256, in any scope."""
        found = [*self._stored(self._digests.rows(digest)), *self._added_by.get(digest, {}).values()]
        return [self._record(beginning.id) for beginning in found if beginning.digest == digest]


def _keys(beginning: Beginning) -> set[str]:
    """What a record of this load is found by: its start and its digest, which is longer."""
    return {(beginning.trail or beginning.digest)[:TRAIL_CHARACTERS], beginning.digest}


def identify(hasher: Hasher, related: Iterable[InputRecord], bytes_after: dict[int, bytes]) -> Identity:
    """Decide what an input is, once all its bytes are hashed.

    Args:
        hasher: of the whole input, with a mark at each related record's length.
        related: candidates.
        bytes_after: for records with an open end, the two bytes of the input behind their length.
    """
    records = sorted(related, key=lambda record: record.length, reverse=True)
    for record in records:
        if record.length == hasher.length and record.digest == hasher.digest:
            return Identity(Relation.SAME, record)
    for record in records:
        if record.length < hasher.length and hasher.digest_at[record.length] == record.digest:
            finished = not record.open_end or bytes_after.get(record.length, b"").startswith((b"\n", b"\r\n"))
            return Identity(Relation.GROWN if finished else Relation.OPEN_END, record)
    longer = tuple(
        record
        for record in records
        if record.length > hasher.length
        and agrees(hasher.checkpoints, record.checkpoints)
        and agrees(hasher.line_ends, record.line_ends)
    )
    return Identity(Relation.SHORTER, longer=longer) if longer else Identity(Relation.NEW)


def agrees(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether two inputs have the same checkpoints or line ends, as far as the one with fewer has any."""
    return all(mine == other for mine, other in zip(ours, theirs, strict=False))
