"""Every file of the dashboards is complete, says what its numbers are, and refers to what is there.

LAKEHOUSE_TEST_ASSETS names a folder to check in place of that of the project.
"""

import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from lakehouse import reports
from lakehouse.catalog import rollup_columns, table_columns
from lakehouse.datasets import get_dataset
from lakehouse.ledger import LOAD_REPORTS
from superset.asset_files import ENGINES, AssetError, dump, for_engine, read_assets
from tests.support.charts import charts_by_tab

ASSETS = Path(os.environ.get("LAKEHOUSE_TEST_ASSETS") or Path(__file__).parents[2] / "superset" / "assets")
FILES = {path: content for path, content in read_assets(ASSETS).items() if path != "metadata.yaml"}
UNITS = {
    r",d": r"Number of |Sum of ",
    r"\.\d%": r".*, percent\.$",
    r"\.3s": r".*\bbytes\b",
    r",\.0f": r".*, milliseconds\.$",
    r"%Y.*": r".*\bUTC\b",
}
"""What the description of a metric says, by the form in which it is shown."""
COLUMN_UNITS = {
    "DATE": r".*(\bUTC\b|time zone)",
    "TIMESTAMP WITH TIME ZONE": r".*\bUTC\b",
    "INTEGER": r"Number of |.*(\d to \d|HTTP status|percent)",
    "BIGINT": r"Number of |Bytes ",
    "DOUBLE": r".*(\d to \d|milliseconds)",
    "VARCHAR": r"",
    "BOOLEAN": r"Whether ",
}
"""What the description of a column says, by its type."""
NUMBERED = {"id", "chartId", "slice_id", "datasetId", "datasource_id", "database_id", "dashboardId"}
"""Keys whose numbers only one Superset knows; files name objects by UUID, and the parts of a dashboard by words."""
MAX_CHARTS_SEEN = 10
LAST_20_DAYS = 'DATEADD(DATETIME("today"), -19, day) : DATEADD(DATETIME("today"), 1, day)'


def of(kind: str) -> dict[str, dict[str, Any]]:
    return {path: content for path, content in FILES.items() if path.startswith(f"{kind}/")}


def by_id(kind: str) -> dict[str, dict[str, Any]]:
    return {content["uuid"]: content for content in of(kind).values()}


def cells(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in dashboard["position"].values() if isinstance(cell, dict) and cell["type"] == "CHART"]


@pytest.mark.parametrize("path", FILES)
def test_no_number_is_in_a_file_that_only_one_superset_knows(path: str) -> None:
    assert numbers(FILES[path]) == []


def test_a_number_is_found_also_beside_a_name() -> None:
    assert numbers({"id": 7, "parts": [{"id": "ROW"}, {"meta": {"chartId": 8}}]}) == [("id", 7), ("chartId", 8)]


def numbers(content: Any) -> list[tuple[str, int]]:
    return [(key, value) for key, value in _pairs(content) if key in NUMBERED and isinstance(value, int)]


def _pairs(content: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield key, value
            yield from _pairs(value)
    elif isinstance(content, list):
        for value in content:
            yield from _pairs(value)


def test_no_two_files_have_the_same_id() -> None:
    ids = [content["uuid"] for content in FILES.values()]
    assert ids == [str(uuid.UUID(known)) for known in ids]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", FILES)
def test_files_are_written_as_export_writes_them(path: str) -> None:
    assert (ASSETS / path).read_text() == dump(FILES[path])


@pytest.mark.parametrize("path", FILES)
def test_only_addresses_names_and_expressions_differ_between_engines(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHBOARDS_TRINO_URI", "trino://analyst@trino.example:8443")
    monkeypatch.setenv("DASHBOARDS_TRINO_CATALOG", "iceberg")
    monkeypatch.setenv("DASHBOARDS_TRINO_SCHEMA", "logs")
    duckdb, trino = (for_engine(FILES[path], engine) for engine in ENGINES)
    if path.startswith(("charts/", "dashboards/")):
        assert duckdb == trino == FILES[path]
        return
    assert "${" not in dump(trino)
    differing = {key for key in duckdb if duckdb[key] != trino[key]}
    if path.startswith("databases/"):
        assert differing == {"sqlalchemy_uri", "impersonate_user"}
        return
    assert {"catalog", "schema"} <= differing <= {"catalog", "schema", "metrics"}
    for one, other in zip(duckdb["metrics"], trino["metrics"], strict=True):
        assert one | {"expression": ""} == other | {"expression": ""}


def test_an_engine_must_be_known_and_have_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssetError, match="DASHBOARDS_ENGINE is 'sqlite': choose one of duckdb, trino"):
        for_engine({}, "sqlite")
    with pytest.raises(AssetError, match="p95 has nothing for trino"):
        for_engine({"metrics": [{"metric_name": "p95", "engines": {"duckdb": {}}}]}, "trino")
    monkeypatch.delenv("DASHBOARDS_TRINO_URI", raising=False)
    with pytest.raises(AssetError, match="DASHBOARDS_TRINO_URI of the environment is not set"):
        for_engine(FILES["databases/lakehouse.yaml"], "trino")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("path", of("databases"))
def test_nobody_can_write_and_nothing_secret_is_in_a_file(path: str, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHBOARDS_TRINO_URI", "trino://superset@trino.example:8443")
    monkeypatch.setenv("DASHBOARDS_TRINO_CATALOG", "iceberg")
    monkeypatch.setenv("DASHBOARDS_TRINO_SCHEMA", "logs")
    content = for_engine(FILES[path], engine)
    assert urlsplit(content["sqlalchemy_uri"]).password is None
    assert not {"password", "encrypted_extra", "masked_encrypted_extra", "ssh_tunnel"} & set(content)
    rights = {key: value for key, value in content.items() if key.startswith("allow_")}
    assert rights == dict.fromkeys(("allow_run_async", "allow_ctas", "allow_cvas", "allow_dml", "allow_csv_upload"), False)
    assert content["impersonate_user"] is (engine == "trino"), "Trino's rules hold for who looks"
    assert content["cache_timeout"] == 60, "a load shows after a minute"
    stands_on_it = {name.split("/")[1] for name, dataset in of("datasets").items() if dataset["database_uuid"] == content["uuid"]}
    assert stands_on_it == {content["database_name"]}


def relations() -> dict[str, set[str]]:
    """Tables and views of the package, with their columns where they are known; a view's are not."""
    found = {LOAD_REPORTS: {column.name for column in reports.COLUMNS}}
    for name in ("access_logs", "api_logs"):
        dataset = get_dataset(name, Path("none"))
        found[name] = {column.name for column in table_columns(dataset.columns)}
        found |= {rollup.name: {column.name for column in rollup_columns(rollup.columns)} for rollup in dataset.rollups}
        found |= {view.name: set() for view in dataset.views}
    return found


@pytest.mark.parametrize("path", of("datasets"))
def test_datasets_stand_on_what_the_package_has(path: str) -> None:
    content = FILES[path]
    assert content["sql"] is None, "a query belongs into a view of the package"
    assert content["description"].endswith(".")
    assert content["database_uuid"] in by_id("databases")
    assert content["table_name"] not in ("access_logs", "api_logs"), "viewers could ask for its private columns"
    known = relations()[content["table_name"]]
    columns = {column["column_name"]: column for column in content["columns"]}
    assert not known or set(columns) <= known
    assert "site" in columns, "viewers are kept to their sites by it"
    assert columns[content["main_dttm_col"]]["is_dttm"]
    for name, column in columns.items():
        assert column["verbose_name"] and column["description"].endswith("."), name
        assert re.match(COLUMN_UNITS[column["type"]], column["description"]), f"{name}: of what unit?"
        assert column["is_dttm"] == column["type"].startswith(("DATE", "TIMESTAMP")), name
    for metric in content["metrics"]:
        name, description = metric["metric_name"], metric["description"]
        assert metric["verbose_name"] and description.endswith("."), name
        [unit] = [unit for form, unit in UNITS.items() if re.fullmatch(form, metric["d3format"])]
        assert re.match(unit, description), f"{name}: of what unit?"


@pytest.mark.parametrize("path", of("charts"))
def test_charts_use_what_their_dataset_has(path: str) -> None:
    content = FILES[path]
    dataset = by_id("datasets")[content["dataset_uuid"]]
    columns = {column["column_name"] for column in dataset["columns"]}
    metrics = {metric["metric_name"] for metric in dataset["metrics"]}
    params = content["params"]
    assert content["slice_name"] and content["description"].endswith(".")
    assert content["viz_type"] == params["viz_type"]
    named = [params["metric"]] if "metric" in params else params["metrics"]
    assert set(named) <= metrics, "metrics are defined in the dataset's file only"
    assert named or params["query_mode"] == "raw", "shows nothing"
    groups = params.get("groupby", [])
    used = {*([groups] if isinstance(groups, str) else groups), *params.get("columns", []), *params.get("all_columns", [])}
    assert used | {params.get("x_axis", "site")} <= columns
    filters = params["adhoc_filters"]
    assert all(part["expressionType"] == "SIMPLE" and part["subject"] in columns for part in filters), "SQL in a chart"
    assert [part["subject"] for part in filters if part["operator"] == "TEMPORAL_RANGE"] == [dataset["main_dttm_col"]]
    shown = [cell["meta"]["uuid"] for dashboard in of("dashboards").values() for cell in cells(dashboard)]
    assert shown.count(content["uuid"]) == 1, "on no dashboard, or on several"


@pytest.mark.parametrize("path", of("dashboards"))
def test_dashboards_are_filtered_by_time_site_and_application(path: str) -> None:
    content = FILES[path]
    assert content["dashboard_title"] and content["description"].endswith(".") and content["slug"] and content["published"]
    charts = by_id("charts")
    for cell in cells(content):
        assert cell["meta"]["uuid"] in charts
        assert "sliceName" not in cell["meta"], "the chart's file has its name"
    for row in (cell for cell in content["position"].values() if isinstance(cell, dict) and cell["type"] == "ROW"):
        assert sum(content["position"][child]["meta"]["width"] for child in row["children"]) == 12, "a row is 12 columns wide"
    assert max(charts_by_tab(content["position"]).values()) <= MAX_CHARTS_SEEN, "all of a tab's charts are asked for at once"
    filters = {item["name"]: item for item in content["metadata"]["native_filter_configuration"]}
    assert {"Time range", "Site"} <= set(filters)
    # An API has endpoints and a lakehouse has datasets where a web server has applications.
    assert set(filters) & {"Application", "Endpoint", "Dataset"}
    for native_filter in content["metadata"]["native_filter_configuration"]:
        assert native_filter["description"].endswith("."), native_filter["name"]
        assert set(native_filter["scope"]["excluded"]) <= {cell["meta"]["uuid"] for cell in cells(content)}
        for target in filter(None, native_filter["targets"]):
            targeted = by_id("datasets")[target["datasetUuid"]]
            assert target["column"]["name"] in {column["column_name"] for column in targeted["columns"]}
    assert filters["Time range"]["defaultDataMask"]["extraFormData"]["time_range"] == LAST_20_DAYS
    assert content["metadata"]["cross_filters_enabled"] is True


def test_every_dataset_is_used() -> None:
    assert {chart["dataset_uuid"] for chart in of("charts").values()} == set(by_id("datasets"))
