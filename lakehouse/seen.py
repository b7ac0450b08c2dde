"""What was seen where: lets a load skip inputs that did not change without reading a byte of them.

A hint, never an authority: an entry counts only while the ledger still holds what it says. Losing the file, or one of two
loads that write it at once, costs a second reading and nothing else. There are several files, each for some locations, so
that a load of one input reads and writes a small part of what is known.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.inputs import InputFile
from lakehouse.ledger import Ledger
from lakehouse.storage import Store

FILES = 32
"""Files that the entries are spread over."""
_Entries = dict[tuple[str, str, str], "Seen"]
_SCHEMA = pa.schema(
    [
        ("location", pa.string()),
        ("site", pa.string()),
        ("source", pa.string()),
        ("fingerprint", pa.string()),
        ("input_id", pa.string()),
        ("length", pa.int64()),
        ("pending", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class Seen:
    """An input as it was last read: `length` bytes of it are in the ledger under `input_id`; `pending`: not yet all.

    An `input_id` of "" stands for an input in which there was nothing complete yet.
    """

    location: str
    site: str
    source: str
    fingerprint: str
    input_id: str
    length: int
    pending: bool


class SeenInputs:
    """The entries of one table."""

    def __init__(self, store: Store, ledger_root: str):
        self._store = store
        self._folder = f"{ledger_root}/seen"
        self._entries: dict[str, _Entries] = {}

    def _path(self, location: str) -> str:
        return f"{self._folder}/{zlib.crc32(location.encode()) % FILES:02d}.parquet"

    def _read(self, path: str) -> _Entries:
        content = self._store.read(path)
        if content is None:
            return {}
        try:
            rows = pq.read_table(pa.BufferReader(content), use_threads=False).to_pylist()
        except pa.ArrowException:
            return {}
        return {(row["location"], row["site"], row["source"]): Seen(**row) for row in rows}

    def _known(self, path: str) -> _Entries:
        if path not in self._entries:
            self._entries[path] = self._read(path)
        return self._entries[path]

    def unchanged(self, found: InputFile, site: str, source: str, ledger: Ledger, final: bool) -> Seen | None:
        """The entry of an input that need not be read, or None when it must be.

        Args:
            final: an unfinished last line is to be taken too, so an input with one must be read.
        """
        seen = self._known(self._path(found.location)).get((found.location, site, source))
        if seen is None or seen.fingerprint != found.fingerprint or (final and seen.pending):
            return None
        record = ledger.inputs.get(seen.input_id)
        return seen if record is not None and record.length >= seen.length else None

    def begun(self, location: str, site: str, source: str) -> str | None:
        """Fingerprint of what lay there when it was last read, if there was nothing complete in it."""
        seen = self._known(self._path(location)).get((location, site, source))
        return seen.fingerprint if seen is not None and not seen.input_id else None

    def remember(self, entries: Iterable[Seen]) -> None:
        """Keep entries beside those that other loads have written meanwhile."""
        by_path: dict[str, _Entries] = {}
        for entry in entries:
            by_path.setdefault(self._path(entry.location), {})[entry.location, entry.site, entry.source] = entry
        for path, new in by_path.items():
            known = self._known(path)
            if any(known.get(key) != entry for key, entry in new.items()):
                self._entries[path] = self._read(path) | new
                self._write(path)

    def _write(self, path: str) -> None:
        rows = [vars(entry) for entry in self._entries[path].values()]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), sink, compression="zstd")
        self._store.write(path, sink.getvalue().to_pybytes())
