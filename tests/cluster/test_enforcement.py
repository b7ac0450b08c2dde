"""The node enforces NetworkPolicies, whatever is installed in it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.clusters import another_cluster
from tests.cluster.node.node import Node, NodeError
from tests.cluster.node.places import Places, places
from tests.cluster.tools import PATIENCE

pytestmark = pytest.mark.cluster
PORT = 8080
POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "server"},
    "spec": {
        "podSelector": {"matchLabels": {"app": "server"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"friend": "yes"}}}], "ports": [{"port": "web"}]}],
    },
}


@pytest.fixture
def node(node_folder: Path) -> Iterator[Node]:
    """A node of the test's own."""
    if why := another_cluster():
        pytest.skip(why)
    with Node(Places(places().cache, node_folder)).held() as own:
        try:
            own.up()
            yield own
        finally:
            own.down()


def apply(node: Node, content: dict[str, Any]) -> None:
    """Make an object."""
    file = node.places.home / "object.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    node.output("kubectl", "apply", "--filename", str(file))


def start(node: Node, name: str, labels: dict[str, str]) -> str:
    """Start a pod that serves on two ports, and return its address."""
    serve = f"/bin/busybox httpd -p 9090; exec /bin/busybox httpd -f -p {PORT}"
    container = {
        "name": "main",
        "image": "node.local/shell:1",
        "command": ["/bin/sh", "-c", serve],
        "ports": [{"name": "web", "containerPort": PORT}],
        # Asked by the node, which policies let through.
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
    }
    spec = {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0, "containers": [container]}
    apply(node, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec})
    node.output("kubectl", "wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={PATIENCE}s")
    return node.output("kubectl", "get", "pod", name, "-o", "jsonpath={.status.podIP}")


def reaches(node: Node, client: str, address: str, port: int = PORT) -> bool:
    """Whether a connection is made; one that is refused and not dropped is an error."""
    command = f"/bin/busybox nc -w 5 {address} {port} </dev/null >/dev/null && echo made"
    try:
        return node.output("kubectl", "exec", client, "--", "/bin/sh", "-c", command) == "made\n"
    except NodeError as error:
        assert "timed out" in str(error)
        return False


def test_who_has_no_label_does_not_come_in(node: Node) -> None:
    node.output("kubectl", "create", "serviceaccount", "default", check=False)
    server = start(node, "server", {"app": "server"})
    start(node, "stranger", {})
    assert reaches(node, "stranger", server)  # there is no policy yet
    apply(node, POLICY)
    start(node, "friend", {"friend": "yes"})
    assert reaches(node, "friend", server)
    assert not reaches(node, "friend", server, 9090)
    assert not reaches(node, "stranger", server)
    node.output("kubectl", "label", "pod", "friend", "friend-")
    node.output("kubectl", "delete", "networkpolicy", "server")
    start(node, "late", {})
    assert reaches(node, "stranger", server, 9090)
