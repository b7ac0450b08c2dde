"""An embedded lakehouse in a temporary folder, and short ways to load into it and to look at it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
from pyiceberg.table import Table

from lakehouse.catalog import find_table, open_catalog
from lakehouse.engines import duckdb as engine
from lakehouse.inputs import find_inputs
from lakehouse.ledger import Ledger, read_ledger
from lakehouse.load import Loader, Report, Request
from lakehouse.load_options import Options
from lakehouse.observer import Observer
from lakehouse.settings import Settings, load_settings
from lakehouse.storage import uses_s3
from tests.support.tiny import TINY

_numbers = count()


@cache
def _duckdb() -> duckdb.DuckDBPyConnection:
    connection = engine.connect(load_settings({}))
    # What is damaged on purpose must not be answered from memory.
    connection.execute("SET enable_external_file_cache = false")
    return connection


class Home:
    """A lakehouse under `folder`; `dataset` is the one that its methods speak of."""

    def __init__(self, folder: Path, dataset: Any = TINY, **environment: str):
        self.folder = folder
        self.dataset = dataset
        self.settings: Settings = load_settings({"LAKEHOUSE_HOME": str(folder / "home"), "HOME": str(folder), **environment})

    def write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def load(self, *paths: Path | str, observer: Observer | None = None, replace: tuple[str, ...] = (), **options: Any) -> Report:
        request_options = {key: options.pop(key) for key in ("replace_day", "commit_every") if key in options}
        inputs = find_inputs([str(path) for path in paths], self.settings)
        return Loader(self.settings, self.dataset, observer).run(
            Request(inputs, Options(**{"site": "s", **options}), replace, **request_options)
        )

    def unload(self, *ids: str) -> Report:
        return Loader(self.settings, self.dataset).run(Request(replace=ids))

    def table(self) -> Any:
        return find_table(open_catalog(self.settings), self.settings, self.dataset.name)

    def ledger(self) -> Ledger:
        table = self.table()
        return read_ledger(table.io, table.location(), table.properties)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query in which `t` is the dataset's table."""
        with self.connect({"t": self.table()}) as connection:
            return connection.execute(sql).fetchall()

    @contextmanager
    def connect(self, tables: Mapping[str, Table]) -> Iterator[duckdb.DuckDBPyConnection]:
        """An empty database with a view for each of some tables.

        It is one of a DuckDB that this process starts once, unless keys of S3 tell it from others: to load extensions takes
        longer than most tests.
        """
        with engine.connect(self.settings) if uses_s3(self.settings) else _duckdb().cursor() as connection:
            name = f"database_{next(_numbers)}"
            connection.execute(f"ATTACH ':memory:' AS {name}; USE {name}")
            try:
                engine.create_views(connection, tables)
                yield connection
            finally:
                connection.execute(f"USE memory; DETACH {name}")

    def texts(self) -> list[str]:
        """All texts of the tiny dataset, sorted: what is there, and how often."""
        return [row[0] for row in self.query("SELECT text FROM t ORDER BY text")]

    def snapshots(self) -> int:
        return len(self.table().metadata.snapshots)
