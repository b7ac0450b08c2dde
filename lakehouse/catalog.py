"""Open the Iceberg catalog and the tables of datasets; nothing here writes rows."""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow as pa
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    NotInstalledError,
    RESTError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform, MonthTransform
from pyiceberg.types import (
    BooleanType,
    DateType,
    DoubleType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    NestedField,
    PrimitiveType,
    StringType,
    TimestamptzType,
)
from pyiceberg.utils.config import Config
from tenacity import (
    Retrying,
    retry_if_exception,
    retry_if_exception_message,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_random,
)

from lakehouse.datasets.base import Column
from lakehouse.errors import CatalogError, DatasetError, StorageError
from lakehouse.ledger import LAYOUT_VERSION, VERSION, check_version
from lakehouse.settings import Settings
from lakehouse.sqlite_catalog import BUSY_SECONDS, SqliteCatalog
from lakehouse.storage import explain, iceberg_properties

_ICEBERG_TYPES: dict[str, PrimitiveType] = {
    "timestamp": TimestamptzType(),
    "date": DateType(),
    "string": StringType(),
    "int": IntegerType(),
    "long": LongType(),
    "double": DoubleType(),
    "boolean": BooleanType(),
}
_ARROW_TYPES: dict[str, pa.DataType] = {
    "timestamp": pa.timestamp("us", "UTC"),
    "date": pa.date32(),
    # As polars holds it: the Parquet writer reads such strings where they are.
    "string": pa.string_view(),
    "int": pa.int32(),
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
}
DATE = Column("date", "date", "UTC day of the event; the partition.")
SITE = Column("site", "string", "Site (tenant) that the input was loaded for.")
INPUT = Column("_input", "string", "Id of the input that the row came from, as `lakehouse inputs` lists it.")
LINE = Column("_line", "long", "Number of the line in that input, from 1, where the record begins.")
_PROPERTIES = {
    VERSION: str(LAYOUT_VERSION),
    # The loop of a load asks the ledger before it tries again; pyiceberg's own would append blindly (DESIGN 4).
    "commit.retry.num-retries": "0",
    "write.metadata.previous-versions-max": "20",
    "write.parquet.compression-codec": "zstd",
    # A metastore wants an owner, and in a container the user may have no name.
    "owner": "lakehouse",
}


def table_columns(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """All columns of a dataset's table: date and site first, then the dataset's, then where the row came from."""
    own = tuple(column for column in columns if column.name not in ("date", "site"))
    return (DATE, SITE, *own, INPUT, LINE)


def rollup_columns(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """All columns of a rollup's table: date and site first."""
    return (DATE, SITE, *(column for column in columns if column.name not in ("date", "site")))


def open_catalog(settings: Settings) -> Catalog:
    """Open the catalog that the settings, or pyiceberg's own configuration under the catalog's name, describe.

    Raises:
        CatalogError: it cannot be opened; says which and why.
    """
    name = settings["catalog.name"]
    properties = {**iceberg_properties(settings), "warehouse": settings.warehouse}
    configured = settings.sources["catalog.type"] != "default" or settings.sources["catalog.uri"] != "default"
    pyicebergs = Config().get_catalog_config(name) or {}
    others = not configured and bool(pyicebergs.get("uri"))
    if others:
        properties = {key: value for key, value in properties.items() if key != "warehouse" or settings["warehouse"]}
    else:
        properties |= _catalog_properties(settings)
    with catalog_errors(f"catalog {name} ({settings['catalog.type']})"):
        # Processes that start together on an empty database race to create pyiceberg's two tables.
        for attempt in Retrying(
            retry=retry_if_exception(_may_pass_by_itself),
            stop=stop_after_attempt(10),
            wait=wait_random(0.05, 0.3),
            reraise=True,
        ):
            with attempt:
                own = None if others else _own_catalog(settings)
                if own is None:
                    return load_catalog(name, **properties)
                # For a catalog that is not its own, pyiceberg refuses a type in its configuration and passes over the rest.
                rest = {key: str(value) for key, value in pyicebergs.items() if key not in ("type", "py-catalog-impl")}
                return own(name, **{**rest, **properties})
    raise AssertionError("unreachable")


def _own_catalog(settings: Settings) -> type[Catalog] | None:
    """The catalog of this package that takes the place of pyiceberg's, if there is one."""
    if settings["catalog.type"] == "hive":  # pyiceberg's own catalog of a metastore holds locks
        from lakehouse.hive import CompareAndSetCatalog

        return CompareAndSetCatalog
    return SqliteCatalog if settings["catalog.type"] == "sqlite" and not settings["catalog.uri"] else None


def _catalog_properties(settings: Settings) -> dict[str, str]:
    if settings["catalog.type"] == "sqlite" and not settings["catalog.uri"]:
        return {"uri": str(_sqlite_database(settings))}
    kinds = {"sqlite": {"type": "sql"}, "postgresql": {"type": "sql"}, "rest": {"type": "rest"}, "hive": {}}
    return {**kinds[settings["catalog.type"]], "uri": settings["catalog.uri"]}


def _sqlite_database(settings: Settings) -> Path:
    """Path of the SQLite catalog, made ready for several writers: with a journal that readers do not block."""
    path: Path = settings.home / "catalog.db"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Only one process can change the journal, and SQLite refuses the others at once, whatever its timeout says.
        for attempt in Retrying(
            retry=retry_if_exception_message(match=".*locked"),
            stop=stop_after_delay(BUSY_SECONDS),
            wait=wait_random(0.01, 0.1),
            reraise=True,
        ):
            with attempt:
                if not path.exists() or path.stat().st_size == 0:
                    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
                        connection.execute("PRAGMA journal_mode=WAL")
    except (OSError, sqlite3.Error) as error:
        raise CatalogError(f"{path} cannot be created: {explain(error)}: set `home` to a folder you may write to") from error
    return path


@contextmanager
def catalog_errors(what: str) -> Iterator[None]:
    """Turn what catalogs and databases raise into one sentence.

    Raises:
        CatalogError: instead of the client libraries' errors.
        StorageError: the table's metadata cannot be read or written.
    """
    try:
        yield
    except _database_errors() as error:
        raise CatalogError(f"{what}: {explain_catalog_error(error)}") from error
    except (NotInstalledError, ModuleNotFoundError) as error:
        raise CatalogError(f"{what}: {explain_catalog_error(error)}: install lakehouse[hive] or lakehouse[postgresql]") from error
    except RESTError as error:
        raise CatalogError(f"{what}: the catalog refused: {explain_catalog_error(error)}") from error
    except (OSError, pa.ArrowException) as error:
        if _is_unreachable(error):
            raise CatalogError(f"{what}: the catalog cannot be reached: {_address_hint(error)}") from error
        # Catalogs read and write the table's metadata in the object store.
        raise StorageError(f"{what}: {explain(error)}") from error


def _known_kind(module: str, name: str) -> tuple[type[Exception], ...]:
    """A library's kind of error, if a catalog has imported the library: it raises none before, and is slow to import."""
    library = sys.modules.get(module)
    return (getattr(library, name),) if library else ()


def _database_errors() -> tuple[type[Exception], ...]:
    return (sqlite3.Error, *_known_kind("sqlalchemy.exc", "SQLAlchemyError"))


def _may_pass_by_itself(error: BaseException) -> bool:
    return isinstance(error, (sqlite3.OperationalError, *_known_kind("sqlalchemy.exc", "OperationalError")))


def _is_unreachable(error: BaseException) -> bool:
    """Whether no connection came about."""
    return isinstance(error, (ConnectionError, TimeoutError, *_known_kind("requests", "RequestException")))


def explain_catalog_error(error: BaseException) -> str:
    """What an error of a catalog's client means, in one line."""
    if isinstance(error, _database_errors()):
        return _database_hint(str(getattr(error, "orig", None) or error))
    if isinstance(error, ConnectionError):  # of the metastore's client: those of an object store are others
        return _address_hint(error)
    return explain(error).partition("\n")[0]


def _address_hint(error: BaseException) -> str:
    said = " ".join(str(error).split())  # a metastore tells causes in lines of their own
    return f"check catalog.uri ({said[:200]})"


def _database_hint(text: str) -> str:
    text = text.strip().splitlines()[0] if text.strip() else "unknown error"
    if "locked" in text:
        return f"the database stayed locked for {BUSY_SECONDS} s ({text}): end the program that holds it open for writing"
    if "readonly" in text or "read-only" in text:
        return f"the database is read-only ({text}): check the permissions of its file and folder"
    if "unable to open" in text:
        return f"the database file cannot be opened ({text}): check `home` and its permissions"
    if "malformed" in text or "not a database" in text:
        return f"the database file is damaged ({text}): restore it from a backup"
    return text


def find_table(catalog: Catalog, settings: Settings, name: str) -> Table | None:
    """A table of this lakehouse by name, or None when there is none yet.

    Raises:
        CatalogError: unreachable, or the table's layout is newer than this code.
    """
    with catalog_errors(f"table {name}"):
        try:
            table = catalog.load_table((settings["namespace"], name))
        except (NoSuchTableError, NoSuchNamespaceError):
            return None
    check_version(table.properties, f"table {name}")
    return table


def ensure_table(
    catalog: Catalog,
    settings: Settings,
    name: str,
    doc: str,
    columns: tuple[Column, ...],
    partition_by: tuple[str, ...] = ("date", "site"),
) -> Table:
    """The table, created when there is none, with columns added that the dataset has gained since.

    Args:
        columns: all of the table, with `date` and `site` first.
        partition_by: columns of the partition; `month` is that of `date`.

    Raises:
        DatasetError: a column has another type than in the table.
        CatalogError: the catalog refuses or is newer than this code.
    """
    table = find_table(catalog, settings, name)
    if table is None:
        with catalog_errors(f"table {name}"):
            table = _create_table(catalog, settings, name, doc, columns, partition_by)
    return _add_new_columns(table, name, columns)


def _create_table(
    catalog: Catalog, settings: Settings, name: str, doc: str, columns: tuple[Column, ...], partition_by: tuple[str, ...]
) -> Table:
    namespace = settings["namespace"]
    schema = Schema(*_fields(columns))
    spec = PartitionSpec(
        *(_partition_field(schema, 1000 + index, column) for index, column in enumerate(partition_by)),
        spec_id=0,
    )
    try:
        catalog.create_namespace(namespace)
    except NamespaceAlreadyExistsError:
        pass
    except _database_errors():
        # Two first loads at once: the loser's insert breaks the primary key.
        if (namespace,) not in catalog.list_namespaces():
            raise
    try:
        location = None
        if settings.sources["warehouse"] != "default" or not catalog.properties.get("warehouse"):
            location = f"{settings.warehouse}/{namespace}/{name}"
        return catalog.create_table((namespace, name), schema, location, spec, properties=_PROPERTIES | {"comment": doc})
    except TableAlreadyExistsError:
        return catalog.load_table((namespace, name))


def _partition_field(schema: Schema, field_id: int, column: str) -> PartitionField:
    source, transform, name = (
        ("date", MonthTransform(), "date_month") if column == "month" else (column, IdentityTransform(), column)
    )
    return PartitionField(source_id=schema.find_field(source).field_id, field_id=field_id, transform=transform, name=name)


def is_by_month(table: Table) -> bool:
    """Whether a table is partitioned by months, not by days."""
    return isinstance(table.spec().fields[0].transform, MonthTransform)


def _fields(columns: tuple[Column, ...]) -> Iterator[NestedField]:
    element_id = len(columns) + 1
    for index, column in enumerate(columns, 1):
        kind: IcebergType
        if column.type == "list<string>":
            kind = ListType(element_id=element_id, element_type=StringType(), element_required=False)
            element_id += 1
        else:
            kind = _ICEBERG_TYPES[column.type]
        yield NestedField(field_id=index, name=column.name, field_type=kind, required=False, doc=column.doc)


def _add_new_columns(table: Table, name: str, columns: tuple[Column, ...]) -> Table:
    present = {field.name: field for field in table.schema().fields}
    for column in columns:
        expected = next(iter(_fields((column,)))).field_type
        if column.name in present and not _same_type(present[column.name].field_type, expected):
            raise DatasetError(
                f"dataset {name}: column {column.name} is {column.type}, but {present[column.name].field_type} in the table: "
                "give the changed column a new name"
            )
    missing = [column for column in columns if column.name not in present]
    if not missing:
        return table
    for attempt in Retrying(
        retry=retry_if_exception_type(CommitFailedException),
        stop=stop_after_attempt(10),
        wait=wait_random(0.05, 0.5),
        reraise=True,
    ):
        with attempt:
            table.refresh()
            with table.update_schema() as update:
                for column in missing:
                    if column.name not in table.schema().column_names:
                        update.add_column(column.name, next(iter(_fields((column,)))).field_type, column.doc)
    return table.refresh()


def _same_type(present: IcebergType, expected: IcebergType) -> bool:
    if isinstance(present, ListType) and isinstance(expected, ListType):
        return present.element_type == expected.element_type
    return present == expected


def arrow_schema(table: Table, columns: tuple[Column, ...]) -> pa.Schema:
    """Arrow schema of the table's data files, with Iceberg's field ids where Parquet keeps them."""

    def with_id(name: str, kind: pa.DataType, field_id: int) -> pa.Field:
        return pa.field(name, kind, metadata={"PARQUET:field_id": str(field_id)})

    fields: list[pa.Field] = []
    for column in columns:
        field = table.schema().find_field(column.name)
        if isinstance(field.field_type, ListType):
            element = with_id("element", _ARROW_TYPES["string"], field.field_type.element_id)
            fields.append(with_id(column.name, pa.large_list(element), field.field_id))
        else:
            fields.append(with_id(column.name, _ARROW_TYPES[column.type], field.field_id))
    return pa.schema(fields)
