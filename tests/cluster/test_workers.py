"""Workers of Trino come and go while a query runs: they share its work, and it ends as if nothing had happened."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.cluster.tools import Release, all_ready, until

pytestmark = [pytest.mark.cluster, pytest.mark.long]
WORKERS = "app.kubernetes.io/name=trino,app.kubernetes.io/component=worker"
ROWS = 59_986_052
"""Of tpch.sf10.lineitem."""
QUERY = "SELECT count(*), count_if(length(sha512(to_utf8(comment))) = 64) FROM lineitem"
"""Takes about a minute of two processors."""


def scale(release: Release, workers: int) -> None:
    """Say how many workers there shall be."""
    release.kubectl("scale", f"deployment/{release.name}-trino-worker", f"--replicas={workers}")


def pods(release: Release) -> set[str]:
    """Pods of workers, those that are ending as well."""
    return {pod["metadata"]["name"] for pod in release.objects("pods", WORKERS)}


def states(release: Release) -> dict[str, str]:
    """State of each worker that Trino knows, by its id."""
    return dict(release.trino("SELECT node_id, state FROM system.runtime.nodes WHERE NOT coordinator"))


def working(release: Release) -> dict[str, int]:
    """How many splits of the query, which still runs, each node has begun."""
    rows: list[list[Any]] = release.trino(
        "SELECT node_id, sum(running_splits + completed_splits) "
        "FROM system.runtime.tasks JOIN system.runtime.queries USING (query_id) "
        f"WHERE query = '{QUERY}' AND queries.state = 'RUNNING' GROUP BY 1"
    )
    return {node: splits for node, splits in rows if splits}


def going(release: Release, query: Future[Any]) -> bool:
    """Whether one of two workers is about to end."""
    assert not query.done(), "the query ended before a worker did: it has to take longer"
    return sorted(states(release).values()) == ["active", "shutting_down"]


def test_a_worker_goes_while_a_query_runs(configured: Release) -> None:
    before = pods(configured)
    scale(configured, 2)
    try:
        until(lambda: len(pods(configured)) == 2 and all_ready(configured), "two workers are ready")
        until(lambda: [*states(configured).values()] == ["active"] * 2, "Trino knows two workers")
        both = states(configured).keys()
        with ThreadPoolExecutor() as together:
            query = together.submit(configured.trino, QUERY, catalog="tpch", schema="sf10")
            until(lambda: query.done() or both <= working(configured).keys(), "both workers have splits of the query")
            assert not query.done(), query.result()
            print(f"\nsplits by worker: {sorted(working(configured).values())}")
            scale(configured, 1)
            until(lambda: going(configured, query), "one of two workers is about to end")
            # Nothing of a query is done twice (no retry.policy): had the worker not finished its part, the query would fail.
            assert query.result() == [[ROWS, ROWS]]
        until(lambda: len(pods(configured)) == 1, "the worker has ended")
        until(lambda: [*states(configured).values()] == ["active"], "Trino knows one worker")
        assert configured.trino("SELECT count(*) FROM tpch.tiny.orders") == [[15_000]]
    finally:
        scale(configured, len(before))
        until(lambda: len(pods(configured)) == len(before), "as many workers as before")
