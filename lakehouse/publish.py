"""Publish a dataset as plain Parquet in hive layout, `date=2026-11-21/daily_logs_0.parquet`, for tools without Iceberg.

A destination belongs to one dataset. The file `_lakehouse.json` in it says which version of each day lies there; it is
written after the files, and a file that does not look as it says counts as not published. So a publish that was killed
or overtaken by another costs a second writing of a few days, and no wrong answer stays.
"""

import json
import re
import tempfile
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
from pyiceberg.table import Table

from lakehouse.catalog import DATE, INPUT, LINE, table_columns
from lakehouse.datasets import get_dataset
from lakehouse.datasets.base import Dataset
from lakehouse.engines import duckdb as engine
from lakehouse.errors import StorageError, UsageError
from lakehouse.ledger import Ledger
from lakehouse.observer import Count, count_silently
from lakehouse.publish_options import Names, PublishOptions
from lakehouse.publish_target import Target, open_target
from lakehouse.reading import Reader
from lakehouse.settings import Settings
from lakehouse.storage import explain, storage_errors

STATE = "_lakehouse.json"
CHECKPOINT_DAYS = 50
"""Days after which is written down what was done: as many are written again after a kill."""
ROUNDS = 3
"""How often a publish looks again because a load has committed meanwhile; what is later is for the next publish."""
MEMORY_LIMIT = "1GB"
"""What DuckDB sorts a day in; larger days are sorted on local disk."""
_DAY_FILE = re.compile(r"date=(\d{4}-\d\d-\d\d)/([^/]+)")


@dataclass(frozen=True)
class Published:
    """What a publish did: days whose file was written, days whose file was deleted, and days that stay as they were."""

    address: str
    written: tuple[date, ...] = ()
    deleted: tuple[date, ...] = ()
    unchanged: int = 0


@dataclass(frozen=True)
class _Day:
    """A published day: version of the table it was made from, fingerprint of its file."""

    sequence: int
    fingerprint: str


@dataclass(frozen=True)
class _State:
    """What lies in a destination.

    Args:
        dataset: to which it belongs.
        table: UUID of the table that the files were made from.
        shape: everything else that makes a file what it is.
        file_names: under which days may lie there.
        days: ISO date to version.
    """

    dataset: str
    table: str
    shape: dict[str, Any]
    file_names: tuple[str, ...]
    days: dict[str, _Day] = field(default_factory=dict)

    def to_json(self) -> bytes:
        return (json.dumps({"version": 1, **asdict(self)}, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes, place: str) -> "_State":
        try:
            values = json.loads(content)
            if values.pop("version") != 1:
                raise ValueError("another version")
            days = {day: _Day(**entry) for day, entry in values.pop("days").items()}
            return cls(**{**values, "file_names": tuple(values["file_names"])}, days=days)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StorageError(
                f"{place} is damaged or from a newer lakehouse ({error}): delete it and the folders date=... beside it, "
                "and publish again"
            ) from error


class Publisher:
    """Publishes one dataset to one destination.

    Args:
        settings: in force.
        dataset: its name.
        destination: a folder or an s3:// address.
        options: what and how.
        on_day: is told of the days that are written.

    Raises:
        UsageError: nothing is loaded, or the options or the destination cannot be.
    """

    def __init__(
        self,
        settings: Settings,
        dataset: str,
        destination: str,
        options: PublishOptions | None = None,
        on_day: Count = count_silently,
    ):
        self._settings = settings
        self._dataset: Dataset = get_dataset(dataset, settings.datasets_folder)
        self._options = options or PublishOptions()
        self._on_day = on_day
        _check_options(self._options)
        self._columns = _published_columns(self._dataset, self._options)
        self._reader = Reader(settings)
        self._target: Target = open_target(destination, settings)
        if f"{self._target.address}/".startswith(f"{settings.warehouse}/"):
            raise UsageError(f"{destination} lies in the warehouse {settings.warehouse}: publish to a place beside it")

    def run(self) -> Published:
        """Bring the destination up to date.

        Raises:
            StorageError: the destination or the table's files cannot be read or written; what was published stays.
            UsageError: the destination belongs to something else.
        """
        written: set[date] = set()
        deleted: set[date] = set()
        with storage_errors(f"publishing to {self._target.address}"), self._target.exclusive():
            for _ in range(ROUNDS):
                table = self._table()
                wanted = self._wanted(table)
                due, gone = self._publish(table, wanted)
                written = (written | due) - gone
                deleted = (deleted | gone) - due
                if self._table().metadata_location == table.metadata_location:
                    break
        return Published(self._target.address, tuple(sorted(written)), tuple(sorted(deleted)), len(set(wanted) - written))

    def _table(self) -> Table:
        table = self._reader.table(self._dataset.name)
        if table is None:
            name = self._dataset.name
            raise UsageError(f"nothing is loaded into {name} yet: lakehouse load {name} FILE --site NAME")
        return table

    def _publish(self, table: Table, wanted: list[date]) -> tuple[set[date], set[date]]:
        """Publish one version of the table; the days that were written, and those that were deleted."""
        ledger = self._reader.ledger(table)
        known = self._state()
        files = self._target.files()
        if known is None:
            self._refuse_foreign(files)
        shape = {"site": self._options.site, "columns": [list(pair) for pair in self._columns]}
        state = _State(self._dataset.name, str(table.metadata.table_uuid), shape, (self._options.file_name,))
        if known is not None:
            state = replace(state, file_names=tuple(sorted({*state.file_names, *known.file_names})))
            if (known.table, known.shape) == (state.table, state.shape):
                state.days.update(self._up_to_date(known, wanted, ledger, files))
        due = [day for day in wanted if day.isoformat() not in state.days]
        gone = _gone(files, state.file_names, {self._name(day) for day in wanted})
        if due or gone:
            # From here on the destination is this dataset's, and what is about to change counts as not published.
            self._write_state(state)
            self._write_days(table, ledger, due, state)
            for name in gone:
                self._target.delete(name)
        days = {day: replace(entry, sequence=ledger.sequence) for day, entry in state.days.items()}
        final = replace(state, file_names=(self._options.file_name,), days=days)
        if final != known:
            self._write_state(final)
        return set(due), {_day_of(name) for name in gone} - set(wanted)

    def _up_to_date(self, known: _State, wanted: list[date], ledger: Ledger, files: dict[str, str]) -> dict[str, _Day]:
        """Days whose file lies there as it was written and holds what the table holds now."""
        changed_since = cache(ledger.days_changed_since)
        found: dict[str, _Day] = {}
        for day in wanted:
            entry = known.days.get(day.isoformat())
            if (
                entry is not None
                and files.get(self._name(day)) == entry.fingerprint
                and entry.sequence >= ledger.oldest_load_sequence
                and day not in changed_since(entry.sequence)
            ):
                found[day.isoformat()] = entry
        return found

    def _write_days(self, table: Table, ledger: Ledger, due: list[date], state: _State) -> None:
        """Write the files of the days that are due, and into the state's days what was written."""
        if not due:
            return
        with (
            tempfile.TemporaryDirectory(prefix="lakehouse-") as spill,
            engine.connect(self._settings, MEMORY_LIMIT) as connection,
        ):
            connection.execute(f"SET temp_directory = {engine.quote(spill)}")
            for done, day in enumerate(due, 1):
                engine.renew_credentials(connection, self._settings)
                name = self._name(day)
                with self._target.staged(name) as path:
                    _copy(connection, self._select(table, day), path)
                    fingerprint = self._target.place(path, name)
                state.days[day.isoformat()] = _Day(ledger.sequence, fingerprint)
                self._on_day(str(day), done, len(due))
                if done % CHECKPOINT_DAYS == 0:
                    self._write_state(state)

    def _name(self, day: date) -> str:
        return f"date={day.isoformat()}/{self._options.file_name}"

    def _state(self) -> _State | None:
        content = self._target.read(STATE)
        if content is None:
            return None
        state = _State.from_json(content, f"{self._target.address}/{STATE}")
        if state.dataset != self._dataset.name:
            raise UsageError(
                f"{self._target.address} holds what was published of {state.dataset}: publish {self._dataset.name} elsewhere"
            )
        return state

    def _write_state(self, state: _State) -> None:
        self._target.write(STATE, state.to_json())

    def _refuse_foreign(self, files: Iterable[str]) -> None:
        foreign = next(iter(files), None)
        if foreign is not None:
            raise UsageError(
                f"{self._target.address} already holds files that no publish has written, such as {foreign}: publish to an "
                "empty place, or move these files away first, because days are replaced and deleted there"
            )

    def _wanted(self, table: Table) -> list[date]:
        """Days to be in the destination, the newest first."""
        if table.current_snapshot() is None:
            return []
        rows = table.inspect.partitions().select(["partition", "record_count"]).to_pylist()
        days = {
            row["partition"]["date"]
            for row in rows
            if row["record_count"] and self._options.site in (None, row["partition"]["site"])
        }
        return sorted(days, reverse=True)[: self._options.last]

    def _select(self, table: Table, day: date) -> str:
        columns = ", ".join(f"{engine.identifier(name)} AS {engine.identifier(shown)}" for name, shown in self._columns)
        site = f" AND site = {engine.quote(self._options.site)}" if self._options.site is not None else ""
        return f"SELECT {columns} FROM ({engine.scan_sql(table)}) WHERE date = DATE '{day.isoformat()}'{site} ORDER BY ts"


def _check_options(options: PublishOptions) -> None:
    name = options.file_name
    if "/" in name or name.startswith((".", "_")) or not name.endswith(".parquet"):
        raise UsageError(f"{name!r} cannot be a day's file name: it must end in .parquet, without slash or leading dot or _")


def _published_columns(dataset: Dataset, options: PublishOptions) -> list[tuple[str, str]]:
    """Columns and the names they get. The day is in the folder's name; where a row came from is nobody's business there."""
    names: dict[str, str] = dict(getattr(dataset, "original_names", {})) if options.names is Names.original else {}
    if options.names is Names.original and not names:
        raise UsageError(f"the columns of {dataset.name} have no original names: publish with --names snake")
    return [
        (column.name, names.get(column.name, column.name))
        for column in table_columns(dataset.columns)
        if column not in (DATE, INPUT, LINE) and (options.private or not column.private)
    ]


def _gone(files: Iterable[str], file_names: Collection[str], wanted: set[str]) -> list[str]:
    """Days' files that are not wanted any more."""
    matches = (_DAY_FILE.fullmatch(name) for name in files)
    return [match[0] for match in matches if match and match[2] in file_names and match[0] not in wanted]


def _day_of(name: str) -> date:
    return date.fromisoformat(name.removeprefix("date=").partition("/")[0])


def _copy(connection: duckdb.DuckDBPyConnection, select: str, path: Path) -> None:
    try:
        connection.execute(f"COPY ({select}) TO {engine.quote(str(path))} (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)")
    except duckdb.Error as error:
        raise StorageError(f"a day cannot be written to {path}: {explain(error)}") from error
