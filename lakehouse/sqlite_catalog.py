"""The catalog in an SQLite database, without SQLAlchemy, which takes a third of a command's start to import.

Its tables are those of pyiceberg's SQL catalog, so that other programs open the same database with that one. What this
package never asks for is left to it.
"""

import sqlite3
from itertools import chain
from threading import Lock
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import URI, MetastoreCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.io import load_file_io
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortOrder
from pyiceberg.table.update import TableRequirement, TableUpdate
from pyiceberg.typedef import EMPTY_DICT, Identifier, Properties

BUSY_SECONDS = 60
"""How long another writer is waited for."""
_TABLES = """
    CREATE TABLE IF NOT EXISTS iceberg_tables (
        catalog_name VARCHAR(255) NOT NULL,
        table_namespace VARCHAR(255) NOT NULL,
        table_name VARCHAR(255) NOT NULL,
        metadata_location VARCHAR(1000),
        previous_metadata_location VARCHAR(1000),
        iceberg_type VARCHAR(5),
        PRIMARY KEY (catalog_name, table_namespace, table_name)
    )
"""
_NAMESPACES = """
    CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
        catalog_name VARCHAR(255) NOT NULL,
        namespace VARCHAR(255) NOT NULL,
        property_key VARCHAR(255) NOT NULL,
        property_value VARCHAR(1000) NOT NULL,
        PRIMARY KEY (catalog_name, namespace, property_key)
    )
"""
_THIS = "catalog_name = ? AND table_namespace = ? AND table_name = ?"


def _left_to_pyiceberg(name: str) -> Any:
    def call(catalog: "SqliteCatalog", *arguments: Any, **named: Any) -> Any:
        from pyiceberg.catalog.sql import SqlCatalog

        path = catalog.properties[URI]
        with SqlCatalog(catalog.name, **{**catalog.properties, URI: f"sqlite:///{path}?timeout={BUSY_SECONDS}"}) as whole:
            return getattr(whole, name)(*arguments, **named)

    return call


class SqliteCatalog(MetastoreCatalog):
    """See above; its property `uri` is the path of the database.

    Its methods raise `sqlite3.Error` besides what pyiceberg's catalogs raise.
    """

    def __init__(self, name: str, **properties: str) -> None:
        super().__init__(name, **properties)
        # Every statement is a transaction of its own, and threads may share a catalog, as they may pyiceberg's. One connection
        # stays open: the last one that is closed writes the whole journal back.
        self._database = sqlite3.connect(properties[URI], timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._one_at_a_time = Lock()
        # Of each table the version that was seen last. A file of metadata never changes, so only where it lies is asked again.
        self._seen: dict[tuple[str, str], tuple[str, TableMetadata]] = {}
        self._ask(_TABLES)
        self._ask(_NAMESPACES)
        # Older databases have no such column, and tables only.
        self._has_types = any(name == "iceberg_type" for _, name, *_ in self._ask("PRAGMA table_info(iceberg_tables)"))
        self._is_table = "(iceberg_type = 'TABLE' OR iceberg_type IS NULL)" if self._has_types else "true"

    def _ask(self, statement: str, *values: str) -> list[Any]:
        with self._one_at_a_time:
            return self._database.execute(statement, values).fetchall()

    def _change(self, statement: str, *values: str) -> int:
        """Returns how many rows were changed, for good."""
        with self._one_at_a_time:
            return self._database.execute(statement, values).rowcount

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def load_table(self, identifier: str | Identifier) -> Table:
        """The table as it is now; raises NoSuchTableError."""
        namespace, name = self._names(identifier)
        location = self._location(namespace, name)
        if location is None:
            raise NoSuchTableError(f"Table does not exist: {namespace}.{name}")
        seen, metadata = self._seen.get((namespace, name), ("", None))
        if metadata is None or seen != location:
            metadata = FromInputFile.table_metadata(load_file_io(self.properties, location).new_input(location))
        return self._table(namespace, name, metadata, location)

    def create_table(
        self,
        identifier: str | Identifier,
        schema: Schema | pa.Schema,
        location: str | None = None,
        partition_spec: PartitionSpec = UNPARTITIONED_PARTITION_SPEC,
        sort_order: SortOrder = UNSORTED_SORT_ORDER,
        properties: Properties = EMPTY_DICT,
    ) -> Table:
        """Make a table; raises TableAlreadyExistsError and NoSuchNamespaceError."""
        namespace, name = self._names(identifier)
        self._check_namespace(namespace)
        staged = self._create_staged_table(identifier, schema, location, partition_spec, sort_order, properties)
        self._write_metadata(staged.metadata, staged.io, staged.metadata_location)
        self._insert(namespace, name, staged.metadata_location)
        return self._table(namespace, name, staged.metadata, staged.metadata_location)

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Put a new version in the place of the current one; raises CommitFailedException.

        Args:
            table: a version that was looked at, not necessarily the current one.
            requirements: that the current one must meet.
            updates: to the current one.
        """
        namespace, name = self._names(table.name())
        location = self._location(namespace, name)
        current: Table | None = None
        if location is not None:
            current = table if location == table.metadata_location else self.load_table(table.name())
        staged = self._update_and_stage_table(current, table.name(), requirements, updates)
        if current is not None and staged.metadata == current.metadata:
            return CommitTableResponse(metadata=current.metadata, metadata_location=current.metadata_location)
        self._write_metadata(staged.metadata, staged.io, staged.metadata_location)
        if current is None:
            self._insert(namespace, name, staged.metadata_location)
        else:
            self._replace(namespace, name, current.metadata_location, staged.metadata_location)
        self._seen[namespace, name] = staged.metadata_location, staged.metadata
        return CommitTableResponse(metadata=staged.metadata, metadata_location=staged.metadata_location)

    def namespace_exists(self, identifier: str | Identifier) -> bool:
        """Whether there is such a namespace, or one below it."""
        wanted = self.identifier_to_tuple(self.namespace_to_string(identifier))
        return any(known[: len(wanted)] == wanted for known in self._namespaces())

    def create_namespace(self, namespace: str | Identifier, properties: Properties = EMPTY_DICT) -> None:
        """Make a namespace; raises NamespaceAlreadyExistsError."""
        name = self.namespace_to_string(namespace)
        taken = NamespaceAlreadyExistsError(f"Namespace {name} already exists")
        if self.namespace_exists(name):
            raise taken
        rows = [(self.name, name, key, value) for key, value in (properties or {"exists": "true"}).items()]
        values = ", ".join(["(?, ?, ?, ?)"] * len(rows))
        try:
            self._change(f"INSERT INTO iceberg_namespace_properties VALUES {values}", *chain.from_iterable(rows))
        except sqlite3.IntegrityError as error:
            raise taken from error

    def list_namespaces(self, namespace: str | Identifier = ()) -> list[Identifier]:
        """The namespaces right below one, or those at the top; raises NoSuchNamespaceError."""
        above = self.identifier_to_tuple(namespace)
        if above:
            self._check_namespace(self.namespace_to_string(above))
        below = {known[: len(above) + 1] for known in self._namespaces() if known[: len(above)] == above and known != above}
        return sorted(below)

    def load_namespace_properties(self, namespace: str | Identifier) -> Properties:
        """What is known of a namespace; raises NoSuchNamespaceError."""
        name = self.namespace_to_string(namespace)
        self._check_namespace(name)
        query = "SELECT property_key, property_value FROM iceberg_namespace_properties WHERE catalog_name = ? AND namespace = ?"
        return dict(self._ask(query, self.name, name))

    def list_tables(self, namespace: str | Identifier) -> list[Identifier]:
        """The tables of a namespace; raises NoSuchNamespaceError."""
        name = self.namespace_to_string(namespace)
        self._check_namespace(name)
        query = f"SELECT table_name FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ? AND {self._is_table}"
        return [(*self.identifier_to_tuple(name), table) for (table,) in self._ask(query, self.name, name)]

    drop_namespace = _left_to_pyiceberg("drop_namespace")
    drop_table = _left_to_pyiceberg("drop_table")
    drop_view = _left_to_pyiceberg("drop_view")
    list_views = _left_to_pyiceberg("list_views")
    load_view = _left_to_pyiceberg("load_view")
    register_table = _left_to_pyiceberg("register_table")
    register_view = _left_to_pyiceberg("register_view")
    rename_table = _left_to_pyiceberg("rename_table")
    update_namespace_properties = _left_to_pyiceberg("update_namespace_properties")
    view_exists = _left_to_pyiceberg("view_exists")

    def _names(self, identifier: str | Identifier) -> tuple[str, str]:
        """Namespace and name of a table."""
        return self.namespace_to_string(self.namespace_from(identifier)), self.table_name_from(identifier)

    def _location(self, namespace: str, name: str) -> str | None:
        """Where the current version of a table is described."""
        found = self._ask(
            f"SELECT metadata_location FROM iceberg_tables WHERE {_THIS} AND {self._is_table}", self.name, namespace, name
        )
        return found[0][0] if found else None

    def _table(self, namespace: str, name: str, metadata: TableMetadata, location: str) -> Table:
        self._seen[namespace, name] = location, metadata
        io = self._load_file_io(metadata.properties, location)
        return Table((*self.identifier_to_tuple(namespace), name), metadata, location, io, self)

    def _insert(self, namespace: str, name: str, location: str) -> None:
        row = {"catalog_name": self.name, "table_namespace": namespace, "table_name": name, "metadata_location": location}
        row |= {"iceberg_type": "TABLE"} if self._has_types else {}
        places = ", ".join("?" * len(row))
        try:
            self._change(f"INSERT INTO iceberg_tables ({', '.join(row)}) VALUES ({places})", *row.values())
        except sqlite3.IntegrityError as error:
            raise TableAlreadyExistsError(f"Table {namespace}.{name} already exists") from error

    def _replace(self, namespace: str, name: str, current: str, new: str) -> None:
        """Compare and set, in one statement."""
        update = "UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = ?"
        where = f"WHERE {_THIS} AND metadata_location = ?"
        if not self._change(f"{update} {where}", new, current, self.name, namespace, name, current):
            raise CommitFailedException(f"Table has been updated by another process: {namespace}.{name}")

    def _namespaces(self) -> set[Identifier]:
        """All that are named or have tables."""
        query = (
            "SELECT table_namespace FROM iceberg_tables WHERE catalog_name = ? "
            "UNION SELECT namespace FROM iceberg_namespace_properties WHERE catalog_name = ?"
        )
        return {self.identifier_to_tuple(name) for (name,) in self._ask(query, self.name, self.name)}

    def _check_namespace(self, name: str) -> None:
        if not self.namespace_exists(name):
            raise NoSuchNamespaceError(f"Namespace does not exist: {name}")
