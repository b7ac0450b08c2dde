"""Wait for Superset's PostgreSQL (`wait.py database`), or until its tables are there too (`wait.py tables`)."""

import os
import sys

import backoff
import psycopg2

SECONDS = 900


@backoff.on_exception(backoff.constant, psycopg2.Error, max_time=SECONDS, interval=2, logger=None)
def wait(statement: str) -> None:
    """Return when the database answers a statement; raises its error after SECONDS seconds."""
    # libpq knows no drivers.
    connection = psycopg2.connect(os.environ["DASHBOARDS_DATABASE"].replace("+psycopg2", ""), connect_timeout=5)
    try:
        connection.cursor().execute(statement)
    finally:
        connection.close()


if __name__ == "__main__":
    try:
        # Migrations are committed all at once: where the table of the version is, the others are.
        wait({"database": "SELECT 1", "tables": "SELECT version_num FROM alembic_version"}[sys.argv[1]])
    except psycopg2.Error as error:
        sys.exit(f"superset: its database was not there within {SECONDS} s: {str(error).strip()}")
