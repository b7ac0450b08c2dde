"""Where a node keeps what it needs: programs and images outlive it, its state only where it is asked to keep it."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from tests.support.machine import cache_folder

NODE = "node1"
NODE_ADDRESS = "10.250.0.1"
POD_NETWORK = "10.244.0.0/24"
SERVICE_NETWORK = "10.96.0.0/16"
API_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Places:
    """Files and folders of a node.

    Args:
        cache: the project's cache folder; deleting it costs time only.
        home: the node's own folder; its volumes are in it.
    """

    cache: Path
    home: Path

    @property
    def programs(self) -> Path:
        """Built Go programs, in a folder by the hash of what each was built from."""
        return self.cache / "programs"

    @property
    def images(self) -> Path:
        """Archives of container images, named by the hash of what each was made from."""
        return self.cache / "images"

    @property
    def containerd(self) -> Path:
        """containerd's own store: imported images and their unpacked layers."""
        return self.home / "containerd"

    @property
    def state(self) -> Path:
        """The cluster itself: keys, configuration, etcd, volumes, logs."""
        return self.home / "state"

    @property
    def cgroup(self) -> str:
        """Root of the control groups of the node's pods; nodes in other folders have others."""
        return f"/lakehouse-{hashlib.sha256(str(self.home.resolve()).encode()).hexdigest()[:12]}"

    @property
    def lock(self) -> Path:
        """Held by whoever starts or ends the node, or runs tests on it."""
        return self.home / "lock"

    @property
    def kubeconfig(self) -> Path:
        """For whoever drives the cluster from outside."""
        return self.state / "kubeconfig"

    @property
    def volumes(self) -> Path:
        """What persistent volumes hold."""
        return self.state / "volumes"

    @property
    def log(self) -> Path:
        """One log a component."""
        return self.state / "log"


def places() -> Places:
    """The places of this machine.

    Programs and images are below `LAKEHOUSE_CACHE`, or ~/.cache/lakehouse; the node is in `LAKEHOUSE_NODE`, or in the cache.
    """
    cache = cache_folder()
    return Places(cache, Path(os.environ.get("LAKEHOUSE_NODE") or cache / "node"))
