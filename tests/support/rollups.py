"""Lines of datasets that have rollups, and whether these say what a query over the rows says."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from lakehouse.engines import duckdb as engine
from lakehouse.engines.dialect import to_duckdb
from lakehouse.reading import Reader
from tests.support.home import Home

ACCESS_FORMAT = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
    '"$http_referer" "$http_user_agent" $request_time'
)


def access_line(day: int, hour: int, address: int, status: int, path: str, seconds: float) -> bytes:
    """A hit of March 2026, in ACCESS_FORMAT."""
    return (
        f"10.{address}.0.1 - - [{day:02d}/Mar/2026:{hour:02d}:30:00 +0000] "
        f'"GET /{path}/x HTTP/1.1" {status} {100 * address} "-" "agent/{address % 3}" {seconds}\n'
    ).encode()


def api_line(day: int, hour: int, confidence: int, status: int, code: str) -> bytes:
    """A request of March 2026, as JSON."""
    return (
        f'{{"ts": "2026-03-{day:02d}T{hour:02d}:30:00Z", "endpoint": "/code", "status": {status}, '
        f'"Response.1.code": "{code}", "Response.IC": {confidence / 10}}}\n'
    ).encode()


@contextmanager
def reader(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    with Reader(home.settings).connect() as connection:
        yield connection


def assert_rollups_hold(home: Home) -> None:
    """Each rollup of the dataset holds what its query over the rows, or over the rollup that it is made from, answers."""
    with home.connect(Reader(home.settings).tables()) as connection:
        for rollup in home.dataset.rollups:
            names = ", ".join(engine.identifier(column.name) for column in rollup.columns)
            stored, wanted = f"SELECT {names} FROM {rollup.name}", to_duckdb(rollup.sql_in(home.settings["zone"]))
            assert connection.execute(f"({stored}) EXCEPT ALL ({wanted})").fetchall() == [], rollup.name
            assert connection.execute(f"({wanted}) EXCEPT ALL ({stored})").fetchall() == [], rollup.name
