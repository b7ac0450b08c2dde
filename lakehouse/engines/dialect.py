"""SQL is written once, in Trino's dialect, and transpiled for DuckDB (DESIGN 8)."""

import sqlglot
from sqlglot.errors import SqlglotError

from lakehouse.errors import QueryError


def to_duckdb(sql: str) -> str:
    """A statement in Trino's dialect as DuckDB wants it; raises QueryError when it cannot be parsed."""
    try:
        return sqlglot.transpile(sql, read="trino", write="duckdb")[0]
    except SqlglotError as error:
        raise QueryError(f"not SQL in Trino's dialect: {error}") from error
