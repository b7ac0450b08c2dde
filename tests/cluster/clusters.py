"""Which cluster is used: the one that KUBECONFIG points at, or a node of our own."""

import os
import shutil
from pathlib import Path

import images
from tests.cluster.node.node import Node
from tests.cluster.node.programs import HELM, program
from tests.cluster.tools import Cluster


def given_cluster() -> Cluster | None:
    """The cluster that KUBECONFIG points at; None where it is not set."""
    kubeconfig = os.environ.get("KUBECONFIG")
    if not kubeconfig:
        return None
    return Cluster(Path(kubeconfig), shutil.which("kubectl") or "kubectl", shutil.which("helm") or program(HELM))


def start_cluster(node: Node) -> Cluster:
    """Start a node that knows all images; what has to be built is built before it takes memory."""
    archives = [images.archive(name) for name in images.IMAGES]
    node.up()
    for archive in archives:
        node.load_image(archive)
    return Cluster(node.places.kubeconfig, node.places.state / "bin" / "kubectl", program(HELM))
