"""What outlives an upgrade and a rollback: tables, rows, passwords, keys and the certificate."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.cluster.conftest import upgrade
from tests.cluster.outside import metastore
from tests.cluster.tools import Release, all_ready, until

pytestmark = pytest.mark.cluster

CHANGED: dict[str, Any] = {
    "postgresql": {"databases": ["metastore", "superset", "reports"], "resources": {"limits": {"memory": "640Mi"}}},
    "minio": {"buckets": ["warehouse", "landing", "exchange", "more"], "resources": {"limits": {"memory": "1280Mi"}}},
    "metastore": {"heapMegabytes": 384},
}
"""Another configuration of all that holds data."""
SERVERS = "app.kubernetes.io/component=server,app.kubernetes.io/name!=superset"
UNCHANGED = "app.kubernetes.io/name in (trino, superset),app.kubernetes.io/component in (coordinator, worker, server)"
OURS = "app.kubernetes.io/part-of=lakehouse"


def kept(release: Release) -> dict[str, Any]:
    """Passwords, keys and certificates, by Secret."""
    return {secret["metadata"]["name"]: secret["data"] for secret in release.objects("secrets", OURS)}


def check_kept(release: Release, before: dict[str, Any]) -> None:
    """Whether all Secrets are as they were; there may be more of them."""
    now = kept(release)
    assert {name: now.get(name) for name in before} == before


def uids(release: Release, selector: str) -> set[str]:
    """Pods that there are."""
    return {pod["metadata"]["uid"] for pod in release.objects("pods", selector)}


def values(folder: Path, content: dict[str, Any]) -> tuple[str, str]:
    """The option that gives helm these values."""
    file = folder / "values.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return ("--values", str(file))


def rollback(release: Release) -> None:
    """Go back to the revision before and wait until all of it is ready."""
    release.cluster.helm("rollback", release.name, "--namespace", release.namespace, "--wait", "--timeout=15m")
    until(lambda: all_ready(release), "all pods ready")


@pytest.mark.long
def test_other_values_and_back(configured: Release, package: Path, tmp_path: Path) -> None:
    rows = pa.table({"id": pa.array([1, 2, 3], pa.int64())})
    with metastore(configured) as catalog:
        catalog.create_namespace_if_not_exists("upgraded")
        catalog.create_table("upgraded.words", rows.schema, location="s3://warehouse/upgraded/words").append(rows)
    before, servers, unchanged = kept(configured), uids(configured, SERVERS), uids(configured, UNCHANGED)
    count = "SELECT count(*), sum(id) FROM upgraded.words"

    upgrade(configured, package, "--reuse-values", *values(tmp_path, CHANGED))
    assert configured.trino(count) == [[3, 6]]
    check_kept(configured, before)
    assert "lakehouse-postgresql-reports" in kept(configured)
    assert not uids(configured, SERVERS) & servers
    # What has not changed runs on.
    assert uids(configured, UNCHANGED) == unchanged
    configured.trino("INSERT INTO upgraded.words VALUES 4")

    rollback(configured)
    assert configured.trino(count) == [[4, 10]]
    check_kept(configured, before)
    assert uids(configured, UNCHANGED) == unchanged
    with metastore(configured) as catalog:
        assert catalog.load_table("upgraded.words").scan().count() == 4
