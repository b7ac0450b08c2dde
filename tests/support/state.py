"""What a lakehouse holds, checked without the code that wrote it: pyiceberg's own scan, the ledger, and every file on disk."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pyiceberg.manifest import read_manifest_list
from pyiceberg.table import Table

from lakehouse.catalog import find_table, open_catalog
from lakehouse.current import CURRENT, VIEWS
from lakehouse.ledger import LOAD_REPORTS, Ledger, ledger_root
from lakehouse.rejects import read_rejects
from tests.support.home import Home


def rows(home: Home, column: str = "text") -> Counter[tuple[str, str]]:
    """Site and text (or another column) of every row, with how often it is there."""
    table = home.table()
    if table is None:
        return Counter()
    found = table.scan(selected_fields=("site", column, "_input", "_line", "date")).to_arrow().to_pylist()
    _check_against_ledger(home, found)
    return Counter((row["site"], row[column]) for row in found)


def _check_against_ledger(home: Home, found: list[dict[str, object]]) -> None:
    """Every row belongs to an input of the ledger, once, and the ledger's counts are those of the table."""
    origins = Counter((row["_input"], row["_line"]) for row in found)
    assert not [origin for origin, count in origins.items() if count > 1], "a line is there twice"
    ledger = home.ledger()
    by_input = Counter(row["_input"] for row in found)
    assert set(by_input) <= set(ledger.inputs), "rows of an input that the ledger does not know"
    rejected = Counter(read_rejects(ledger, home.table().io)["_input"].to_list())
    for record in ledger.inputs.values():
        rejects = record.known_rejects + record.unknown_rejects
        assert record.lines == record.rows + rejects + record.continuation_lines, record
        assert record.rows - record.rows_replaced == by_input[record.id], record
        assert rejects == rejected[record.id], record
        days = {str(row["date"]) for row in found if row["_input"] == record.id}
        assert days <= set(record.days), record


def referenced(home: Home) -> set[str]:
    """Paths of the files that the table needs: data, Iceberg's metadata, ledger and rejects."""
    table = home.table()
    known = {table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)}
    for snapshot in table.metadata.snapshots:
        known.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            known.add(manifest.manifest_path)
            known.update(entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True))
    ledger = home.ledger()
    known.update(ledger.file_paths())
    known.update(path for record in ledger.inputs.values() for path in record.reject_files)
    return {_path(location) for location in known}


def count(home: Home) -> int:
    """Rows, each of which must be there once by its text."""
    found = rows(home)
    assert set(found.values()) <= {1}, "a row is there twice"
    return found.total()


def left_over(home: Home) -> list[str]:
    """Files in the folders of the table and its ledger that nothing refers to."""
    table = home.table()
    if table is None:
        return []
    needed, root = referenced(home), ledger_root(table.location())
    present = {str(path) for folder in (table.location(), root) for path in Path(_path(folder)).rglob("*") if path.is_file()}
    assert needed <= present, "files are referred to that are not there"
    seen = _path(f"{root}/seen/")  # hints for later loads, rewritten in place
    present -= {_path(f"{root}/{name}") for name in (CURRENT, VIEWS)}  # for readers without the catalog, rewritten in place
    due = {_path(location) for location in _of_expired(table, home.ledger())}  # for readers, until their time is over
    return sorted(path for path in present - needed - due if not path.startswith(seen))


def assert_published(home: Home) -> None:
    """Readers without the catalog see the newest version of the dataset's table, of its rollups and of the reports."""
    names = (home.dataset.name, *(rollup.name for rollup in home.dataset.rollups), LOAD_REPORTS)
    catalog = open_catalog(home.settings)
    for table in (find_table(catalog, home.settings, name) for name in names):
        assert table is not None
        content = json.loads(Path(_path(f"{ledger_root(table.location())}/{CURRENT}")).read_text())
        assert content["metadata"] == table.metadata_location, table.name()


def _of_expired(table: Table, ledger: Ledger) -> Iterator[str]:
    for manifest_list in ledger.expired:
        yield manifest_list
        if Path(_path(manifest_list)).exists():
            for manifest in read_manifest_list(table.io.new_input(manifest_list)):
                yield manifest.manifest_path
                for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False):
                    yield entry.data_file.file_path


def _path(location: str) -> str:
    return location.removeprefix("file://")
