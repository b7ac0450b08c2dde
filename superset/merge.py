"""What somebody changed in the browser, brought into the content of a file: nothing else in it moves.

Superset exports an object with much that nobody chose: numbers that only it knows, defaults, colours by name. That is left out,
and what is left changes only those values in the file that differ from it.
"""

from typing import Any

from asset_files import for_engine

NOISE = {
    "chartId", "chartsInScope", "chart_configuration", "color_namespace", "color_scheme_domain", "dashboardId",
    "dashboard_color_scheme",
    "dashboards", "datasource", "datasourceWarning", "default_filters", "expanded_slices", "extra_form_data", "filterOptionName",
    "global_chart_configuration", "isExtra", "isNew", "label_colors", "map_label_colors", "own_color_scheme", "positions",
    "query_context", "shared_label_colors", "slice_id", "sqlExpression", "tabsInScope", "tags", "theme_uuid",
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


def _without_noise(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_noise(inner) for key, inner in value.items() if key not in NOISE}
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
        elif key in NOISE or key in new:
            merged[key] = value if key in NOISE else _merge(value, new[key], engine)
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
