"""DuckDB over the current snapshots of a lakehouse, for Superset: `duckdb+lakehouse://`.

Every connection has views of its own over one empty database in memory. What they show comes from the files that the lakehouse
publishes with each commit (`current.json`, `views.json`), so no database is shared with a load, and nothing waits for one. It
only reads: DuckDB is told which folder it may open, its configuration is locked, and `statements` lets through what it is asked.

The folder may be an address of S3, and need hold no tables: `read_parquet` works below it. Credentials come from the standard
chain (https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html), anew for each connection, because session
tokens expire. DuckDB's own extension for that chain is not loaded: it has a function that tells whoever may SELECT the secrets.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from threading import Lock, Timer
from typing import Any

import botocore.exceptions
import botocore.session
import duckdb
import numpy as np
import pyarrow as pa
from duckdb_engine import ConnectionWrapper, CursorWrapper, Dialect, DuckDBIdentifierPreparer
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.base import PGIdentifierPreparer
from sqlalchemy.pool import NullPool
from statements import check

FORMAT_VERSION = 1
PUBLISHED = ("current.json", "views.json")
MEMORY_LIMIT = "2GB"
"""Of all queries of a process together."""
STATEMENT_SECONDS = 60.0
"""After which a statement is ended: Superset's own limit, SQLLAB_TIMEOUT, is none for a server with threads."""
OWN_FUNCTIONS = frozenset({"weighted_percentile"})
"""That a statement may call beside those of DuckDB."""
CATALOGS = re.compile(r"information_schema|pg_catalog|duckdb_|sqlite_master|\b(show|describe|summarize)\b", re.IGNORECASE)


class Lakehouse:
    """What the tables' folder says of its tables and views at some moment.

    Args:
        published: path and text of its files.

    Raises:
        duckdb.Error: the files are of a newer lakehouse.
    """

    def __init__(self, published: list[tuple[str, str]]):
        self._relations: dict[str, tuple[str, list[str]]] = {}
        for table in _contents(published, "current.json"):
            self._relations[table["table"]] = (f"SELECT * FROM iceberg_scan({_quoted(table['metadata'])})", [])
        for dataset in _contents(published, "views.json"):
            for view in dataset["views"]:
                if all(name in self._relations for name in view["needs"]):
                    self._relations[view["name"]] = (view["sql"], view["needs"])

    def __bool__(self) -> bool:
        """Whether there are tables."""
        return bool(self._relations)

    def asked_for(self, statement: str) -> dict[str, str]:
        """Name and SELECT of what a statement may read, in the order in which they can be made."""
        everything = CATALOGS.search(statement) is not None
        words = set(re.findall(r"\w+", statement.casefold()))
        wanted: dict[str, str] = {}
        for name, (sql, needs) in self._relations.items():
            if everything or name.casefold() in words:
                wanted.update({need: self._relations[need][0] for need in needs})
                wanted[name] = sql
        return wanted


def _published(connection: duckdb.DuckDBPyConnection, folder: str) -> list[tuple[str, str]]:
    """Path and text of all files that tell what is in a folder with `_lakehouse` in it; without, there are none."""
    named = f"SELECT file FROM glob(?) WHERE parse_filename(file) IN ({', '.join(map(_quoted, PUBLISHED))})"
    paths = [path for (path,) in connection.execute(named, [f"{folder}/_lakehouse/*/*.json"]).fetchall()]
    if not paths:
        return []
    return connection.execute("SELECT filename, content FROM read_text(?) ORDER BY 1", [paths]).fetchall()


def _contents(published: list[tuple[str, str]], name: str) -> Iterator[dict[str, Any]]:
    """What all files of this name tell."""
    for path, text in published:
        if path.endswith(f"/{name}"):
            content: dict[str, Any] = json.loads(text)
            if content["version"] > FORMAT_VERSION:
                raise duckdb.IOException(f"{path} is of a newer lakehouse than these dashboards: update them")
            yield content


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True)
class Session:
    """A connection to DuckDB.

    Args:
        database: of which it is one.
        connection: with views of its own.
        published: what the tables' folder said when it was made.
        lakehouse: the same, understood.
        made: names of the views that it has.
    """

    database: duckdb.DuckDBPyConnection
    connection: duckdb.DuckDBPyConnection
    published: list[tuple[str, str]]
    lakehouse: Lakehouse
    made: set[str] = field(default_factory=set)


class Databases:
    """One database for each folder and process: to load DuckDB's extensions takes 0.2 s of CPU, more than most tiles do.

    Sessions are used again until the folder tells of something else: to make the views of a tile costs as much as to ask them.
    """

    def __init__(self) -> None:
        self._made: dict[str, duckdb.DuckDBPyConnection] = {}
        self._idle: dict[str, list[Session]] = {}
        self._lock = Lock()

    def open(self, folder: str) -> Session:
        """A session that can open files in one folder, or below one address of S3, and whose configuration is locked.

        It reads the versions that are current now.

        Raises:
            duckdb.Error: credentials cannot be had, or what the folder tells cannot be read.
        """
        database, connection = self._connect(folder)
        published = _published(connection, folder)
        with self._lock:
            current = [session for session in self._idle[folder] if session.published == published]
            found = current.pop() if current else None
            self._idle[folder] = current
        if found is None:
            return Session(database, connection, published, Lakehouse(published))
        connection.close()
        return found

    def give_back(self, folder: str, session: Session) -> None:
        """Keep a session for whoever comes next."""
        with self._lock:
            if session.database is self._made[folder]:
                self._idle[folder].append(session)

    def _connect(self, folder: str) -> tuple[duckdb.DuckDBPyConnection, duckdb.DuckDBPyConnection]:
        secret = _secret() if folder.startswith("s3://") else None
        with self._lock:
            database = self._made.get(folder)
            if database is None or not _works(database):
                database = self._made[folder] = _database(folder)
                self._idle[folder] = []
            if secret:
                database.execute(*secret)
            return database, database.cursor()


def _works(database: duckdb.DuckDBPyConnection) -> bool:
    """Whether nothing has gone so wrong in a database that it refuses all that comes."""
    try:
        database.execute("SELECT 1")
    except duckdb.Error:
        return False
    return True


def _database(folder: str) -> duckdb.DuckDBPyConnection:
    in_s3 = folder.startswith("s3://")
    database = duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "allow_persistent_secrets": "false",
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": "",
        }
    )
    for name in (*(["httpfs"] if in_s3 else []), "avro", "iceberg"):
        extension = next(Path(str(files(f"duckdb_extension_{name}"))).glob(f"extensions/*/{name}.duckdb_extension"))
        database.execute(f"LOAD {_quoted(str(extension))}")
    database.create_function(
        "weighted_percentile", weighted_percentile, ["DOUBLE[]", "BIGINT[]", "DOUBLE"], "DOUBLE", type="arrow"
    )
    database.execute("SET GLOBAL TimeZone = 'UTC'")
    # What lies on a disk is in the system's cache already.
    database.execute(f"SET GLOBAL enable_external_file_cache = {in_s3}")
    if authority := os.environ.get("AWS_CA_BUNDLE") if in_s3 else None:
        database.execute(f"SET GLOBAL ca_cert_file = {_quoted(authority)}")
        database.execute("SET GLOBAL enable_curl_server_cert_verification = true")
    database.execute(f"SET GLOBAL allowed_directories = [{_quoted(folder + '/')}]")
    database.execute("SET GLOBAL enable_external_access = false")
    database.execute("SET GLOBAL lock_configuration = true")
    return database


def weighted_percentile(values: pa.ChunkedArray, weights: pa.ChunkedArray, shares: pa.ChunkedArray) -> pa.Array:
    """Of each row's values, in any order and counted as often as their weights say, the one that a share of all does not exceed.

    DuckDB's own aggregates know no weights, and its lambda functions take 4 microseconds for each row of a histogram.

    Args:
        values, weights: lists of the same lengths.
        shares: from 0 to 1.
    """
    found = []
    for value, weight, share in zip(values, weights, shares, strict=True):
        order = np.argsort(points := value.values.to_numpy(zero_copy_only=False), kind="stable")
        running = np.cumsum(weight.values.to_numpy(zero_copy_only=False)[order])
        found.append(points[order][np.searchsorted(running, share.as_py() * running[-1])])
    return pa.array(found, pa.float64())


def _secret() -> tuple[str, list[str]]:
    """The statement that tells DuckDB where S3 is, and the credentials of this moment; none for buckets that anybody may read.

    They are values of parameters, so that no log of statements would show them.
    """
    session = botocore.session.Session()
    try:
        found = session.get_credentials()
        login = found.get_frozen_credentials() if found else None
        profile, region = session.get_scoped_config(), session.get_config_variable("region")
    except botocore.exceptions.BotoCoreError as error:
        raise duckdb.IOException(f"there are no credentials for S3: {error}") from error
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or profile.get("endpoint_url", "")
    options = {"REGION": region or "us-east-1"}
    if login:
        options |= {"KEY_ID": login.access_key, "SECRET": login.secret_key, "SESSION_TOKEN": login.token or ""}
    if endpoint:
        scheme, _, host = endpoint.rpartition("://")
        virtual = os.environ.get("DASHBOARDS_S3_PATH_STYLE") == "false"
        options |= {
            "ENDPOINT": host.rstrip("/"),
            "USE_SSL": "false" if scheme == "http" else "true",
            "URL_STYLE": "vhost" if virtual else "path",
        }
    given = {name: value for name, value in options.items() if value}
    listed = ", ".join(f"{name} ?" for name in given)
    return f"CREATE OR REPLACE SECRET s3 (TYPE s3, {listed})", list(given.values())


DATABASES = Databases()


class ReadingCursor(CursorWrapper):
    """Makes the views that a statement names, then runs it, for so long and no longer."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, wrapper: "ReadingConnection"):
        super().__init__(connection, wrapper)
        self._raw, self._lakehouse, self._made = connection, wrapper.session.lakehouse, wrapper.session.made

    def execute(self, statement: str, parameters: Any = None, context: Any = None) -> None:
        check(self._raw, statement, OWN_FUNCTIONS)
        for name, sql in self._lakehouse.asked_for(statement).items():
            if name not in self._made:
                self._raw.execute(f'CREATE TEMPORARY VIEW "{name}" AS {sql}')
                self._made.add(name)
        with self._in_time():
            super().execute(statement, parameters, context)

    def fetchone(self) -> Any:
        with self._in_time():
            return self._raw.fetchone()

    def fetchmany(self, size: int | None = None) -> list[Any]:
        with self._in_time():
            return super().fetchmany(size)

    def fetchall(self) -> list[Any]:
        with self._in_time():
            return self._raw.fetchall()

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        timer = Timer(STATEMENT_SECONDS, self._raw.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        except duckdb.InterruptException as error:
            raise duckdb.InterruptException(f"the query was ended after {STATEMENT_SECONDS:g} s: ask for less") from error
        finally:
            timer.cancel()
            timer.join()  # or it would end what the next one asks of this connection

    def executemany(self, statement: str, parameters: Any = None, context: Any = None) -> None:
        raise duckdb.PermissionException("the lakehouse is read-only here")


class ReadingConnection(ConnectionWrapper):
    """A connection whose cursors read the versions that were current when it was opened."""

    def __init__(self, folder: str):
        self._folder, self.session = folder, DATABASES.open(folder)
        super().__init__(self.session.connection)

    def cursor(self) -> ReadingCursor:
        return ReadingCursor(self.session.connection, self)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        try:
            # Lets go of an answer that was not fetched whole, its memory too; fails in a transaction that has.
            self.session.connection.execute("SELECT 1").fetchall()
        except duckdb.Error:
            self.session.connection.close()
        else:
            DATABASES.give_back(self._folder, self.session)


@cache
def _reserved_words() -> frozenset[str]:
    with duckdb.connect() as database:
        words = database.execute("SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'").fetchall()
    return frozenset(word for (word,) in words)


class Preparer(DuckDBIdentifierPreparer):
    """Knows what to quote, and asks DuckDB for it once a process: Superset makes dialects all the time."""

    def __init__(self, dialect: Dialect, **options: Any) -> None:
        PGIdentifierPreparer.__init__(self, dialect, **options)
        self.reserved_words = self.reserved_words | _reserved_words()


class LakehouseDialect(Dialect):
    """SQLAlchemy's dialect for `duckdb+lakehouse://`; the folder comes from DASHBOARDS_TABLES, never from the address."""

    driver = "lakehouse"
    preparer = Preparer
    supports_statement_cache = False

    def connect(self, *_: Any, **__: Any) -> ReadingConnection:
        return ReadingConnection(os.environ["DASHBOARDS_TABLES"].rstrip("/"))

    def _get_default_schema_name(self, connection: Any) -> str:
        return "main"

    @classmethod
    def get_pool_class(cls, url: Any) -> type[NullPool]:
        return NullPool


registry.register("duckdb.lakehouse", __name__, LakehouseDialect.__name__)
