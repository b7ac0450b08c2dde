"""What a node of our own leaves on the machine, and what it must not change there."""

import os
from pathlib import Path

from tests.cluster.node.node import Node

SETTINGS = ("kernel/panic", "kernel/panic_on_oops", "vm/overcommit_memory")
FOLDERS = ("/etc/kubernetes", "/opt/containerd", "/usr/libexec/kubernetes", "/var/lib/cni", "/var/lib/kubelet")


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
