"""Superset's REST API, as somebody who is logged in, or as nobody."""

from typing import Any
from uuid import uuid4

import requests


class Api:
    """Requests of one user.

    Args:
        address: of Superset, without a path.
        user: name; None: nobody logs in.
        password: of the user.
        guest_token: sent with each request.
    """

    def __init__(self, address: str, user: str | None = None, password: str = "", guest_token: str | None = None):
        self._address = address
        self._session = requests.Session()
        self._session.trust_env = False
        # The server closes what is idle for 2 s, and a forwarded port does not tell.
        self._session.headers["Connection"] = "close"
        if guest_token is not None:
            self._session.headers["X-GuestToken"] = guest_token
        if user is not None:
            answer = self.post("/api/v1/security/login", {"username": user, "password": password, "provider": "db"})
            answer.raise_for_status()
            self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            token = self.get("/api/v1/security/csrf_token/").json()["result"]
            self._session.headers.update({"X-CSRFToken": token, "Referer": self._address})

    def get(self, path: str) -> requests.Response:
        return self._session.get(self._address + path, timeout=120, allow_redirects=False)

    def post(self, path: str, content: dict[str, Any]) -> requests.Response:
        return self._session.post(self._address + path, json=content, timeout=120, allow_redirects=False)

    def put(self, path: str, content: dict[str, Any]) -> requests.Response:
        return self._session.put(self._address + path, json=content, timeout=120, allow_redirects=False)

    def delete(self, path: str) -> requests.Response:
        return self._session.delete(self._address + path, timeout=120, allow_redirects=False)

    def ask(self, dataset: int, **query: Any) -> requests.Response:
        """A query of chart data as the browser sends it; `query` takes the place of its parts."""
        usual: dict[str, Any] = {"columns": ["site"], "metrics": [COUNT], "filters": [], "extras": {}, "row_limit": 1000}
        content = {
            "datasource": {"id": dataset, "type": "table"},
            "queries": [usual | query],
            "result_format": "json",
            "result_type": "full",
        }
        return self.post("/api/v1/chart/data", content)

    def ask_in_sql_lab(self, statement: str, database: int = 1) -> requests.Response:
        """A statement as SQL Lab sends it, under a number of its own: under an old one, an old answer could come."""
        query = {"database_id": database, "sql": statement, "client_id": uuid4().hex[:11], "runAsync": False}
        return self.post("/api/v1/sqllab/execute/", query)

    def datasets(self) -> dict[str, int]:
        """Number of every dataset by name."""
        found = self.get("/api/v1/dataset/?q=(page_size:100)").json()["result"]
        return {dataset["table_name"]: dataset["id"] for dataset in found}


COUNT = {"expressionType": "SQL", "sqlExpression": "COUNT(*)", "label": "n"}


def rows(answer: requests.Response) -> list[dict[str, Any]]:
    """Rows of an answer to `Api.ask`; none of one that refuses."""
    if answer.status_code != 200:
        return []
    return [row for result in answer.json()["result"] for row in result.get("data") or []]
