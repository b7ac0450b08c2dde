"""Every benchmark runs, in sizes of a thousand lines, and prints its table. Nothing is timed."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import BENCHMARKS, app
from benchmarks.measure import percentile, run_measured
from benchmarks.report import Report, write_markdown
from lakehouse.errors import LakehouseError, UsageError

DASHBOARDS = ("web-traffic", "geo-services", "classification-api", "lakehouse-health")
# Rows that a benchmark prints whatever peers are installed.
ROWS = {
    "load": ("lakehouse load, everything included", "polars, regular expression to Parquet", "rollups"),
    "memory": ("1,000 in order", "10,000 in order, one file", "10,000 shuffled"),
    "views": ("lakehouse, read by DuckDB", "lakehouse, read by pyiceberg", "pyiceberg append", "bare Parquet"),
    "commits": ("3 days stored", "10 days stored", "ratio"),
    "dashboards": DASHBOARDS,
    "dashboards_on_trino": DASHBOARDS,
    "last_days": ("table, filter on date, folder", "published files, glob, folder", "lakehouse sql, filter on date, folder"),
}


# Superset takes a minute to start, a cluster some more.
MARKS = {"dashboards": [pytest.mark.long], "dashboards_on_trino": [pytest.mark.long, pytest.mark.cluster]}


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, [])) for name in BENCHMARKS])
def test_benchmark_prints_its_table(name: str) -> None:
    answer = CliRunner().invoke(app, [name, "--quick", "--profile"], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    for row in ROWS[name]:
        assert row in answer.output


def test_unknown_benchmark_is_refused() -> None:
    answer = CliRunner().invoke(app, ["lode"])
    assert answer.exit_code == 2
    assert "there are load, memory" in answer.output


def test_tables_replace_what_stands_between_their_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- one -->\nold\n<!-- /one -->\nbetween\n<!-- two -->\nkept\n<!-- /two -->\n")
    write_markdown(page, [Report("one", "One", ("what", "ms"), [("a|b", "1")], ("Goal: 2.",))], "Measured.")
    assert page.read_text() == (
        "before\n<!-- one -->\n| what | ms |\n| --- | ---: |\n| a\\|b | 1 |\n\nGoal: 2.\n\nMeasured.\n<!-- /one -->\n"
        "between\n<!-- two -->\nkept\n<!-- /two -->\n"
    )


def test_page_without_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(UsageError, match="<!-- one -->"):
        write_markdown(page, [Report("one", "One", ("what",), [])], "Measured.")
    assert page.read_text() == "nothing\n"


def test_page_has_a_place_for_every_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for name in ("load", "load-phases", "memory", "views", "commits", "last-days", "dashboards", "dashboards-on-trino"):
        assert f"<!-- {name} -->" in page
        assert f"<!-- /{name} -->" in page


def test_measured_command_tells_its_own_memory() -> None:
    small = run_measured([sys.executable, "-c", "pass"])
    large = run_measured([sys.executable, "-c", "print(len(b'x' * 10**8))"])
    assert large.output == "100000000\n"
    assert 10**8 <= large.peak - small.peak + 10**7 <= 3 * 10**8
    assert large.cpu > 0


def test_measured_command_that_fails_tells_what_it_said() -> None:
    with pytest.raises(LakehouseError, match="ended with 3: some words"):
        run_measured([sys.executable, "-c", "print('some words'); raise SystemExit(3)"])
    with pytest.raises(LakehouseError, match="is it installed"):
        run_measured(["no-such-program"])


def test_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(200, 0, -1)]
    assert (percentile(values, 50), percentile(values, 99), percentile(values, 100)) == (100.0, 198.0, 200.0)
    assert percentile([7.0], 50) == 7.0
