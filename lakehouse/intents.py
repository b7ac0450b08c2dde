"""What a load is about to write, noted before it writes: the way left-over files are known, not guessed.

A load that ended without its commit leaves its intent. Before its files may go, its load id is fenced: a commit notes in
the ledger that it may never commit any more. A writer that was only paused then finds its snapshot moved, asks the
ledger, and gives up instead of committing files that are gone.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from pyiceberg.table import Table

from lakehouse.errors import StorageError
from lakehouse.ledger import ledger_root
from lakehouse.storage import Store, storage_errors


@dataclass(frozen=True)
class Intent:
    """A load under way.

    Args:
        load_id: of the load.
        begun: ISO time, UTC.
        host, process: who, to tell a person.
        folder: where its data files go.
    """

    load_id: str
    begun: str
    host: str
    process: int
    folder: str


class Intents:
    """The intents of one table."""

    def __init__(self, store: Store, ledger_root: str):
        self._store = store
        self._folder = f"{ledger_root}/intents"

    def declare(self, load_id: str, folder: str) -> None:
        """Note that files will be written into a folder."""
        intent = Intent(load_id, datetime.now(UTC).isoformat(timespec="seconds"), socket.gethostname(), os.getpid(), folder)
        self._store.write(self._path(load_id), json.dumps(asdict(intent)).encode())

    def stands(self, load_id: str) -> bool:
        """Whether the intent is still there; a clean-up takes it away last."""
        return self._store.exists(self._path(load_id))

    def withdraw(self, load_id: str) -> None:
        """The load is over: committed, or its files are deleted."""
        self._store.delete([self._path(load_id)])

    def all(self) -> Iterator[Intent]:
        """All intents that stand, of loads under way and of loads that were killed."""
        for stored in list(self._store.files(self._folder)):
            content = self._store.read(stored.path)
            if content and stored.path.endswith(".json"):
                yield Intent(**json.loads(content))

    def _path(self, load_id: str) -> str:
        return f"{self._folder}/{load_id}.json"


def discard_load(store: Store, intents: Intents, table: Table, load_id: str) -> int:
    """Delete everything that a load wrote and that no snapshot refers to; returns the number of files."""
    location = table.location().rstrip("/")
    root = ledger_root(location)
    deleted = store.delete([stored.path for stored in store.files(f"{location}/data/{load_id}")], with_folders=True)
    names = [stored.path for folder in (f"{location}/metadata", root, f"{root}/rejects") for stored in store.files(folder)]
    deleted += store.delete({name for name in names if load_id in name.rpartition("/")[2] and "/intents/" not in name})
    intents.withdraw(load_id)
    return deleted


def discard_failed(store: Store, intents: Intents, table: Table, load_id: str) -> None:
    """The same for a load that failed: that is what is to be told, and its intent stands for a clean-up if files stay."""
    with suppress(StorageError), storage_errors(f"cleaning up load {load_id}"):
        discard_load(store, intents, table, load_id)
