"""SQL is written once, in Trino's dialect, and transpiled for DuckDB (DESIGN 8)."""

from collections.abc import Callable
from datetime import date

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lakehouse.errors import QueryError

NEWEST_DAYS = "SELECT DISTINCT date FROM {table} ORDER BY date DESC LIMIT {count}"
NewestDays = Callable[[str, int], list[date] | None]


def to_duckdb(sql: str, newest_days: NewestDays | None = None) -> str:
    """A statement in Trino's dialect as DuckDB wants it; raises QueryError when it cannot be parsed.

    Args:
        sql: the statement.
        newest_days: of a table, so many, where they are known. They are put where `NEWEST_DAYS` asks for them, since
            DuckDB opens every file to answer that, and does not leave files out by its answer.
    """
    try:
        parsed = sqlglot.parse_one(sql, read="trino")
        for condition in list(parsed.find_all(exp.In)):
            if newest_days and (days := _days_asked_for(condition, newest_days)):
                condition.set("query", None)
                condition.set("expressions", [sqlglot.parse_one(f"DATE '{day}'", read="trino") for day in days])
        return parsed.sql("duckdb")
    except SqlglotError as error:
        raise QueryError(f"not SQL in Trino's dialect: {error}") from error


def tables_of(sql: str) -> list[str]:
    """Names of the tables and views that a query in Trino's dialect reads, without those that it defines itself."""
    parsed = sqlglot.parse_one(sql, read="trino")
    own = {definition.alias for definition in parsed.find_all(exp.CTE)}
    return sorted({table.name for table in parsed.find_all(exp.Table) if table.name} - own)


def _days_asked_for(condition: exp.In, newest_days: NewestDays) -> list[date] | None:
    query = condition.args.get("query")
    select = query.unnest() if isinstance(query, exp.Subquery) else None
    table, limit = (select.find(exp.Table), select.args.get("limit")) if select else (None, None)
    if table is None or limit is None or not limit.expression.is_int:
        return None
    count = int(limit.expression.name)
    if select != sqlglot.parse_one(NEWEST_DAYS.format(table=table.name, count=count), read="trino"):
        return None
    return newest_days(table.name, count)
