"""What was changed in Superset, brought into the content of files."""

import copy
import importlib
from pathlib import Path
from typing import Any

import pytest

SUPERSET = Path(__file__).parents[2] / "superset"
DATABASE = {
    "database_name": "Lakehouse",
    "engines": {
        "duckdb": {"sqlalchemy_uri": "duckdb+lakehouse://"},
        "trino": {"sqlalchemy_uri": "${ENV:DASHBOARDS_TRINO_URI}/logs", "impersonate_user": True},
    },
    "impersonate_user": False,
    "extra": {"allows_virtual_table_explore": True},
}
ON_TRINO = {
    "database_name": "Lakehouse",
    "sqlalchemy_uri": "trino://superset@trino.example:8443/logs",
    "impersonate_user": True,
    "extra": {"allows_virtual_table_explore": True},
}
PERCENTILE = {
    "metric_name": "p95",
    "d3format": ",d",
    "engines": {"duckdb": {"expression": "QUANTILE(x, 0.95)"}, "trino": {"expression": "APPROX_PERCENTILE(x, 0.95)"}},
}
DATASET_ID = "2b7f0a55-0c35-4d6e-a0bb-6d3b1f5b7f0e"
CHART = {
    "slice_name": "Hits, by day!",
    "description": "Requests a day.",
    "certified_by": None,
    "viz_type": "table",
    "params": {
        "datasource": "12__table",
        "slice_id": 7,
        "viz_type": "table",
        "metrics": ["hits", {"expressionType": "SQL", "sqlExpression": "MAX(bytes)", "label": "largest"}],
        "adhoc_filters": [{"expressionType": "SIMPLE", "subject": "day", "sqlExpression": None, "filterOptionName": "x1y2"}],
        "dashboards": [1],
        "url_params": {},
    },
    "query_context": "{}",
    "cache_timeout": None,
    "uuid": "8c2c8a30-41c5-4b47-9d3f-3a7e1f3d2c11",
    "version": "1.0.0",
    "dataset_uuid": DATASET_ID,
}


@pytest.fixture
def merge(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, as the programs beside it import it."""
    monkeypatch.syspath_prepend(str(SUPERSET))
    monkeypatch.setenv("DASHBOARDS_TRINO_URI", "trino://superset@trino.example:8443")
    return importlib.import_module("merge")


def test_the_file_keeps_the_name_of_a_variable(merge: Any) -> None:
    assert merge.written_back(DATABASE, ON_TRINO, "trino") == DATABASE


def test_a_change_is_written_into_the_part_of_the_engine_it_was_made_on(merge: Any) -> None:
    moved = ON_TRINO | {"sqlalchemy_uri": "trino://superset@elsewhere.example/logs", "impersonate_user": False}
    written = merge.written_back(DATABASE, moved, "trino")
    trino = {"sqlalchemy_uri": "trino://superset@elsewhere.example/logs", "impersonate_user": False}
    assert written == DATABASE | {"engines": DATABASE["engines"] | {"trino": trino}}  # type: ignore[operator]


@pytest.mark.parametrize(
    "engine, expression, other",
    [("duckdb", "QUANTILE(x, 0.95)", "trino"), ("trino", "APPROX_PERCENTILE(x, 0.95)", "duckdb")],
)
def test_a_metric_of_two_engines(merge: Any, engine: str, expression: str, other: str) -> None:
    content = {"metrics": [PERCENTILE]}
    exported = {"metrics": [{"metric_name": "p95", "d3format": ",d", "expression": expression}]}
    assert merge.written_back(content, exported, engine) == content
    exported["metrics"][0]["expression"] = "MAX(x)"
    [metric] = merge.written_back(content, exported, engine)["metrics"]
    assert metric["engines"] == PERCENTILE["engines"] | {engine: {"expression": "MAX(x)"}}  # type: ignore[operator]
    assert metric["engines"][other] == PERCENTILE["engines"][other]  # type: ignore[index]


def test_of_a_database_only_what_its_file_names_is_looked_at(merge: Any) -> None:
    told = {"name": "Lakehouse", "extra": {"explore": True, "engine_params": {"password": "x"}}, "encrypted_extra": "secret"}
    assert merge.named_in({"name": "", "uri": "", "extra": {"explore": False}}, told) == {
        "name": "Lakehouse",
        "extra": {"explore": True},
    }


def test_a_new_chart_gets_a_file_that_keeps_its_id_and_loses_what_nobody_chose(merge: Any) -> None:
    path, content = merge.new_chart(CHART, "dashboards/web_traffic.yaml", {DATASET_ID: "datasets/Lakehouse/traffic.yaml"})
    assert path == "charts/web_traffic/hits_by_day.yaml"
    assert content == {
        "slice_name": "Hits, by day!",
        "description": "Requests a day.",
        "viz_type": "table",
        "params": {
            "viz_type": "table",
            "metrics": ["hits", {"expressionType": "SQL", "sqlExpression": "MAX(bytes)", "label": "largest"}],
            "adhoc_filters": [{"expressionType": "SIMPLE", "subject": "day"}],
        },
        "cache_timeout": None,
        "uuid": CHART["uuid"],
        "version": "1.0.0",
        "dataset_uuid": DATASET_ID,
    }
    assert list(content)[-3:] == ["uuid", "version", "dataset_uuid"]


def test_a_new_chart_takes_no_file_of_another(merge: Any) -> None:
    paths = {DATASET_ID: "datasets/Lakehouse/traffic.yaml", "other": "charts/web_traffic/hits_by_day.yaml"}
    path, content = merge.new_chart(CHART, "dashboards/web_traffic.yaml", paths)
    assert path == "charts/web_traffic/hits_by_day_2.yaml"
    again, _ = merge.new_chart(CHART, "dashboards/web_traffic.yaml", paths | {content["uuid"]: path})
    assert again == "charts/web_traffic/hits_by_day_3.yaml"


def test_a_new_chart_on_a_dataset_without_a_file_is_refused(merge: Any) -> None:
    with pytest.raises(Exception, match=r"the chart 'Hits, by day!' on dashboards/a\.yaml stands on a dataset that has no file"):
        merge.new_chart(CHART, "dashboards/a.yaml", {})


def test_a_chart_that_has_no_place_yet_gets_the_same_one_each_time(merge: Any) -> None:
    shown = {"type": "CHART", "id": "CHART-a", "children": [], "parents": ["ROOT_ID", "GRID_ID"], "meta": {"uuid": "a"}}
    position = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
        "GRID_ID": {"type": "GRID", "id": "GRID_ID", "children": ["CHART-a"], "parents": ["ROOT_ID"]},
        "CHART-a": shown,
    }
    assert merge.with_charts(copy.deepcopy(position), ["a"]) == position
    placed = merge.with_charts(copy.deepcopy(position), ["a", "b"])
    assert placed["GRID_ID"]["children"] == ["CHART-a", "ROW-b"]
    assert placed["ROW-b"]["children"] == ["CHART-b"]
    assert placed["CHART-b"]["parents"] == ["ROOT_ID", "GRID_ID", "ROW-b"]
    assert placed["CHART-b"]["meta"] == {"uuid": "b", "width": 12, "height": 50}
    assert merge.with_charts(copy.deepcopy(placed), ["a", "b"]) == placed


def test_on_a_dashboard_with_tabs_it_is_on_the_first(merge: Any) -> None:
    position = {
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["TABS-1"]},
        "TABS-1": {"type": "TABS", "id": "TABS-1", "children": ["TAB-1", "TAB-2"], "parents": ["ROOT_ID"]},
        "TAB-1": {"type": "TAB", "id": "TAB-1", "children": [], "parents": ["ROOT_ID", "TABS-1"]},
        "TAB-2": {"type": "TAB", "id": "TAB-2", "children": [], "parents": ["ROOT_ID", "TABS-1"]},
    }
    placed = merge.with_charts(position, ["a"])
    assert placed["TAB-1"]["children"] == ["ROW-a"]
    assert placed["CHART-a"]["parents"] == ["ROOT_ID", "TABS-1", "TAB-1", "ROW-a"]
