"""Questions that a viewer's browser would never send: each tries to get at rows of another site."""

from typing import Any

from tests.support.superset import Api, rows

SITE, OTHER = "rennes", "paris"
"""The viewer's, and one that is not."""


def sql(expression: str, label: str = "n") -> dict[str, str]:
    return {"expressionType": "SQL", "sqlExpression": expression, "label": label}


FORGED: dict[str, dict[str, Any]] = {
    "a filter on the other site": {"filters": [{"col": "site", "op": "IN", "val": [OTHER]}]},
    "a condition with OR": {"extras": {"where": f"site = '{OTHER}' OR 1 = 1"}},
    "a condition that closes the bracket": {"extras": {"where": f"1 = 1) OR (site = '{OTHER}'"}},
    "a condition with a comment": {"extras": {"where": "1 = 1 --"}},
    "a condition on groups": {"extras": {"having": "1 = 1) OR (1 = 1"}},
    "another query behind it": {"extras": {"where": "1 = 1 UNION ALL SELECT site, 1 FROM access_logs"}},
    "a metric with a query": {"metrics": [sql("(SELECT count(*) FROM access_logs)")]},
    "a metric with a query that begins with FROM": {"metrics": [sql("(FROM access_logs SELECT count(*))")]},
    "a column with a query": {"columns": ["site", sql("(SELECT min(site) FROM access_logs)", "s")]},
    "a metric over a window": {"metrics": [sql("SUM(COUNT(*)) OVER ()")]},
    "a template": {"extras": {"where": "{{ 1 }} = 1 OR site = '" + OTHER + "'"}},
    "a file": {"metrics": [sql("(SELECT count(*) FROM read_parquet('/**/*.parquet'))")]},
}


def assert_only_own_rows(admin: Api, viewer: Api, dataset: int, forged: str) -> None:
    """A viewer of SITE who sends a question of FORGED sees no row of OTHER, and no number that counts some."""
    own = next(row["n"] for row in rows(admin.ask(dataset)) if row["site"] == SITE)
    for row in rows(viewer.ask(dataset, **FORGED[forged])):
        assert row["site"] == SITE
        assert row["n"] <= own
        assert row.get("s") in (None, SITE)
