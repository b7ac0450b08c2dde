"""The cluster of the tests, and a lakehouse installed in it with no values at all."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from tests.browser.forged import SITE
from tests.cluster.clusters import given_cluster, passing_cluster
from tests.cluster.tables import SOURCES
from tests.cluster.tools import PROJECT, Cluster, Release, all_ready, packaged, until

RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster that KUBECONFIG points at, or one of kind's, or a node of our own; these two end with the tests."""
    with passing_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def node_folder() -> Iterator[Path]:
    """An empty folder for nodes of a module's own; pytest's are named after the test, which makes paths too long for sockets."""
    with tempfile.TemporaryDirectory(prefix="node-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def package(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged chart of this folder."""
    return packaged(cluster, tmp_path_factory.mktemp("package"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what needs no lakehouse first: one is installed meanwhile."""
    items.sort(key=_needs_release)


@pytest.fixture(scope="session", autouse=True)
def _begin(request: pytest.FixtureRequest) -> None:
    """Begin to install a lakehouse before the first test, if any of them needs it."""
    if any(map(_needs_release, request.session.items)):
        with suppress(Exception):  # those that need it are told of it, the others are not
            request.getfixturevalue("begun")


def _needs_release(item: pytest.Item) -> bool:
    return "begun" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def begun(cluster: Cluster, package: Path) -> Iterator[Release]:
    """A lakehouse that is being installed with no values, in a namespace that enforces Pod Security "restricted"."""
    make_namespace(cluster, "lakehouse")
    installed = Release(cluster, "lakehouse", "lakehouse")
    cluster.helm("install", installed.name, str(package), "--namespace", installed.namespace)
    yield installed
    installed.close()
    killed = _out_of_memory(installed)
    if given_cluster():  # any other one ends with all that is in it
        remove(installed)
    assert not killed, "a limit of memory is too low for what runs there"


@pytest.fixture(scope="session")
def release(begun: Release) -> Release:
    """A lakehouse that was installed with no values."""
    until(lambda: all_ready(begun), "all pods ready")
    print(f"\ninstalled and ready after {_seconds_until_ready(begun):.0f} s")
    # Before any value is given; TableTests do it again, when the day is there already and is not loaded a second time.
    begun.cluster.helm("test", begun.name, "--namespace", begun.namespace)
    return begun


def _seconds_until_ready(release: Release) -> float:
    """How long after its namespace was made the last of the pods that run became ready; whoever waits for that may come later."""
    namespace = json.loads(release.cluster.kubectl("get", "namespace", release.namespace, "--output", "json"))
    changes = [
        datetime.fromisoformat(condition["lastTransitionTime"])
        for pod in release.objects("pods", f"app.kubernetes.io/instance={release.name}")
        for condition in pod["status"]["conditions"]
        if (condition["type"], condition["status"]) == ("Ready", "True")
    ]
    return (max(changes) - datetime.fromisoformat(namespace["metadata"]["creationTimestamp"])).total_seconds()


def _out_of_memory(release: Release) -> list[str]:
    """Pods of which a container was killed because it took more memory than its limit."""
    return [
        pod["metadata"]["name"]
        for pod in release.objects("pods")
        for container in pod["status"].get("containerStatuses", [])
        if container["lastState"].get("terminated", {}).get("reason") == "OOMKilled"
    ]


def make_namespace(cluster: Cluster, name: str) -> None:
    """Make a namespace that enforces Pod Security "restricted"."""
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, *(f"{key}={value}" for key, value in RESTRICTED.items()))


def remove(release: Release) -> None:
    """Uninstall a release, if it is there, and delete its namespace with all that is left."""
    release.close()
    release.cluster.helm("uninstall", release.name, "--namespace", release.namespace, "--ignore-not-found", "--wait")
    release.cluster.kubectl("delete", "namespace", release.namespace, "--ignore-not-found")


@contextmanager
def restricted_namespace(cluster: Cluster, name: str) -> Iterator[Release]:
    """A namespace that enforces Pod Security "restricted", for a release that is removed at the end."""
    make_namespace(cluster, name)
    release = Release(cluster, "lakehouse", name)
    try:
        yield release
    finally:
        remove(release)


QUICK = [{"name": "JDK_JAVA_OPTIONS", "value": "-XX:TieredStopAtLevel=1"}]
"""For servers that live for minutes: the second of Java's two compilers, which is for hours of work, takes half of their CPU."""

VALUES: dict[str, Any] = {
    "loader": {"sources": SOURCES},
    "metastore": {"extraEnv": QUICK},
    "superset": {"auth": {"users": [{"name": "roxane", "role": "viewer", "sites": [SITE]}, {"name": "otto", "role": "analyst"}]}},
    "trino": {
        "extraEnv": QUICK,
        "catalogs": {
            "extra": {
                # The shipped catalog but for one line, to see what that line is worth.
                "flat": (PROJECT / "trino-catalogs" / "hive.properties")
                .read_text(encoding="utf-8")
                .replace("hive.recursive-directories=true", "hive.recursive-directories=false")
            }
        },
    },
}


SMALL: dict[str, Any] = {
    "trino": {"worker": {"replicas": 0}, "extraEnv": QUICK},
    "metastore": {"extraEnv": QUICK},
    "loader": {"sample": {"enabled": False}},
}
"""For a whole release beside the one of the other tests: no more of Trino than a coordinator, and no sample logs."""


@pytest.fixture(scope="session")
def configured(release: Release, package: Path, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The release with a source that loads access logs from the landing bucket, users of the dashboards, and one more catalog."""
    file = tmp_path_factory.mktemp("values") / "values.json"
    file.write_text(json.dumps(VALUES), encoding="utf-8")
    upgrade(release, package, "--values", str(file))
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


def s3_client(port: int, access_key: str, secret_key: str, authority: Path | None = None) -> Any:
    """A client of the object store behind a forwarded port; over TLS, if an authority is given that signed its certificate."""
    return boto3.client(
        "s3",
        endpoint_url=f"{'https' if authority else 'http'}://127.0.0.1:{port}",
        verify=str(authority) if authority else None,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=Config(retries={"mode": "standard", "max_attempts": 10}),  # the port is closed while it is forwarded anew
    )


def upgrade(release: Release, package: Path, *arguments: str) -> None:
    """Upgrade the release to a packaged chart and wait until all of it is ready."""
    place = ("--namespace", release.namespace)
    release.cluster.helm("upgrade", release.name, str(package), *place, *arguments, "--wait", "--timeout=15m")
    until(lambda: all_ready(release), "all pods ready")
    until(lambda: _counts_its_pods(release), "Trino counting the nodes that run, and no others")


def _counts_its_pods(release: Release) -> bool:
    """Whether Trino gives work to its pods only: a new coordinator counts a worker that was replaced for some seconds more."""
    nodes = {urlsplit(address).hostname for [address] in release.trino("SELECT http_uri FROM system.runtime.nodes")}
    pods = release.objects("pods", f"app.kubernetes.io/instance={release.name},app.kubernetes.io/name=trino")
    return nodes == {pod["status"].get("podIP") for pod in pods}
