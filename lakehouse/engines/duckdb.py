"""DuckDB over the current snapshots: SQL with no server."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
from pyiceberg.table import Table

from lakehouse.errors import QueryError
from lakehouse.settings import Settings
from lakehouse.storage import credentials, region, uses_s3

EXTENSIONS = ("httpfs", "avro", "iceberg")


def connect(
    settings: Settings, memory_limit: str | None = None, *, extensions: Sequence[str] = EXTENSIONS
) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with the Iceberg extension and, where there is S3, its credentials.

    The extensions come from wheels, so that nothing is downloaded at run time.

    Args:
        settings: in force.
        memory_limit: as DuckDB writes it; files are not kept in memory then, which DuckDB does beyond its limit.
        extensions: those that are needed; loading all takes half a second.

    Raises:
        QueryError: an extension is missing.
    """
    # DuckDB counts the machine's CPUs, polars those that this process may use: threads without a CPU of their own wait for
    # each other, which takes twice the time.
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "threads": pl.thread_pool_size(),
            # Otherwise a folder where the command was started, which may not be writable.
            "temp_directory": str(Path(gettempdir()) / f"lakehouse-duckdb-{secrets.token_hex(8)}"),
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    if memory_limit:
        connection.execute(f"SET memory_limit = '{memory_limit}'")
        connection.execute("SET enable_external_file_cache = false")
    for name in extensions:
        connection.execute(f"LOAD '{_extension(name)}'")
    if "iceberg" in extensions:
        connection.execute("SET unsafe_enable_version_guessing = false")
    renew_credentials(connection, settings)
    return connection


def _extension(name: str) -> Path:
    found = sorted(Path(str(files(f"duckdb_extension_{name}"))).glob(f"extensions/*/{name}.duckdb_extension"))
    if not found:
        raise QueryError(f"the DuckDB extension {name} is not installed: reinstall the lakehouse package")
    return found[-1]


def renew_credentials(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Give DuckDB the S3 credentials of this moment; again from time to time where a connection outlives them."""
    if not uses_s3(settings):
        return
    key, secret, token = credentials(settings)
    options: dict[str, Any] = {"KEY_ID": key, "SECRET": secret, "SESSION_TOKEN": token, "REGION": region(settings)}
    endpoint = str(settings["s3.endpoint"])
    if endpoint:
        scheme, _, host = endpoint.rpartition("://")
        options |= {"ENDPOINT": host.rstrip("/"), "USE_SSL": "false" if scheme == "http" else "true"}
        options["URL_STYLE"] = "path" if settings["s3.path_style"] else "vhost"
    listed = ", ".join(f"{name} {quote(str(value))}" for name, value in options.items() if value)
    connection.execute(f"CREATE OR REPLACE SECRET lakehouse (TYPE s3, {listed})")
    if settings["s3.ca_file"]:
        connection.execute(f"SET ca_cert_file = {quote(settings['s3.ca_file'])}")
        connection.execute("SET enable_curl_server_cert_verification = true")


def create_views(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, Table]) -> None:
    """A view for each table, over the snapshot that the table object shows."""
    for name, table in tables.items():
        connection.execute(f"CREATE OR REPLACE VIEW {identifier(name)} AS {scan_sql(table)}")


def scan_sql(table: Table) -> str:
    """A SELECT over one version of a table; without rows where nothing was committed yet."""
    if table.metadata.current_snapshot() is None:
        columns = ", ".join(
            f"CAST(NULL AS {_duckdb_type(str(field.field_type))}) AS {identifier(field.name)}" for field in table.schema().fields
        )
        return f"SELECT {columns} WHERE false"
    return f"SELECT * FROM iceberg_scan({quote(table.metadata_location)})"


def files_sql(table: Table, paths: Sequence[str], columns: Collection[str]) -> str:
    """A SELECT of columns of some data files, found by their Iceberg ids; needs no extension but for S3.

    Args:
        table: whose current schema holds.
        paths: of data files that no delete file concerns and that hold all columns, partition columns too.
        columns: those wanted; where a file has one not, it is null.
    """
    kinds = {field: quote(_duckdb_type(str(field.field_type))) for field in table.schema().fields if field.name in columns}
    fields = ", ".join(
        f"{field.field_id}: {{name: {quote(field.name)}, type: {kind}, default_value: NULL}}" for field, kind in kinds.items()
    )
    return f"SELECT * FROM read_parquet([{', '.join(map(quote, paths))}], schema = MAP {{{fields}}})"


_TYPES = {
    "timestamptz": "TIMESTAMPTZ", "date": "DATE", "string": "VARCHAR", "int": "INTEGER", "long": "BIGINT",
    "double": "DOUBLE", "boolean": "BOOLEAN", "list<string>": "VARCHAR[]",
}  # fmt: skip


def _duckdb_type(iceberg_type: str) -> str:
    return _TYPES[iceberg_type]


def run(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """Run a statement and fetch its whole answer; raises QueryError with DuckDB's words."""
    try:
        return connection.execute(sql).to_arrow_table()
    except duckdb.Error as error:
        raise QueryError(str(error)) from error


def quote(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'
