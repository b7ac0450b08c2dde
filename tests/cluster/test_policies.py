"""NetworkPolicies, enforced: who carries the right label reaches a service, and nobody else does."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.cluster.conftest import make_namespace
from tests.cluster.tools import CommandFailedError, Release, until

pytestmark = pytest.mark.cluster
REACH_SECONDS = 5
"""Within which a connection that is let through is made, many times over."""
ELSEWHERE = "elsewhere"
LABELS = {f"lakehouse.dev/uses-{part}": "true" for part in ("metastore", "s3", "postgresql", "trino")}


class Visitor:
    """A pod that tries to connect."""

    def __init__(self, release: Release, name: str, labels: dict[str, str], namespace: str) -> None:
        self._cluster = release.cluster
        self._place = ("--namespace", namespace)
        self._name = name
        image = release.objects("pods", "app.kubernetes.io/name=postgresql")[0]["spec"]["containers"][0]["image"]
        security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        container = {"name": "visitor", "image": image, "command": ["sleep", "infinity"], "securityContext": security}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
                "terminationGracePeriodSeconds": 0,
                "containers": [container],
            },
        }
        self._cluster.kubectl(*self._place, "apply", "--filename", "-", text=json.dumps(pod))
        self._cluster.kubectl(*self._place, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=300s")

    def reaches(self, host: str, port: int) -> bool:
        """Whether a connection is made; raises CommandFailedError if it fails for another reason than being dropped."""
        attempt = f"timeout {REACH_SECONDS} bash -c '</dev/tcp/{host}/{port}'; echo $?"
        code = self._cluster.kubectl(*self._place, "exec", self._name, "--", "bash", "-c", attempt).strip()
        if code not in ("0", "124"):
            raise CommandFailedError(f"{host}:{port}: neither let through nor dropped, but {code}")
        return code == "0"

    def remove(self) -> None:
        """End the pod."""
        self._cluster.kubectl(*self._place, "delete", "pod", self._name, "--wait")


def any_reaches(visitors: list[Visitor], host: str, port: int) -> bool:
    """Whether one of them makes a connection; all wait for theirs at the same time."""
    with ThreadPoolExecutor(len(visitors)) as pool:
        return any(pool.map(lambda visitor: visitor.reaches(host, port), visitors))


@pytest.fixture(scope="module")
def visitors(release: Release) -> Iterator[dict[str, Visitor]]:
    """A pod with all labels that let in, one with none, and one with all of them in another namespace."""
    make_namespace(release.cluster, ELSEWHERE)
    pods = {
        "labelled": Visitor(release, "labelled", LABELS, release.namespace),
        "stranger": Visitor(release, "stranger", {}, release.namespace),
        "elsewhere": Visitor(release, "labelled", LABELS, ELSEWHERE),
    }
    yield pods
    for pod in pods.values():
        pod.remove()
    release.cluster.kubectl("delete", "namespace", ELSEWHERE, "--wait=false")


@pytest.mark.parametrize(
    ("service", "port"),
    [("metastore", 9083), ("postgresql", 5432), ("minio", 9000), ("trino", 8443)],
    ids=lambda value: str(value),
)
def test_a_service_is_reached_with_its_label_only(
    visitors: dict[str, Visitor], release: Release, service: str, port: int
) -> None:
    host = f"{release.name}-{service}.{release.namespace}.svc"
    until(lambda: visitors["labelled"].reaches(host, port), f"{host}:{port}")
    assert not any_reaches([visitors["stranger"], visitors["elsewhere"]], host, port)


@pytest.mark.parametrize("component", ["coordinator", "worker"])
def test_plain_http_of_trino_is_for_trino_only(visitors: dict[str, Visitor], release: Release, component: str) -> None:
    pod = release.objects("pods", f"app.kubernetes.io/name=trino,app.kubernetes.io/component={component}")[0]
    own = {key: pod["metadata"]["labels"][f"app.kubernetes.io/{key}"] for key in ("name", "instance")}
    insider = Visitor(
        release, f"insider-{component}", {f"app.kubernetes.io/{key}": value for key, value in own.items()}, release.namespace
    )
    # The Service, which names the port too, leads to the coordinator.
    service = [f"{release.name}-trino.{release.namespace}.svc"] if component == "coordinator" else []
    addresses = [pod["status"]["podIP"], *service]
    try:
        for address in addresses:
            until(partial(insider.reaches, address, 8080), f"{address}:8080")
    finally:
        insider.remove()
    for address in addresses:
        assert not any_reaches([visitors["labelled"], visitors["stranger"]], address, 8080)
