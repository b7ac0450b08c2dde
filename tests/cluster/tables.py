"""What a lakehouse does with its tables, whatever keeps its files and its catalog: the same tests for every way to install it."""

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyiceberg.catalog import Catalog

from tests.cluster.tools import Release

DAYS = [1632, 2893, 2896, 2579]
"""Lines of each of the four days in web/apache_combined_10k.log."""
SOURCES = {
    name: {
        "dataset": "access_logs",
        "input": f"s3://landing/{name}/**/*.log",
        "site": name,
        # A day that never comes: tests start the load themselves.
        "schedule": "0 0 31 2 *",
        "options": ["--format", "combined"],
    }
    for name in ("web", "left", "right")
}
_RUNS = itertools.count(1)


@dataclass(frozen=True)
class Installed:
    """A lakehouse that has SOURCES.

    Args:
        release: of the chart.
        landing: a client of the object store that may write into the bucket `landing`.
        catalog: opens the catalog for pyiceberg outside the cluster.
    """

    release: Release
    landing: Any
    catalog: Callable[[], AbstractContextManager[Catalog]]


class TableTests:
    """Inherited by a class for each way to install a lakehouse, whose fixture `installed` tells which."""

    def test_the_release_tests_itself(self, installed: Installed) -> None:
        release = installed.release
        said = release.cluster.helm("test", release.name, "--namespace", release.namespace, "--logs")
        assert 'Trino counts "1000" rows' in said

    def test_ten_thousand_real_lines(self, installed: Installed, test_data: Path) -> None:
        release = installed.release
        log = test_data / "web" / "apache_combined_10k.log"
        installed.landing.put_object(Bucket="landing", Key="web/a/access.log", Body=log.read_bytes())
        release.run_source("web", f"run-{next(_RUNS)}")
        query = "SELECT date, count(*) FROM access_logs WHERE site = 'web' GROUP BY 1 ORDER BY 1"
        assert [count for _, count in release.trino_inside(query)] == DAYS
        with installed.catalog() as catalog:
            assert catalog.load_table("lakehouse.access_logs").scan(row_filter="site = 'web'").count() == sum(DAYS)

        assert "unchanged" in release.run_source("web", f"run-{next(_RUNS)}")
        assert [count for _, count in release.trino(query)] == DAYS

    def test_rivals(self, installed: Installed, test_data: Path) -> None:
        """Four loads at once into the same days of one table: two of each half of the lines."""
        release = installed.release
        lines = (test_data / "web" / "apache_combined_10k.log").read_bytes().splitlines(keepends=True)
        halves = {"left": lines[0::2], "right": lines[1::2]}
        for site, half in halves.items():
            installed.landing.put_object(Bucket="landing", Key=f"{site}/access.log", Body=b"".join(half))
        runs = {f"run-{next(_RUNS)}": site for site in ("left", "right", "left", "right")}
        for run, site in runs.items():
            release.start_source(site, run)
        for run in runs:
            release.finished_job(run)
        counts = "SELECT site, count(*), count(DISTINCT _line) FROM access_logs WHERE site IN ('left', 'right') GROUP BY 1"
        assert sorted(release.trino(counts)) == [[site, len(half), len(half)] for site, half in halves.items()]
        with installed.catalog() as catalog:
            table = catalog.load_table("lakehouse.access_logs")
            assert [table.scan(row_filter=f"site = '{site}'").count() for site in halves] == [5000, 5000]

    def test_what_trino_inserts_pyiceberg_reads(self, installed: Installed) -> None:
        installed.release.trino("CREATE TABLE inserted (id bigint, word varchar)")
        installed.release.trino("INSERT INTO inserted VALUES (1, 'one'), (2, 'two')")
        with installed.catalog() as catalog:
            assert sorted(catalog.load_table("lakehouse.inserted").scan().to_arrow()["word"].to_pylist()) == ["one", "two"]

    def test_trino_changes_what_was_loaded(self, installed: Installed) -> None:
        """Rows that Trino takes out of a table of the loader are gone for pyiceberg too; a view shows what is left."""
        release = installed.release
        release.trino("CREATE TABLE taken_out AS SELECT * FROM access_logs WHERE site = 'web'")
        release.trino("DELETE FROM taken_out WHERE date = DATE '2015-05-17'")
        with installed.catalog() as catalog:
            assert catalog.load_table("lakehouse.taken_out").scan().to_arrow().num_rows == sum(DAYS[1:])
        release.trino("CREATE VIEW left_over AS SELECT count(*) AS rows FROM taken_out")
        assert release.trino("SELECT rows FROM left_over") == [[sum(DAYS[1:])]]
