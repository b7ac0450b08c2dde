"""What outlives an upgrade, a rollback and an uninstallation: tables, rows, passwords, keys and the certificate."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.charts.conftest import raised
from tests.cluster.conftest import SMALL, restricted_namespace, upgrade
from tests.cluster.node.programs import HELM, HELM_4, Program, program
from tests.cluster.outside import metastore
from tests.cluster.test_superset import without_samples
from tests.cluster.tools import Cluster, Release, all_ready, packaged, until

pytestmark = pytest.mark.cluster

CHANGED: dict[str, Any] = {
    "postgresql": {"resources": {"limits": {"memory": "640Mi"}}},
    "minio": {"buckets": ["warehouse", "landing", "exchange", "more"], "resources": {"limits": {"memory": "1280Mi"}}},
    "metastore": {"heapMegabytes": 384},
}
"""Another configuration of all that holds data."""
WITH_REPORTS: dict[str, Any] = {
    **CHANGED,
    "postgresql": {**CHANGED["postgresql"], "databases": ["metastore", "superset", "reports"]},
}
"""The same, and a database that was not there."""
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


def values(file: Path, content: dict[str, Any]) -> tuple[str, str]:
    """The option that gives helm these values."""
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

    upgrade(configured, package, "--reuse-values", *values(tmp_path / "values.json", WITH_REPORTS))
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


TEMPORARY: dict[str, Any] = {**SMALL, "global": {"keepOnUninstall": False}}
ROWS = "SELECT count(*), sum(id) FROM kept.words"


def names(release: Release, kind: str) -> set[str]:
    """Objects of a kind in the namespace of the release, but for what every namespace has."""
    return {found["metadata"]["name"] for found in release.objects(kind)} - {"kube-root-ca.crt"}


def volumes(release: Release) -> dict[str, str]:
    """Volumes by their claims."""
    return {claim["metadata"]["name"]: claim["spec"]["volumeName"] for claim in release.objects("persistentvolumeclaims")}


def install(release: Release, package: Path, options: tuple[str, ...]) -> None:
    """Install and wait until all of it is ready."""
    release.cluster.helm("install", release.name, str(package), "--namespace", release.namespace, *options)
    until(lambda: all_ready(release), "all pods ready")


def uninstall(release: Release) -> None:
    """Uninstall, see that nothing runs and nothing is left but volumes and Secrets, and wait until all pods have ended."""
    release.cluster.helm("uninstall", release.name, "--namespace", release.namespace, "--wait")
    # What `helm test` started is no part of the release for helm; the pod has ended long ago.
    until(lambda: names(release, "pods") <= {f"{release.name}-loader-test"}, "all pods have ended")
    for kind in ("deployments", "statefulsets", "jobs", "cronjobs", "services", "configmaps", "networkpolicies"):
        until(lambda kind=kind: not names(release, kind), f"{kind} are gone")  # type: ignore[misc]


def next_version(cluster: Cluster, folder: Path) -> Path:
    """The packaged chart as it is, but for the version of all charts; images have the version of the application."""
    folder.mkdir()
    return packaged(cluster, folder, raised(folder / "charts", "version"))


def dashboards_of(release: Release) -> list[str]:
    """Those that their user `admin` sees."""
    with without_samples(release) as superset:
        return superset.dashboards()


@pytest.mark.long
@pytest.mark.parametrize("helm", [HELM, HELM_4], ids=["helm-3", "helm-4"])
def test_uninstalled_and_installed_again(cluster: Cluster, tmp_path: Path, helm: Program, request: pytest.FixtureRequest) -> None:
    by = Cluster(cluster.kubeconfig, cluster.kubectl_path, program(helm))
    print(f"\n{by.helm('version', '--short').strip()}")
    package = packaged(by, tmp_path)
    small = values(tmp_path / "small.json", SMALL)
    with restricted_namespace(by, f"again-{request.node.callspec.id}") as release:
        install(release, package, small)
        assert 'Trino counts "1000" rows' in by.helm("test", release.name, "--namespace", release.namespace, "--logs")
        release.trino("CREATE SCHEMA kept")
        release.trino("CREATE TABLE kept.words AS SELECT * FROM (VALUES BIGINT '1', 2, 3) AS t (id)")
        before, there, slugs, seen = kept(release), volumes(release), dashboards_of(release), uids(release, SERVERS)
        assert len(before) > 10
        assert len(there) == 2
        assert slugs

        upgrade(release, next_version(by, tmp_path / "next"), *small, *values(tmp_path / "changed.json", CHANGED))
        assert not uids(release, SERVERS) & seen
        assert release.trino(ROWS) == [[3, 6]]
        release.trino("INSERT INTO kept.words VALUES 4")
        rollback(release)
        assert release.trino(ROWS) == [[4, 10]]
        assert kept(release) == before

        uninstall(release)
        assert kept(release) == before
        assert volumes(release) == there

        install(release, package, small)
        assert release.trino(ROWS) == [[4, 10]]
        assert release.trino("SELECT count(*) FROM helm_test.access_logs") == [[1000]]
        assert kept(release) == before
        assert volumes(release) == there
        assert dashboards_of(release) == slugs

        upgrade(release, package, *values(tmp_path / "temporary.json", TEMPORARY))
        # Kubernetes notes in each claim whose it is, soon after the upgrade.
        until(
            lambda: all("ownerReferences" in claim["metadata"] for claim in release.objects("persistentvolumeclaims")),
            "claims belong to their StatefulSets",
        )
        uninstall(release)
        until(lambda: not volumes(release), "volumes are gone")
        assert kept(release) == {}
