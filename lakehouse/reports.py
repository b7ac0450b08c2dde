"""Load reports: a table that tells every SQL engine what the ledgers know of loads.

A row for each load and site, and one for each reason for which lines of it were rejected. Like a rollup, the table remembers the
ledger's sequence up to which it holds of each dataset, in the very commit that changes its rows: a crash between a load and
its report leaves a load that is known to be due.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from lakehouse.catalog import ensure_table, find_table, rollup_columns
from lakehouse.commit import SNAPSHOTS_KEPT, CommitAnswerLostError, CommitRaceError
from lakehouse.current import publish_current
from lakehouse.datasets.base import COLUMN_TYPES, Column, Dataset
from lakehouse.derived import files_of_days, ledger_of, replace_days
from lakehouse.ledger import LOAD_REPORTS, Ledger, LoadRecord
from lakehouse.ledger_commit import attempts
from lakehouse.rejects import reasons_of_load
from lakehouse.settings import Settings
from lakehouse.storage import Store, read_parquet
from lakehouse.table_sizes import TableSizes

DOC = "Loads: rows, rejected lines and their reasons, and how large the table was afterwards."
SEQUENCE = "lakehouse.reported."
"""Begins the property that holds the sequence up to which a dataset's loads are reported; the dataset's name follows."""
SIZES = "lakehouse.sizes."
"""Begins the property that holds how large a dataset's table was then, so that the next report need not count all of it."""
_REPORTED = ("load", "unload")

COLUMNS = rollup_columns(
    (
        Column("date", "date", "UTC day of the load."),
        Column("site", "string", "Site that the inputs were loaded for; null where an unload left none."),
        Column("loaded_at", "timestamp", "When the load was committed, UTC."),
        Column("dataset", "string", "Dataset that was loaded."),
        Column("load_id", "string", "Id of the load."),
        Column("kind", "string", "load or unload."),
        Column("reason", "string", "Why lines were rejected; null in the row that tells of the load itself."),
        Column("rows_added", "long", "Rows that the load added for the site."),
        Column("rows_removed", "long", "Rows that the load took out, of all sites, told once."),
        Column("rejects", "long", "Lines that were rejected for this reason."),
        Column("first_day", "date", "First day whose rows the load changed."),
        Column("last_day", "date", "Last day whose rows the load changed."),
        Column("table_rows", "long", "Rows of the site in the table afterwards; known for the newest load of a report."),
        Column("table_files", "long", "Data files of the site in the table afterwards."),
        Column("table_bytes", "long", "Bytes of these files."),
        Column("table_snapshots", "int", "Snapshots that the table kept afterwards."),
    )
)
_SIZES = ("table_rows", "table_files", "table_bytes")
_SCHEMA = pl.Schema({column.name: COLUMN_TYPES[column.type] for column in COLUMNS})


def ensure_reports(catalog: Catalog, settings: Settings) -> Table:
    """The table of reports, made when there is none; raises CatalogError, DatasetError."""
    return ensure_table(catalog, settings, LOAD_REPORTS, DOC, COLUMNS, partition_by=("month",))


def update_reports(catalog: Catalog, settings: Settings, dataset: Dataset) -> int:
    """Report the loads of a dataset that are not reported yet; returns how many were.

    Args:
        catalog, settings: in force.
        dataset: whose loads.

    Raises:
        LakehouseError: one of its kinds; what is due stays due.
    """
    for attempt in attempts(settings, CommitRaceError, CommitAnswerLostError):
        with attempt:
            source = find_table(catalog, settings, dataset.name)
            if source is None:
                return 0
            ledger, target = ledger_of(source), ensure_reports(catalog, settings)
            due = _due(ledger, int(target.properties.get(SEQUENCE + dataset.name, "-1")))
            store = Store(settings)
            if not due:
                publish_current(store, target)  # who reported may have died before it told
            else:
                known = _known(target, {_day(load) for load in due}, dataset.name, {load.id for load in due})
                before = target.properties.get(SIZES + dataset.name)
                sizes = TableSizes.of(source, TableSizes.decoded(before) if before else None)
                rows = [known, *_rows(source, ledger, dataset.name, due, sizes)]
                properties = {SEQUENCE + dataset.name: str(ledger.sequence), SIZES + dataset.name: sizes.encoded()}
                replace_days(store, target, COLUMNS, {_day(load) for load in due}, rows, properties, SNAPSHOTS_KEPT)
            return len(due)
    raise AssertionError("unreachable")


def _due(ledger: Ledger, reported: int) -> list[LoadRecord]:
    later = ledger.loads.index.filter(pl.col("sequence") > reported)["id"]
    return [load for _, load in (ledger.loads[load_id] for load_id in later) if load.kind in _REPORTED and load.at]


def _day(load: LoadRecord) -> date:
    return datetime.fromisoformat(load.at).astimezone(UTC).date()


def _known(target: Table, days: set[date], dataset: str, due: set[str]) -> pl.DataFrame:
    """What the table has of these days, but for what is about to be reported."""
    frames = [pl.DataFrame(schema=_SCHEMA)]
    for path in files_of_days(target, days):
        frame = pl.DataFrame(pl.from_arrow(read_parquet(target.io, path)))
        frames.append(frame.select(pl.col(name).cast(kind) for name, kind in _SCHEMA.items()))
    again = (pl.col("dataset") == dataset) & pl.col("load_id").is_in(sorted(due))
    return pl.concat(frames).filter(pl.col("date").is_in(sorted(days)), ~again)


def _rows(source: Table, ledger: Ledger, dataset: str, due: list[LoadRecord], sizes: TableSizes) -> Iterator[pl.DataFrame]:
    snapshots = {"table_snapshots": len(source.metadata.snapshots)}
    told: dict[str | None, dict[str, int]] = {
        site: dict(zip(_SIZES, numbers, strict=True)) | snapshots for site, numbers in sizes.by_site.items()
    }
    for load in due:
        days = [date.fromisoformat(day) for day in load.days]
        common = {
            "date": _day(load),
            "loaded_at": datetime.fromisoformat(load.at),
            "dataset": dataset,
            "load_id": load.id,
            "kind": load.kind,
            "first_day": min(days, default=None),
            "last_day": max(days, default=None),
        }
        sites: list[str | None] = [*sorted(load.rows_by_site)] or [None]
        rows: list[dict[str, Any]] = [
            {
                **common,
                "site": site,
                "rows_added": load.rows_by_site.get(site, 0) if site is not None else load.rows_added,
                "rows_removed": 0 if index else load.rows_removed,
                **(told.get(site, {}) if load is due[-1] else {}),
            }
            for index, site in enumerate(sites)
        ]
        if load.rejects:
            reasons = reasons_of_load(source.io, ledger.root, load.id)
            rows += [common | {"site": site, "reason": reason, "rejects": rejects} for site, reason, rejects in reasons]
        yield pl.DataFrame(rows, schema=_SCHEMA)
