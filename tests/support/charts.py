"""What charts show, asked of Superset's chart data API: the same question for both query engines."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from tests.support.superset import Api

Rows = list[dict[str, Any]]


class Superset:
    """What Superset tells somebody who has logged in, who expects no refusal.

    Args:
        address: without a path.
        user: name.
        password: of the user.
    """

    def __init__(self, address: str, user: str, password: str) -> None:
        self._api = Api(address, user, password)

    def get(self, path: str) -> Any:
        """A JSON answer; raises requests.HTTPError."""
        return self._answer(self._api.get(path))

    def post(self, path: str, content: Any) -> Any:
        """A JSON answer; raises requests.HTTPError."""
        return self._answer(self._api.post(path, content))

    def counts(self) -> dict[str, int]:
        """How many objects of each kind there are."""
        return {kind: self.get(f"/api/v1/{kind}/")["count"] for kind in ("chart", "dashboard", "dataset", "database")}

    def dashboards(self) -> list[str]:
        """Slugs of all dashboards."""
        return sorted(dashboard["slug"] for dashboard in self.get("/api/v1/dashboard/")["result"])

    def tabs(self, dashboard: str) -> dict[str, int]:
        """See `charts_by_tab`."""
        return charts_by_tab(json.loads(self.get(f"/api/v1/dashboard/{dashboard}")["result"]["position_json"]))

    def charts(self, dashboard: str, row_limit: int | None = None) -> dict[str, Rows]:
        """Rows of every chart of a dashboard for the last 20 days, by its name; as many as it shows, or as are asked for."""
        found = {}
        for chart in self.get(f"/api/v1/dashboard/{dashboard}/charts")["result"]:
            form = chart["form_data"] | ({} if row_limit is None else {"row_limit": row_limit, "server_pagination": False})
            [result] = self.post("/api/v1/chart/data", query_context(form))["result"]
            found[chart["slice_name"]] = result["data"]
        return found

    @staticmethod
    def _answer(response: requests.Response) -> Any:
        if not response.ok:
            raise requests.HTTPError(f"{response.status_code}: {response.text[:2000]}", response=response)
        return response.json()


def charts_by_tab(position: dict[str, Any]) -> dict[str, int]:
    """How many charts are seen when a tab of a dashboard is open: its own, and those that stand outside all tabs.

    Args:
        position: the parts of the dashboard by their ids.
    """
    parts = [part for part in position.values() if isinstance(part, dict)]
    tabs = [part for part in parts if part["type"] == "TAB"]
    ways = [set(part["parents"]) for part in parts if part["type"] == "CHART"]
    outside = sum(way.isdisjoint(tab["id"] for tab in tabs) for way in ways)
    return {tab["meta"]["text"]: outside + sum(tab["id"] in way for way in ways) for tab in tabs}


def query_context(form: dict[str, Any]) -> dict[str, Any]:
    """The question that the browser asks for a chart with these settings, for the last 20 days."""
    today = datetime.now(UTC).date()
    days = f"{today - timedelta(days=19)} : {today + timedelta(days=1)}"
    number, _, kind = form["datasource"].partition("__")
    columns: list[Any] = []
    if axis := form.get("x_axis"):
        grain = form.get("time_grain_sqla")
        columns.append(
            {"timeGrain": grain, "columnType": "BASE_AXIS", "sqlExpression": axis, "label": axis, "expressionType": "SQL"}
        )
    groups = form.get("groupby") or []
    columns += [groups] if isinstance(groups, str) else groups
    if form.get("query_mode") == "raw":
        columns += form["all_columns"]
        metrics: list[Any] | None = None  # an empty list would group the rows
    else:
        metrics = form.get("metrics") or [form["metric"]]
    order = [[form["timeseries_limit_metric"], False]] if form.get("timeseries_limit_metric") else []
    order += [json.loads(column) for column in form.get("order_by_cols") or []]
    filters = [
        {
            "col": part["subject"],
            "op": part["operator"],
            "val": days if part["operator"] == "TEMPORAL_RANGE" else part["comparator"],
        }
        for part in form["adhoc_filters"]
    ]
    query = {
        "columns": columns,
        "metrics": metrics,
        "filters": filters,
        "orderby": order,
        "row_limit": form["server_page_length"] if form.get("server_pagination") else form["row_limit"],
    }
    return {
        "datasource": {"id": int(number), "type": kind},
        "force": True,
        "queries": [query],
        "result_format": "json",
        "result_type": "full",
    }
