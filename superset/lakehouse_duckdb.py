"""DuckDB over the current snapshots of a lakehouse, for Superset: `duckdb+lakehouse://`.

Every connection is a database in memory of its own. What it shows comes from the files that the lakehouse publishes with each
commit (`current.json`, `views.json`), so no database is shared with a load, and nothing waits for one. It only reads: DuckDB is
told which folder it may open, its configuration is locked, and statements other than SELECT are refused by DuckDB's own parser.
"""

import json
import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
from duckdb_engine import ConnectionWrapper, CursorWrapper, Dialect
from sqlalchemy.dialects import registry
from sqlalchemy.pool import NullPool

FORMAT_VERSION = 1
MEMORY_LIMIT = "2GB"
CATALOGS = re.compile(r"information_schema|pg_catalog|duckdb_|sqlite_master|\b(show|describe|summarize)\b", re.IGNORECASE)


class Lakehouse:
    """What the tables' folder says of its tables and views at this moment.

    Args:
        folder: of the tables, with `_lakehouse` in it.

    Raises:
        duckdb.IOException: the files are of a newer lakehouse.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._relations: dict[str, tuple[str, list[str]]] = {}
        for path in sorted(folder.glob("_lakehouse/*/current.json")):
            table = _read(path)
            self._relations[table["table"]] = (f"SELECT * FROM iceberg_scan({_quoted(table['metadata'])})", [])
        for path in sorted(folder.glob("_lakehouse/*/views.json")):
            for view in _read(path)["views"]:
                if all(name in self._relations for name in view["needs"]):
                    self._relations[view["name"]] = (view["sql"], view["needs"])

    def asked_for(self, statement: str) -> dict[str, str]:
        """Name and SELECT of what a statement may read, in the order in which they can be made."""
        everything = CATALOGS.search(statement) is not None
        words = set(re.findall(r"\w+", statement))
        wanted: dict[str, str] = {}
        for name, (sql, needs) in self._relations.items():
            if everything or name in words:
                wanted.update({need: self._relations[need][0] for need in needs})
                wanted[name] = sql
        return wanted


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    if content["version"] > FORMAT_VERSION:
        raise duckdb.IOException(f"{path} is of a newer lakehouse than these dashboards: update them")
    return content


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def connect(folder: Path) -> duckdb.DuckDBPyConnection:
    """An empty DuckDB that can open Iceberg tables in one folder and nothing else, and whose configuration is locked."""
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": "",
        }
    )
    for name in ("avro", "iceberg"):
        extension = next(Path(str(files(f"duckdb_extension_{name}"))).glob(f"extensions/*/{name}.duckdb_extension"))
        connection.execute(f"LOAD {_quoted(str(extension))}")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET allowed_directories = [{_quoted(str(folder) + '/')}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def check(statement: str) -> None:
    """Refuse what is no SELECT: DuckDB would let COPY write even into the folder that it may read.

    Raises:
        duckdb.PermissionException: says so.
    """
    if any(part.type != duckdb.StatementType.SELECT for part in duckdb.extract_statements(statement)):
        raise duckdb.PermissionException("the lakehouse is read-only here: write a single SELECT")


class ReadingCursor(CursorWrapper):
    """Makes the views that a statement names, then runs it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, wrapper: "ReadingConnection"):
        super().__init__(connection, wrapper)
        self._raw, self._lakehouse, self._made = connection, wrapper.lakehouse, wrapper.made

    def execute(self, statement: str, parameters: Any = None, context: Any = None) -> None:
        check(statement)
        for name, sql in self._lakehouse.asked_for(statement).items():
            if name not in self._made:
                self._raw.execute(f'CREATE VIEW "{name}" AS {sql}')
                self._made.add(name)
        super().execute(statement, parameters, context)

    def executemany(self, statement: str, parameters: Any = None, context: Any = None) -> None:
        raise duckdb.PermissionException("the lakehouse is read-only here")


class ReadingConnection(ConnectionWrapper):
    """A connection whose cursors read the versions that were current when it was opened."""

    def __init__(self, folder: Path):
        self.lakehouse, self.made = Lakehouse(folder), set[str]()
        self._raw = connect(folder)
        super().__init__(self._raw)

    def cursor(self) -> ReadingCursor:
        return ReadingCursor(self._raw, self)


class LakehouseDialect(Dialect):
    """SQLAlchemy's dialect for `duckdb+lakehouse://`; the folder comes from DASHBOARDS_TABLES, never from the address."""

    driver = "lakehouse"
    supports_statement_cache = False

    def connect(self, *_: Any, **__: Any) -> ReadingConnection:
        return ReadingConnection(Path(os.environ["DASHBOARDS_TABLES"]))

    @classmethod
    def get_pool_class(cls, url: Any) -> type[NullPool]:
        return NullPool


registry.register("duckdb.lakehouse", __name__, LakehouseDialect.__name__)
