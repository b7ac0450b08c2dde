"""Writing and reading 55,000 view events: this package's table, pyiceberg's append, ClickHouse in process, bare Parquet."""

import uuid
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.table import Table

from benchmarks.home import settings_of
from benchmarks.measure import best_and_median, timed
from benchmarks.options import Options
from benchmarks.report import Report, shout
from lakehouse.catalog import ensure_table, open_catalog, table_columns
from lakehouse.commit import SNAPSHOTS_KEPT, StagedFiles
from lakehouse.datasets.base import Column
from lakehouse.engines import duckdb as engine
from lakehouse.ledger import Changes, LoadRecord, read_ledger
from lakehouse.ledger_commit import commit_with_ledger
from lakehouse.parse import with_origin
from lakehouse.settings import Settings
from lakehouse.stage import PartitionWriter
from lakehouse.storage import Store

ROWS, QUICK_ROWS = 55_000, 1_000
TIMES = 7
Row = tuple[str, str, str]


class Views:
    """The dataset of the measured table."""

    name = "views"
    doc = "Views of pages."
    columns = (
        Column("ts", "timestamp", "When."),
        Column("user_id", "string", "Who."),
        Column("page_id", "string", "What."),
        Column("duration", "long", "How long, milliseconds."),
    )


def run(options: Options) -> list[Report]:
    """Measure; see docs/benchmarks.md."""
    count = QUICK_ROWS if options.quick else ROWS
    rows = _events(count)
    settings = settings_of(options.folder)
    measured = [*_lakehouse(settings, rows), _pyiceberg(settings, rows), _bare_parquet(options.folder, rows)]
    notes: tuple[str, ...] = ()
    try:
        measured.append(_clickhouse(options.folder / "clickhouse", rows))
    except ImportError:
        shout("chdb (ClickHouse in process) is not installed and is left out: run this by make bench")
        notes = ("ClickHouse was not installed.",)
    headings = ("engine", "write ms", "read ms")
    return [Report("views", f"{count:,} view events, best (median) of {TIMES}", headings, measured, notes)]


def _events(count: int) -> pl.DataFrame:
    """Events of one day: two UUIDs as text, an integer, a timestamp."""
    begin = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp()) * 1_000_000
    step = 86_400_000_000 // count
    return pl.DataFrame(
        {
            "ts": pl.Series(range(begin, begin + step * count, step), dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
            "user_id": [str(uuid.uuid5(uuid.NAMESPACE_OID, f"user {number % 5000}")) for number in range(count)],
            "page_id": [str(uuid.uuid5(uuid.NAMESPACE_OID, f"page {number}")) for number in range(count)],
            "duration": pl.Series([number * 7919 % 60_000 for number in range(count)], dtype=pl.Int64),
        }
    )


def _measured(name: str, write: Callable[[], object], read: Callable[[], pa.Table], count: int) -> Row:
    writes = timed(write, TIMES)
    assert read().num_rows == count
    return name, best_and_median(writes), best_and_median(timed(read, TIMES))


def _lakehouse(settings: Settings, rows: pl.DataFrame) -> list[Row]:
    """This package's table: a write is Parquet, manifests, ledger and commit, all flushed to disk."""
    catalog = open_catalog(settings)
    columns = table_columns(Views.columns)
    store = Store(settings)
    dataset: Any = Views()
    tables = iter([ensure_table(catalog, settings, f"views_{number}", "", columns) for number in range(TIMES)])
    written: list[Table] = []

    def write() -> None:
        table = next(tables)
        staged = StagedFiles(table, "measured")
        with PartitionWriter(table, columns, staged) as writer:
            numbered = rows.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("_line"))
            writer.write(with_origin(numbered, dataset, "demo", "0123456789abcdef"))
        store.sync([stored.path for stored in store.files(staged.folder)])
        ledger = read_ledger(table.io, table.location(), table.properties)
        changes = Changes(LoadRecord("measured", "load", datetime.now(UTC).isoformat()))
        commit_with_ledger(store, table, ledger, changes, "measured-1", snapshots_kept=SNAPSHOTS_KEPT, staged=staged)
        written.append(table)

    writes = best_and_median(timed(write, TIMES))
    table = written[-1].refresh()
    names = [column.name for column in Views.columns]
    scan = partial(_scan, table, names)
    with closing(engine.connect(settings)) as connection:
        query = f"SELECT {', '.join(names)} FROM ({engine.scan_sql(table)})"
        assert engine.run(connection, query).num_rows == scan().num_rows == rows.height
        by_duckdb = best_and_median(timed(lambda: engine.run(connection, query), TIMES))
    by_pyiceberg = best_and_median(timed(scan, TIMES))
    return [("lakehouse, read by DuckDB", writes, by_duckdb), ("lakehouse, read by pyiceberg", writes, by_pyiceberg)]


def _scan(table: Table, names: list[str]) -> pa.Table:
    return table.scan(selected_fields=tuple(names)).to_arrow()


def _pyiceberg(settings: Settings, rows: pl.DataFrame) -> Row:
    catalog = open_catalog(settings)
    data = rows.to_arrow()
    tables = iter([catalog.create_table((settings["namespace"], f"plain_{number}"), data.schema) for number in range(TIMES)])
    written: list[Table] = []

    def write() -> None:
        table = next(tables)
        table.append(data)
        written.append(table)

    return _measured("pyiceberg append", write, lambda: written[-1].scan().to_arrow(), rows.height)


def _bare_parquet(folder: Path, rows: pl.DataFrame) -> Row:
    path = folder / "views.parquet"
    data = rows.to_arrow()
    return _measured(
        "bare Parquet (pyarrow, zstd)",
        lambda: pq.write_table(data, path, compression="zstd"),
        lambda: pq.read_table(path),
        rows.height,
    )


def _clickhouse(folder: Path, rows: pl.DataFrame) -> Row:
    """A MergeTree table; raises ImportError where chdb is not installed."""
    session_type: Any = import_module("chdb.session").Session
    data = rows.to_arrow()  # noqa: F841  the query below names it
    numbers = iter(range(TIMES))
    with closing(session_type(str(folder))) as session:
        session.query("CREATE DATABASE IF NOT EXISTS b")
        for number in range(TIMES):
            session.query(
                f"CREATE TABLE b.views_{number} (ts DateTime64(6, 'UTC'), user_id String, page_id String, duration Int64) "
                "ENGINE = MergeTree ORDER BY ts"
            )
        return _measured(
            "ClickHouse in process (chdb)",
            lambda: session.query(f"INSERT INTO b.views_{next(numbers)} SELECT ts, user_id, page_id, duration FROM Python(data)"),
            lambda: _arrow(session.query("SELECT * FROM b.views_0", "Arrow")),
            rows.height,
        )


def _arrow(answer: Any) -> pa.Table:
    with pa.ipc.open_file(pa.py_buffer(answer.bytes())) as reader:
        return reader.read_all()
