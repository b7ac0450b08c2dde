"""Installed with no values: everything runs, and what pyiceberg writes Trino reads, and the other way round."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.cluster.conftest import upgrade
from tests.cluster.outside import metastore
from tests.cluster.tools import Release

pytestmark = pytest.mark.cluster


def test_memory_of_all_pods(release: Release) -> None:
    used: dict[str, int] = {}
    for node in json.loads(release.cluster.kubectl("get", "nodes", "--output", "json"))["items"]:
        address = f"/api/v1/nodes/{node['metadata']['name']}/proxy/stats/summary"
        for pod in json.loads(release.cluster.kubectl("get", "--raw", address))["pods"]:
            if pod["podRef"]["namespace"] == release.namespace:
                used[pod["podRef"]["name"]] = pod.get("memory", {}).get("workingSetBytes", 0) // 2**20
    for name, megabytes in sorted(used.items()):
        print(f"{megabytes:6} MiB  {name}")
    print(f"{sum(used.values()):6} MiB  together")
    assert {pod["metadata"]["name"] for pod in release.objects("pods") if pod["status"]["phase"] == "Running"} <= used.keys()


def test_a_table_that_pyiceberg_wrote_is_read_by_trino(release: Release) -> None:
    rows = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "word": ["one", "two", "three"]})
    with metastore(release) as catalog:
        catalog.create_namespace_if_not_exists("from_outside")
        table = catalog.create_table("from_outside.words", rows.schema, location="s3://warehouse/from_outside/words")
        table.append(rows)
        assert release.trino("SELECT id, word FROM from_outside.words ORDER BY id") == [[1, "one"], [2, "two"], [3, "three"]]
        release.trino("INSERT INTO from_outside.words VALUES (4, 'four')")
        assert sorted(table.refresh().scan().to_arrow()["id"].to_pylist()) == [1, 2, 3, 4]


def test_two_writers_that_saw_the_same_table(release: Release) -> None:
    rows = pa.table({"id": pa.array([1], pa.int64())})
    with metastore(release) as catalog:
        catalog.create_namespace_if_not_exists("from_outside")
        catalog.create_table("from_outside.race", rows.schema, location="s3://warehouse/from_outside/race")
        first, second = (catalog.load_table("from_outside.race") for _ in range(2))
        first.append(rows)
        second.append(rows)
        assert first.refresh().scan().to_arrow().num_rows == 2
        assert release.trino("SELECT count(*) FROM from_outside.race") == [[2]]


def test_secrets_are_in_secrets_only(release: Release) -> None:
    secrets = {
        b64decode(value).decode(errors="replace")
        for secret in release.objects("secrets", "app.kubernetes.io/part-of=lakehouse")
        for key, value in secret["data"].items()
        if key not in ("username", "ca.crt", "tls.crt")
    }
    assert len(secrets) > 10
    kinds = ("configmaps", "pods", "jobs", "cronjobs", "statefulsets", "deployments", "services")
    elsewhere = "\n".join(json.dumps(release.objects(kind)) for kind in kinds)
    assert not [secret for secret in secrets if secret in elsewhere]


def test_the_same_chart_again_changes_nothing(release: Release, package: Path) -> None:
    def state() -> dict[str, Any]:
        pods = {pod["metadata"]["uid"] for pod in release.objects("pods", f"app.kubernetes.io/instance={release.name}")}
        secrets = release.objects("secrets", "app.kubernetes.io/part-of=lakehouse")
        return {"pods": pods, "secrets": {secret["metadata"]["name"]: secret["data"] for secret in secrets}}

    before = state()
    upgrade(release, package)
    assert state() == before
