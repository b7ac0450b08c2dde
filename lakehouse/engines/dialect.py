"""SQL is written once, in Trino's dialect, and transpiled for DuckDB (DESIGN 8)."""

from collections.abc import Callable, Sequence
from datetime import date

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lakehouse.errors import QueryError

NEWEST_DAYS = "SELECT DISTINCT date FROM {table} ORDER BY date DESC LIMIT {count}"
NewestDays = Callable[[str, int], tuple[Sequence[date], str] | None]
"""So many newest days of a table that have rows, and what to read these from: the table, or what leads to them alone."""


def to_duckdb(sql: str, newest_days: NewestDays | None = None) -> str:
    """A statement in Trino's dialect as DuckDB wants it; raises QueryError when it cannot be parsed.

    Args:
        sql: the statement.
        newest_days: where they are known. They are put where `NEWEST_DAYS` asks for them, since DuckDB opens every file to
            answer that, and does not leave files out by its answer; and what leads to them where a query reads nothing but
            them, since DuckDB reads all of a table's manifests.
    """
    try:
        parsed = sqlglot.parse_one(sql, read="trino")
        if newest_days:
            _answer_beforehand(parsed, newest_days)
        return parsed.sql("duckdb")
    except SqlglotError as error:
        raise QueryError(f"not SQL in Trino's dialect: {error}") from error


def tables_of(sql: str) -> list[str]:
    """Names of the tables and views that a query in Trino's dialect reads, without those that it defines itself."""
    parsed = sqlglot.parse_one(sql, read="trino")
    own = {definition.alias for definition in parsed.find_all(exp.CTE)}
    return sorted({table.name for table in parsed.find_all(exp.Table) if table.name} - own)


def _answer_beforehand(parsed: exp.Expr, newest_days: NewestDays) -> None:
    """Put the newest days in the place of the question for them."""
    for condition in list(parsed.find_all(exp.In)):
        table, count = _newest_asked_for(condition)
        newest = newest_days(table, count) if table else None
        if newest:
            days, relation = newest
            condition.set("query", None)
            condition.set("expressions", [sqlglot.parse_one(f"DATE '{day}'", read="trino") for day in days])
            _read_instead(condition, table, relation)


def _newest_asked_for(condition: exp.In) -> tuple[str, int]:
    """Whose newest days, and how many, a condition asks for as `NEWEST_DAYS` does; no table: for something else."""
    query = condition.args.get("query")
    select = query.unnest() if isinstance(query, exp.Subquery) else None
    table, limit = (select.find(exp.Table), select.args.get("limit")) if select else (None, None)
    if table is None or limit is None or not limit.expression.is_int:
        return "", 0
    count = int(limit.expression.name)
    if select != sqlglot.parse_one(NEWEST_DAYS.format(table=table.name, count=count), read="trino"):
        return "", 0
    return table.name, count


def _read_instead(condition: exp.In, table: str, relation: str) -> None:
    """Read a relation where a query reads nothing but a table, and only rows that meet a condition."""
    select = condition.find_ancestor(exp.Select)
    if select is None or select.args.get("joins") or condition.parent is not select.args.get("where"):
        return
    source = select.find(exp.From)
    if source and isinstance(source.this, exp.Table) and source.this.name == table != relation:
        source.this.replace(exp.alias_(exp.to_table(relation, quoted=True), source.this.alias_or_name, table=True))
