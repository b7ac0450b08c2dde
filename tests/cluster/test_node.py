"""The node itself: nodes do not disturb each other, and none leaves anything behind."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.clusters import given_cluster
from tests.cluster.node.node import Node
from tests.cluster.node.places import Places, places
from tests.cluster.tools import until

pytestmark = pytest.mark.cluster
SETTINGS = ("kernel/panic", "kernel/panic_on_oops", "vm/overcommit_memory")
FOLDERS = ("/etc/kubernetes", "/opt/containerd", "/usr/libexec/kubernetes", "/var/lib/cni", "/var/lib/kubelet")
SLEEPER = """
apiVersion: v1
kind: Pod
metadata: {name: sleeper}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: sleeper, image: "node.local/shell:1", command: [/bin/busybox, sleep, "86400"]}]
"""

NodeMaker = Callable[[], Node]


@pytest.fixture
def new_node(tmp_path: Path) -> Iterator[NodeMaker]:
    """Makes nodes in folders of their own, which end with the test."""
    if given_cluster():
        pytest.skip("KUBECONFIG names another cluster: unset it to test the project's own node")
    with ExitStack() as ends:

        def make() -> Node:
            node = Node(Places(places().cache, tmp_path / str(len(list(tmp_path.iterdir())))))
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


def processes(node: Node) -> set[int]:
    """All processes of a node: its pods' and those that bear its folder in their environment."""
    mark = f"LAKEHOUSE_NODE={node.places.home}".encode()
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes() or node.places.cgroup in (folder / "cgroup").read_text():
                found.add(int(folder.name))
        except OSError:
            continue  # it has ended
    return found


def of_the_machine() -> dict[str, object]:
    """What a node must not change."""
    return {
        "interfaces": sorted(os.listdir("/sys/class/net")),
        "settings": [Path("/proc/sys", setting).read_text() for setting in SETTINGS],
        "folders": [folder for folder in FOLDERS if Path(folder).exists()],
    }


def traces(node: Node) -> dict[str, object]:
    """What there is of a node outside its own folder."""
    return {
        "processes": processes(node),
        "mounts": [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(node.places.home) in line],
        "control groups": list(Path("/sys/fs/cgroup").glob(f"**{node.places.cgroup}")),
    }


def test_one_node_ends_and_the_other_does_not_notice(new_node: NodeMaker) -> None:
    staying, ending = new_node(), new_node()
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
