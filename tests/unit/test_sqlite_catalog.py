"""The SQLite database of the catalog: made by whoever comes first, laid out like pyiceberg's, and no commit goes under."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.schema import Schema
from pyiceberg.table.update import AssertCurrentSchemaId, SetPropertiesUpdate
from pyiceberg.types import LongType, NestedField

from lakehouse.catalog import open_catalog
from lakehouse.errors import CatalogError
from lakehouse.settings import load_settings
from lakehouse.sqlite_catalog import SqliteCatalog
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


SCHEMA = Schema(NestedField(1, "number", LongType(), required=False))


def own(folder: Path) -> SqliteCatalog:
    return SqliteCatalog("lakehouse", uri=str(folder / "catalog.db"), warehouse=str(folder / "warehouse"))


def other(folder: Path) -> SqlCatalog:
    return SqlCatalog("lakehouse", uri=f"sqlite:///{folder}/catalog.db", warehouse=str(folder / "warehouse"))


def change(catalog: Catalog, key: str, value: str) -> None:
    with catalog.load_table("logs.requests").transaction() as transaction:
        transaction.set_properties({key: value})


@pytest.mark.parametrize(("first", "second"), [(own, other), (other, own)])
def test_what_one_catalog_wrote_the_other_goes_on_with(tmp_path: Path, first: Any, second: Any) -> None:
    first(tmp_path).create_namespace("logs")
    made = first(tmp_path).create_table("logs.requests", SCHEMA, properties={"a": "1"})
    change(first(tmp_path), "b", "2")
    change(second(tmp_path), "c", "3")
    for catalog in (first(tmp_path), second(tmp_path)):
        table = catalog.load_table(("logs", "requests"))
        assert table.schema() == SCHEMA
        assert table.location() == made.location()
        assert table.properties == {"a": "1", "b": "2", "c": "3"}
        assert catalog.list_namespaces() == [("logs",)]
        assert catalog.list_tables("logs") == [("logs", "requests")]
        assert catalog.load_namespace_properties("logs") == {"exists": "true"}


def test_views_are_no_tables(tmp_path: Path) -> None:
    catalog = own(tmp_path)
    catalog.create_namespace("logs")
    catalog.create_table("logs.requests", SCHEMA)
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        connection.execute("UPDATE iceberg_tables SET iceberg_type = 'VIEW'")
    connection.close()
    assert catalog.list_tables("logs") == []
    with pytest.raises(NoSuchTableError):
        catalog.load_table("logs.requests")


def test_a_database_of_before_there_were_views(tmp_path: Path) -> None:
    own(tmp_path).create_namespace("logs")
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        connection.execute("ALTER TABLE iceberg_tables DROP COLUMN iceberg_type")
    connection.close()
    own(tmp_path).create_table("logs.requests", SCHEMA)
    change(own(tmp_path), "a", "1")
    assert own(tmp_path).list_tables("logs") == [("logs", "requests")]


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    catalog = own(tmp_path)
    with pytest.raises(NoSuchNamespaceError):
        catalog.create_table("logs.requests", SCHEMA)
    catalog.create_namespace("logs")
    catalog.create_table("logs.requests", SCHEMA)
    with pytest.raises(NamespaceAlreadyExistsError):
        catalog.create_namespace("logs")
    with pytest.raises(TableAlreadyExistsError):
        catalog.create_table("logs.requests", SCHEMA)


def test_rivals_make_the_same_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = own(tmp_path)
    catalog.create_namespace("logs")
    monkeypatch.setattr(SqliteCatalog, "namespace_exists", lambda *_: False)
    with pytest.raises(NamespaceAlreadyExistsError):
        catalog.create_namespace("logs")


def test_a_version_is_read_once(tmp_path: Path) -> None:
    catalog = own(tmp_path)
    catalog.create_namespace("logs")
    catalog.create_table("logs.requests", SCHEMA)
    change(catalog, "ours", "1")
    change(own(tmp_path), "theirs", "1")
    seen = catalog.load_table("logs.requests")
    assert seen.properties == {"ours": "1", "theirs": "1"}
    Path(seen.metadata_location).unlink()
    assert catalog.load_table("logs.requests").metadata == seen.metadata
    with pytest.raises(FileNotFoundError):
        own(tmp_path).load_table("logs.requests")


def test_of_two_who_looked_at_the_same_version_one_commits(tmp_path: Path) -> None:
    catalog = own(tmp_path)
    catalog.create_namespace("logs")
    catalog.create_table("logs.requests", SCHEMA)
    seen = catalog.load_table("logs.requests")
    with own(tmp_path).load_table("logs.requests").update_schema() as theirs:
        theirs.add_column("theirs", LongType())
    with pytest.raises(CommitFailedException):
        catalog.commit_table(seen, (AssertCurrentSchemaId(current_schema_id=0),), (SetPropertiesUpdate(updates={"ours": "1"}),))
    assert catalog.load_table("logs.requests").schema().column_names == ["number", "theirs"]
    # What concerns nothing that was changed is added to the newest version.
    catalog.commit_table(seen, (), (SetPropertiesUpdate(updates={"ours": "1"}),))
    assert catalog.load_table("logs.requests").schema().column_names == ["number", "theirs"]
    assert catalog.load_table("logs.requests").properties == {"ours": "1"}


def test_a_rival_between_the_look_and_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = own(tmp_path)
    catalog.create_namespace("logs")
    catalog.create_table("logs.requests", SCHEMA)
    write = SqliteCatalog._write_metadata

    def write_too_late(*arguments: Any) -> None:
        monkeypatch.setattr(SqliteCatalog, "_write_metadata", staticmethod(write))
        change(own(tmp_path), "theirs", "1")
        write(*arguments)

    monkeypatch.setattr(SqliteCatalog, "_write_metadata", staticmethod(write_too_late))
    with pytest.raises(CommitFailedException, match="updated by another process"):
        change(catalog, "ours", "1")
    assert catalog.load_table("logs.requests").properties == {"theirs": "1"}


def test_what_this_package_never_asks_for(tmp_path: Path) -> None:
    catalog = own(tmp_path)
    catalog.create_namespace("logs")
    catalog.create_table("logs.requests", SCHEMA)
    catalog.rename_table("logs.requests", "logs.others")
    assert catalog.list_tables("logs") == [("logs", "others")]
    catalog.drop_table("logs.others")
    catalog.drop_namespace("logs")
    assert catalog.list_namespaces() == []
    catalog.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        catalog.list_namespaces()


def test_pyicebergs_own_configuration_of_another_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKEHOUSE__TYPE", "sql")
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKEHOUSE__URI", "postgresql://elsewhere/catalog")
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKEHOUSE__S3__CONNECT_TIMEOUT", "5")
    catalog = open_catalog(load_settings({"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_CATALOG_TYPE": "sqlite"}))
    assert isinstance(catalog, SqliteCatalog)
    assert catalog.properties["uri"] == str(tmp_path / "catalog.db")
    assert catalog.properties["s3.connect-timeout"] == "5"
    catalog.close()
