"""The SQLite database of the catalog is made by whoever comes first, and nobody who comes second is refused."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from lakehouse.catalog import open_catalog
from lakehouse.errors import CatalogError
from tests.support.home import Home


def refuse(monkeypatch: pytest.MonkeyPatch, message: str) -> list[str]:
    """Let SQLite refuse the first connection with this message; the list grows by one for each connection made."""
    connect, seen = sqlite3.connect, []

    def refusing(database: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:
        seen.append(str(database))
        if len(seen) == 1:
            raise sqlite3.OperationalError(message)
        connection: sqlite3.Connection = connect(database, *arguments, **options)
        return connection

    monkeypatch.setattr(sqlite3, "connect", refusing)
    return seen


def test_a_rival_that_makes_the_database_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    seen = refuse(monkeypatch, "database is locked")
    open_catalog(home.settings)
    assert len(seen) >= 2
    with sqlite3.connect(home.settings.home / "catalog.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_what_no_waiting_mends_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    seen = refuse(monkeypatch, "unable to open database file")
    with pytest.raises(CatalogError, match=r"catalog\.db cannot be created: unable to open database file: set `home`"):
        open_catalog(home.settings)
    assert len(seen) == 1
