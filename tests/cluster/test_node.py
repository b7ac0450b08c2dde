"""The node itself: nodes do not disturb each other, and none leaves anything behind."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.clusters import another_cluster
from tests.cluster.node.archives import image_names
from tests.cluster.node.configuration import CONTAINERD_SOCKET
from tests.cluster.node.node import Node
from tests.cluster.node.places import Places, places
from tests.cluster.tools import until
from tests.cluster.traces import of_the_machine, processes, traces

pytestmark = pytest.mark.cluster
SLEEPER = """
apiVersion: v1
kind: Pod
metadata: {name: sleeper}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: sleeper, image: "node.local/shell:1", command: [/bin/busybox, sleep, "86400"]}]
"""

NodeMaker = Callable[[], Node]


@pytest.fixture(scope="module")
def new_node(node_folder: Path) -> Iterator[NodeMaker]:
    """Makes nodes in folders of their own, which end with the tests of this module."""
    if why := another_cluster():
        pytest.skip(why)
    with ExitStack() as ends:

        def make() -> Node:
            node = Node(Places(places().cache, node_folder / str(len(list(node_folder.iterdir())))))
            ends.enter_context(node.held())
            ends.callback(node.down)
            node.up()
            node.output("kubectl", "create", "serviceaccount", "default", check=False)
            manifest = node.places.home / "sleeper.yaml"
            manifest.write_text(SLEEPER, encoding="utf-8")
            node.output("kubectl", "apply", "-f", str(manifest))
            node.output("kubectl", "wait", "--for=condition=Ready", "pod/sleeper", "--timeout=120s")
            return node

        yield make


@pytest.fixture(scope="module")
def staying(new_node: NodeMaker) -> Node:
    """A node that none of the tests ends."""
    return new_node()


@pytest.mark.long
def test_one_node_ends_and_the_other_does_not_notice(staying: Node, new_node: NodeMaker) -> None:
    ending = new_node()
    state = ("-o", "jsonpath={.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}")
    before = staying.output("kubectl", "get", "pod", "sleeper", *state)
    pod_processes = processes(staying)
    ending.down()
    # The kubelet looks for pods that it does not know every two seconds; its next report comes after that.
    heartbeat = ("kubectl", "--namespace", "kube-node-lease", "get", "lease", "node1", "-o", "jsonpath={.spec.renewTime}")
    last = staying.output(*heartbeat)
    until(lambda: staying.output(*heartbeat) != last, "the node's next report")
    assert pod_processes <= processes(staying)
    assert staying.output("kubectl", "get", "pod", "sleeper", *state) == before
    assert staying.output("kubectl", "exec", "sleeper", "--", "/bin/busybox", "echo", "alive") == "alive\n"


def test_an_image_that_was_thrown_away_is_known_again(staying: Node) -> None:
    client = ("ctr", "-a", CONTAINERD_SOCKET, "--namespace", "k8s.io", "images")
    shell = "node.local/shell:1"
    staying.output(*client, "remove", shell)
    assert shell not in staying.output(*client, "list", "--quiet").split()
    [archive] = [path for path in staying.places.images.glob("shell-*.tar") if shell in image_names(path)]
    staying.load_image(archive)
    assert shell in staying.output(*client, "list", "--quiet").split()


def test_down_leaves_nothing_behind(new_node: NodeMaker) -> None:
    before = of_the_machine()
    node = new_node()
    there = traces(node)
    assert there["processes"]
    assert there["control groups"]
    node.down()
    assert traces(node) == {"processes": set(), "mounts": [], "control groups": []}
    assert of_the_machine() == before
    assert sorted(path.name for path in node.places.home.iterdir()) == ["containerd", "lock", "sleeper.yaml"]
