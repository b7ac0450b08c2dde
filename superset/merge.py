"""What somebody changed in the browser, brought into the content of a file: nothing else in it moves.

Superset exports an object with much that nobody chose: numbers that only it knows, defaults, colours by name. That is left out,
and what is left changes only those values in the file that differ from it.
"""

import re
from pathlib import Path
from typing import Any

from asset_files import AssetError, for_engine

NOISE = {
    "chartId", "chartsInScope", "chart_configuration", "color_namespace", "color_scheme_domain", "dashboardId",
    "dashboard_color_scheme",
    "dashboards", "datasource", "datasourceWarning", "default_filters", "expanded_slices", "extra_form_data", "filterOptionName",
    "global_chart_configuration", "isExtra", "isNew", "label_colors", "map_label_colors", "own_color_scheme", "positions",
    "query_context", "shared_label_colors", "sliceName", "slice_id", "tabsInScope", "tags", "theme_uuid",
    "timed_refresh_immune_slices", "url_params",
}  # fmt: skip
"""Keys of exports that are no choice of anybody."""
IDENTITIES = ("metric_name", "column_name", "id")
"""Keys by which the parts of a list are told apart."""


def written_back(content: dict[str, Any], exported: dict[str, Any], engine: str) -> dict[str, Any]:
    """The content of a file with what differs in Superset.

    Args:
        content: of the file.
        exported: the same object as Superset has it.
        engine: that Superset asks; what differs in a part of its own is changed there.
    """
    found: dict[str, Any] = _merge(content, _without_noise(exported), engine)
    return found


def named_in(content: dict[str, Any], exported: dict[str, Any]) -> dict[str, Any]:
    """Of an exported object, what a content names, too."""
    return {
        key: named_in(content[key], value) if isinstance(value, dict) and isinstance(content[key], dict) else value
        for key, value in exported.items()
        if key in content
    }


def new_chart(exported: dict[str, Any], dashboard: str, paths: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """Path and content of the file for a chart that was made in the browser. It keeps its UUID: the next import finds it by that.

    Args:
        exported: the chart as Superset has it.
        dashboard: path of the dashboard that it is on.
        paths: of all files, by UUID.

    Raises:
        AssetError: its dataset has no file.
    """
    title = exported["slice_name"]
    if exported.get("dataset_uuid") not in paths:
        raise AssetError(
            f"the chart {title!r} on {dashboard} stands on a dataset that has no file: choose another dataset for it, "
            "or take it off the dashboard"
        )
    name = re.sub(r"\W+", "_", title.lower()).strip("_") or "chart"
    place = f"charts/{Path(dashboard).stem}/{name}"
    names = [f"{place}.yaml", *(f"{place}_{number}.yaml" for number in range(2, len(paths) + 3))]
    path = next(name for name in names if name not in paths.values())
    keys = ("slice_name", "description", "viz_type", "params", "cache_timeout", "uuid", "version", "dataset_uuid")
    content = {key: exported.get(key) for key in keys} | {"params": {}}
    return path, _merge_mapping(content, _without_noise(exported), "")


def with_charts(position: dict[str, Any], charts: list[str]) -> dict[str, Any]:
    """A dashboard's parts with a place for each of its charts, by UUID.

    Superset gives a place to a chart that was only just added when somebody saves the dashboard, and until then, in each export,
    another one. Here it is as wide as the dashboard, below all others.
    """
    shown = {part["meta"].get("uuid") for part in position.values() if isinstance(part, dict) and part["type"] == "CHART"}
    below = position[position["ROOT_ID"]["children"][0]]
    if below["type"] == "TABS":
        below = position[below["children"][0]]
    for chart in charts:
        if chart in shown:
            continue
        row, cell = f"ROW-{chart}", f"CHART-{chart}"
        parents = [*below["parents"], below["id"]]
        meta = {"uuid": chart, "width": 12, "height": 50}
        below["children"].append(row)
        position[row] = {
            "type": "ROW", "id": row, "children": [cell], "parents": parents, "meta": {"background": "BACKGROUND_TRANSPARENT"},
        }  # fmt: skip
        position[cell] = {"type": "CHART", "id": cell, "children": [], "parents": [*parents, row], "meta": meta}
    return position


def _without_noise(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_noise(inner)
            for key, inner in value.items()
            if key not in NOISE and not (key == "sqlExpression" and inner is None)
        }
    return [_without_noise(inner) for inner in value] if isinstance(value, list) else value


def _merge(old: Any, new: Any, engine: str) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return _merge_mapping(old, new, engine)
    if isinstance(old, list) and isinstance(new, list):
        return _merge_list(old, new, engine)
    return old if old == new or (_is_empty(old) and _is_empty(new)) else new


def _merge_mapping(old: dict[str, Any], new: dict[str, Any], engine: str) -> dict[str, Any]:
    own = old.get("engines", {}).get(engine, {})
    merged: dict[str, Any] = {}
    for key, value in old.items():
        if key == "engines":
            parts = {name: _merge(inner, new[name], engine) if name in new else inner for name, inner in own.items()}
            # A part with an address from the environment is that address: the file keeps the variable's name.
            same = {name for name in parts if name in new and for_engine(own[name], engine) == new[name]}
            merged[key] = value | {engine: {name: own[name] if name in same else part for name, part in parts.items()}}
        elif key in NOISE or key in own:
            merged[key] = value
        elif key in new:
            merged[key] = _merge(value, new[key], engine)
        elif _is_empty(value):
            merged[key] = value
    added = {key: value for key, value in new.items() if key not in old and key not in own and key != "uuid"}
    return merged | {key: value for key, value in added.items() if not _is_empty(value)}


def _merge_list(old: list[Any], new: list[Any], engine: str) -> list[Any]:
    identity = next((key for key in IDENTITIES if all(isinstance(part, dict) and key in part for part in [*old, *new])), None)
    if identity is not None and old and new:
        known = {part[identity]: part for part in new}
        names = [part[identity] for part in old]
        kept = [_merge(part, known[part[identity]], engine) for part in old if part[identity] in known]
        return kept + [part for part in new if part[identity] not in names]
    if len(old) == len(new) and all(isinstance(part, dict) for part in [*old, *new]):
        return [_merge(one, other, engine) for one, other in zip(old, new, strict=True)]
    return old if old == new else new


def _is_empty(value: Any) -> bool:
    return value is None or value is False or value in ("", [], {})
