"""The cluster of the tests, and a lakehouse installed in it with no values at all."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest

from tests.cluster.clusters import given_cluster, start_cluster
from tests.cluster.node.node import Node
from tests.cluster.tables import SOURCES
from tests.cluster.tools import CHARTS, PROJECT, Cluster, Release, all_ready, build_dependencies, until

RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster that KUBECONFIG points at, or a node of our own with the images loaded, which ends with the tests."""
    given = given_cluster()
    if given:
        yield given
        return
    with Node().held() as node:
        node.down()  # whatever a run that was killed has left
        try:
            yield start_cluster(node)
        finally:
            node.down()


@pytest.fixture(scope="session")
def release(cluster: Cluster) -> Iterator[Release]:
    """A lakehouse installed with no values, in a namespace that enforces Pod Security "restricted"."""
    build_dependencies(cluster)
    namespace = "lakehouse"
    cluster.kubectl("create", "namespace", namespace)
    cluster.kubectl("label", "namespace", namespace, *(f"{key}={value}" for key, value in RESTRICTED.items()))
    start = time.monotonic()
    cluster.helm("install", "lakehouse", str(CHARTS / "lakehouse"), "--namespace", namespace)
    installed = Release(cluster, "lakehouse", namespace)
    until(lambda: all_ready(installed), "all pods ready")
    print(f"\ninstalled and ready after {time.monotonic() - start:.0f} s")
    yield installed
    cluster.helm("uninstall", "lakehouse", "--namespace", namespace, "--wait")
    cluster.kubectl("delete", "namespace", namespace)


VALUES = {
    "loader": {"sources": SOURCES},
    "trino": {
        "catalogs": {
            "extra": {
                # The shipped catalog but for one line, to see what that line is worth.
                "flat": (PROJECT / "trino-catalogs" / "hive.properties")
                .read_text(encoding="utf-8")
                .replace("hive.recursive-directories=true", "hive.recursive-directories=false")
            }
        }
    },
}


@pytest.fixture(scope="session")
def configured(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The release with a source that loads access logs from the landing bucket, and one more catalog."""
    file = tmp_path_factory.mktemp("values") / "values.json"
    file.write_text(json.dumps(VALUES), encoding="utf-8")
    upgrade(release, "--values", str(file))
    return release


@pytest.fixture(scope="module")
def landing(release: Release) -> Iterator[Any]:
    """A client of the object store that may write into the landing bucket; for a module, as others replace the store's pod."""
    with landing_client(release) as client:
        yield client


@contextmanager
def landing_client(release: Release) -> Iterator[Any]:
    """The same for a moment: it ends with the pod that it leads to."""
    with release.port_forward(f"svc/{release.name}-minio", 9000) as port:
        yield s3_client(port, release.secret("minio-landing", "access-key"), release.secret("minio-landing", "secret-key"))


def s3_client(port: int, access_key: str, secret_key: str) -> Any:
    """A client of the object store behind a forwarded port."""
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
    )


def upgrade(release: Release, *arguments: str) -> None:
    """Upgrade the release to the charts of this folder and wait until all of it is ready."""
    place = ("--namespace", release.namespace)
    release.cluster.helm("upgrade", release.name, str(CHARTS / "lakehouse"), *place, *arguments, "--wait", "--timeout=15m")
    until(lambda: all_ready(release), "all pods ready")
