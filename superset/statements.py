"""Which statements DuckDB may be asked here: a SELECT that only computes and reads.

What DuckDB calls a SELECT may call functions that write logs and profiles, even over files of the lakehouse, or that show what
others ask; neither the folder that it may open nor its locked configuration stops them. So DuckDB parses a statement first, and
each function that it names, wherever that stands, must be one of those known to do no harm.
"""

from functools import cache

import duckdb

TABLE_FUNCTIONS = {
    *("generate_series", "range", "repeat", "unnest", "json_each", "json_tree"),
    *("glob", "read_blob", "read_text", "read_avro", "read_csv", "read_csv_auto", "sniff_csv", "read_parquet", "parquet_scan"),
    *("read_json", "read_json_auto", "read_json_objects", "read_json_objects_auto"),
    *("read_ndjson", "read_ndjson_auto", "read_ndjson_objects"),
    *("parquet_file_metadata", "parquet_kv_metadata", "parquet_metadata", "parquet_schema"),
    *("iceberg_metadata", "iceberg_scan", "iceberg_snapshots"),
    *("duckdb_columns", "duckdb_constraints", "duckdb_databases", "duckdb_functions", "duckdb_indexes", "duckdb_keywords"),
    *("duckdb_schemas", "duckdb_tables", "duckdb_types", "duckdb_views", "pragma_table_info", "pg_timezone_names"),
}
"""Those that make rows of what they are given, read files, or tell which tables and columns there are."""
HARMLESS = {"error", "gen_random_uuid", "random", "uuid", "uuidv4", "uuidv7"}
"""Have side effects in DuckDB's words, and change nothing but the next number, or end the statement."""
HARMFUL = {"json_serialize_plan", "pg_sleep"}
"""Have none in DuckDB's words: one plans a statement that was not looked at, the other holds one of the server's threads."""
HIDDEN = {"duckdb_logs"}
"""Views that come with DuckDB and show what others ask."""
NAMES = """
    SELECT parsed->>'$.error_type', parsed->>'$.error_message', json_array_length(parsed, '$.statements'),
        parsed->>'$..function_name', parsed->>'$..function.function_name', parsed->>'$..table_name'
    FROM (SELECT json_serialize_sql(?, skip_default := true, skip_empty := true, skip_null := true) AS parsed)
"""
"""Of a text: why it is no SELECT; how many there are; the functions named anywhere, those that stand for a table; its tables."""


@cache
def functions() -> frozenset[str]:
    """What a statement may call: all that come with DuckDB and have no side effects, and the table functions above."""
    with duckdb.connect() as database:
        computing = database.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions()"
            " WHERE function_type IN ('scalar', 'aggregate', 'macro') AND has_side_effects IS NOT true"
        ).fetchall()
    return frozenset({name for (name,) in computing} - HARMFUL | HARMLESS | TABLE_FUNCTIONS)


def check(connection: duckdb.DuckDBPyConnection, statement: str, own: frozenset[str]) -> None:
    """Refuse what is no SELECT, and what calls any function but those of `functions` and `own`.

    Raises:
        duckdb.PermissionException: says what was refused.
        duckdb.ParserException: it cannot be parsed.
    """
    kind, message, count, *named = connection.execute(NAMES, [statement]).fetchall()[0]
    if kind == "parser":
        raise duckdb.ParserException(f"Parser Error: {message}")
    if kind or count != 1:
        raise duckdb.PermissionException(
            "the lakehouse is read-only here: write a single SELECT; a PIVOT needs its values, IN (...)"
        )
    called, as_tables, tables = ({name.lower() for name in names} for names in named)
    if refused := (called - functions() - own) | (as_tables - TABLE_FUNCTIONS) | (tables & HIDDEN):
        raise duckdb.PermissionException(f"there is no {', '.join(sorted(refused))} here that a SELECT may call or read")
