"""Where the newest version of each table is, told in small files, for readers that do not open the catalog.

`_lakehouse/<table>/current.json`, beside the tables' folders, names the table's current metadata file;
`_lakehouse/<dataset>/views.json` holds the dataset's views in DuckDB's SQL. A dashboard that reads them shares no database, and
so no lock, with a load. docs/exactly-once.md argues why what they say is old at worst.
"""

import hashlib
import json
from textwrap import dedent
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

import lakehouse
from lakehouse.catalog import catalog_errors, find_table
from lakehouse.datasets.base import Dataset, View
from lakehouse.ledger import ledger_root
from lakehouse.settings import Settings
from lakehouse.storage import Store, storage_errors

VERSION = 1
"""Of the two formats; a reader refuses what is newer than it."""
CURRENT = "current.json"
VIEWS = "views.json"


def publish_current(store: Store, table: Table) -> None:
    """Tell where the newest version of a table is.

    The catalog is asked again after the file was written: of several writers the last one to write so has looked last, and
    leaves what the catalog says. Who finds it written already has overwritten nobody, and need not ask. Who finds something else
    than the version before its own asks first: a rival may have told of a newer one.

    Args:
        store: to write to.
        table: as the catalog has just shown or made it; it is not changed.

    Raises:
        StorageError, CatalogError: the file may be old then, and whoever publishes next puts it right.
    """
    name = table.name()[-1]
    path = f"{ledger_root(table.location())}/{CURRENT}"
    asked = False
    while table.metadata.current_snapshot() is not None:
        with storage_errors(f"reading {path}"):
            told = store.read(path)
        content = _current(name, table.metadata_location)
        if told == content:
            return
        before = [_current(name, entry.metadata_file) for entry in table.metadata.metadata_log[-1:]]
        if asked or told is None or told in before:
            with storage_errors(f"writing {path}"):
                store.write(path, content)
        with catalog_errors(f"table {name}"):
            table, asked = table.catalog.load_table(table.name()), True


def _current(table: str, metadata: str) -> bytes:
    return _encoded({"version": VERSION, "table": table, "metadata": metadata})


def publish_dataset(catalog: Catalog, settings: Settings, dataset: Dataset) -> None:
    """Put right what is told of a dataset's table and of its views, should a command have died before it did.

    Args:
        catalog, settings: in force.
        dataset: whose table.

    Raises:
        StorageError, CatalogError, QueryError.
    """
    table = find_table(catalog, settings, dataset.name)
    if table is not None:
        store = Store(settings)
        publish_current(store, table)
        _publish_views(settings, store, dataset, table)


def _publish_views(settings: Settings, store: Store, dataset: Dataset, table: Table) -> None:
    """Write the views of a dataset in DuckDB's SQL, when their definition or the zone of their days has changed."""
    path = f"{ledger_root(table.location())}/{VIEWS}"
    zone = settings["zone"]
    text = repr((VERSION, lakehouse.__version__, zone, dataset.views))
    definition = hashlib.sha256(text.encode()).hexdigest()[:16]
    with storage_errors(f"reading {path}"):
        known = store.read(path)
    if known is not None and json.loads(known).get("definition") == definition:
        return
    views = [_described(view, zone) for view in dataset.views]
    with storage_errors(f"writing {path}"):
        store.write(path, _encoded({"version": VERSION, "definition": definition, "views": views}))


def _described(view: View, zone: str) -> dict[str, Any]:
    known = view.duckdb_sql_in(zone)
    if known:
        return {"name": view.name, "doc": view.doc, "needs": view.needs, "sql": dedent(known).strip()}
    from lakehouse.engines.dialect import tables_of, to_duckdb  # imports a whole compiler of SQL

    sql = view.sql_in(zone)
    return {"name": view.name, "doc": view.doc, "needs": tables_of(sql), "sql": to_duckdb(sql)}


def _encoded(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1).encode()
