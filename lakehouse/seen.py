"""What was seen where: lets a load skip inputs that did not change without reading a byte of them.

A hint, never an authority: an entry counts only while the ledger still holds what it says. Losing the file, or one of two
loads that write it at once, costs a second reading and nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.inputs import InputFile
from lakehouse.ledger import Ledger
from lakehouse.storage import Store

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
    """An input as it was last read: `length` bytes of it are in the ledger under `input_id`; `pending`: not yet all."""

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
        self._path = f"{ledger_root}/seen.parquet"
        self._entries = self._read()

    def _read(self) -> dict[tuple[str, str, str], Seen]:
        content = self._store.read(self._path)
        if content is None:
            return {}
        try:
            rows = pq.read_table(pa.BufferReader(content)).to_pylist()
        except pa.ArrowException:
            return {}
        return {(row["location"], row["site"], row["source"]): Seen(**row) for row in rows}

    def unchanged(self, found: InputFile, site: str, source: str, ledger: Ledger, final: bool) -> Seen | None:
        """The entry of an input that need not be read, or None when it must be.

        Args:
            final: an unfinished last line is to be taken too, so an input with one must be read.
        """
        seen = self._entries.get((found.location, site, source))
        if seen is None or seen.fingerprint != found.fingerprint or (final and seen.pending):
            return None
        record = ledger.inputs.get(seen.input_id)
        return seen if record is not None and record.length >= seen.length else None

    def remember(self, entries: Iterable[Seen]) -> None:
        """Keep entries beside those that other loads have written meanwhile."""
        new = {(entry.location, entry.site, entry.source): entry for entry in entries}
        if all(self._entries.get(key) == entry for key, entry in new.items()):
            return
        self._entries = self._read() | new
        table = pa.Table.from_pylist([vars(entry) for entry in self._entries.values()], schema=_SCHEMA)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self._store.write(self._path, sink.getvalue().to_pybytes())
