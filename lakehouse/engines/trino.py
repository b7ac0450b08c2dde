"""Trino over the same tables: SQL by a server."""

from typing import Any

import pyarrow as pa
import requests
from trino import exceptions
from trino.auth import BasicAuthentication
from trino.dbapi import Connection

from lakehouse.errors import EngineUnavailableError, QueryError, UsageError
from lakehouse.settings import Settings

_TYPES = {
    "boolean": pa.bool_(), "tinyint": pa.int8(), "smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64(),
    "real": pa.float32(), "double": pa.float64(), "date": pa.date32(), "varchar": pa.string(), "char": pa.string(),
    "timestamp": pa.timestamp("us"), "timestamp with time zone": pa.timestamp("us", "UTC"),
}  # fmt: skip


def connect(settings: Settings) -> Connection:
    """A connection to the lakehouse's schema in Trino; nothing is asked yet.

    Raises:
        UsageError: the settings name no Trino.
    """
    uri, user, password = settings["trino.uri"], settings["trino.user"], settings["trino.password"]
    if not uri or not user:
        raise UsageError("no Trino is set: set trino.uri and trino.user (and trino.password)")
    return Connection(
        host=uri,
        user=user,
        auth=BasicAuthentication(user, password) if password else None,
        verify=settings["trino.ca_file"] or True,
        catalog=settings["trino.catalog"],
        schema=settings["namespace"],
        source="lakehouse",
        timezone="UTC",
    )


def run(connection: Connection, sql: str) -> pa.Table:
    """Run a statement and fetch its whole answer.

    Raises:
        QueryError: Trino refuses it, in Trino's words.
        EngineUnavailableError: Trino does not answer, or not yet.
    """
    try:
        cursor = connection.cursor()
        cursor.execute(sql)
        rows = cursor.fetchall()
        columns: list[Any] = cursor.description or []
    except exceptions.TrinoUserError as error:
        raise QueryError(error.message) from error
    except exceptions.TrinoQueryError as error:
        raise EngineUnavailableError(f"Trino at {_address(connection)} cannot answer now: {error.message}") from error
    except (exceptions.Error, requests.RequestException) as error:
        if "401" in str(error):
            raise QueryError(f"Trino at {_address(connection)} refuses the password of {connection.user}: {error}") from error
        raise EngineUnavailableError(f"Trino at {_address(connection)} does not answer: {str(error)[:200]}") from error
    return pa.table({column[0]: pa.array([row[i] for row in rows], arrow_type(column[1])) for i, column in enumerate(columns)})


def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of a type of Trino; raises QueryError for one that no dataset has."""
    base, _, rest = name.partition("(")
    if base == "array":
        return pa.list_(arrow_type(rest.removesuffix(")")))
    if base == "decimal":
        precision, scale = rest.removesuffix(")").split(",")
        return pa.decimal128(int(precision), int(scale))
    # `timestamp(6) with time zone`: the precision stands in the middle.
    plain = base + rest.partition(")")[2]
    if plain not in _TYPES:
        raise QueryError(f"Trino answered a column of type {name}, which is not known here: cast it")
    return _TYPES[plain]


def identifier(name: str) -> str:
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("'", "''") + "'"


def _address(connection: Connection) -> str:
    return f"{connection.http_scheme}://{connection.host}:{connection.port}"
