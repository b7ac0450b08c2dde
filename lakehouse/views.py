"""The datasets' tables and views as Trino shows them: made ahead of the first load, and again after every upgrade."""

import sqlglot
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from sqlglot import exp

from lakehouse.catalog import catalog_errors, ensure_table, open_catalog, table_columns
from lakehouse.datasets import dataset_names, get_dataset
from lakehouse.datasets.base import Dataset
from lakehouse.engines import trino as engine
from lakehouse.reports import ensure_reports
from lakehouse.rollups import ensure_rollup, update_rollups
from lakehouse.settings import Settings


def make_views(settings: Settings) -> list[str]:
    """Make the tables of all datasets that are not there yet, and what rollups lack; then all views in Trino anew.

    Returns the views' names.

    A view asks with the rights of whoever reads it (`SECURITY INVOKER`): Trino's rules for a table hold through its views.

    Raises:
        CatalogError, StorageError, DatasetError: a table cannot be made.
        QueryError: Trino refuses a view.
        EngineUnavailableError: Trino does not answer.
    """
    connection = engine.connect(settings)
    datasets = [get_dataset(name, settings.datasets_folder) for name in dataset_names(settings.datasets_folder)]
    made = []
    catalog = open_catalog(settings)
    ensure_reports(catalog, settings)
    for dataset in datasets:
        if _ensure_tables(catalog, settings, dataset).current_snapshot() is not None:
            # Views may read a rollup that is new with this version: it must not be empty until the next load.
            update_rollups(catalog, settings, dataset)
        for view in dataset.views:
            sql = trino_sql(view.sql_in(settings["zone"]), dataset)
            engine.run(
                connection,
                f"CREATE OR REPLACE VIEW {engine.identifier(view.name)} COMMENT {engine.quote(view.doc)} "
                f"SECURITY INVOKER AS {sql}",
            )
            made.append(view.name)
    return made


def trino_sql(sql: str, dataset: Dataset) -> str:
    """A view's query with its stars written out.

    Private columns are left out of a star: who may not read them could not read the view otherwise. And a star's view
    breaks in Trino when its table gains a column.
    """
    parsed = sqlglot.parse_one(sql, read="trino")
    stars = [
        select for select in parsed.find_all(exp.Select) if select.is_star and select.args["from_"].this.name == dataset.name
    ]
    if not stars:
        return sql
    public = [column.name for column in table_columns(dataset.columns) if not column.private]
    for select in stars:
        select.set("expressions", [exp.column(name, quoted=True) for name in public])
    return parsed.sql("trino")


def _ensure_tables(catalog: Catalog, settings: Settings, dataset: Dataset) -> Table:
    """Make what is not there yet; returns the dataset's own table."""
    with catalog_errors(f"tables of {dataset.name}"):
        own = ensure_table(catalog, settings, dataset.name, dataset.doc, table_columns(dataset.columns))
        for rollup in dataset.rollups:
            ensure_rollup(catalog, settings, dataset, rollup)
    return own
