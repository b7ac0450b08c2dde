"""Which cluster is used: the one that KUBECONFIG points at, one that kind makes, or a node of our own."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import images
from tests.cluster import kind
from tests.cluster.node.node import Node
from tests.cluster.node.places import Places
from tests.cluster.node.programs import HELM, program
from tests.cluster.tools import Cluster


def given_cluster() -> Cluster | None:
    """The cluster that KUBECONFIG points at; None where it is not set."""
    kubeconfig = os.environ.get("KUBECONFIG")
    if not kubeconfig:
        return None
    return Cluster(Path(kubeconfig), shutil.which("kubectl") or "kubectl", shutil.which("helm") or program(HELM))


@contextmanager
def own_node() -> Iterator[Node]:
    """The node of this machine, made anew, which ends with the block and with all that is in it."""
    with Node().held() as node:
        node.down()  # whatever a run that was killed has left
        try:
            yield node
        finally:
            node.down()


def start_cluster(node: Node) -> Cluster:
    """Start a node that knows all images; what has to be built is built before it takes memory."""
    archives = _archives()
    node.up()
    for archive in archives:
        node.load_image(archive)
    return Cluster(node.places.kubeconfig, node.places.state / "bin" / "kubectl", program(HELM))


def lasting_cluster(place: Places) -> Cluster:
    """The cluster of `make up`, which outlives the command, in a folder of its own; says which it is, and why.

    One that there is already is started again.

    Raises:
        KindError: a cluster that kind made before cannot be started.
        BuildError, ImageError, NodeError: what the cluster needs cannot be built, or the node does not come up.
    """
    if given := given_cluster():
        print(f"The cluster: the one that KUBECONFIG names ({given.kubeconfig})", flush=True)
        return given
    why = "it is there already" if place.state.exists() else kind.missing()
    if why and _kind_kubeconfig(place).exists():
        raise kind.KindError(
            f"the data are in the cluster that kind made, and {why}: start Docker, or say `make down DOWN_ARGS=--remove`"
        )
    if not why:
        made = _kind_cluster(place)
        if made:
            return made
        why = "kind could not make one"
    print(f"The cluster: the project's own node, as {why}", flush=True)
    with Node(place).held() as node:
        return start_cluster(node)


def end_cluster(place: Places, remove: bool) -> None:
    """End the cluster that `lasting_cluster` made, and remove what is in it if that is wanted."""
    if _kind_kubeconfig(place).exists():
        if kind.exists():
            if remove:
                kind.remove()
            else:
                kind.stop()
        if remove:
            _kind_kubeconfig(place).unlink()
        return
    with Node(place).held() as node:
        if remove:
            node.down()
        else:
            node.stop()


def _kind_cluster(place: Places) -> Cluster | None:
    """kind's cluster with all images; None where it cannot make one, which is told. Raises KindError if it made one before."""
    print("The cluster: kind's, as kind is here and Docker runs", flush=True)
    kubeconfig = _kind_kubeconfig(place)
    archives = _archives()
    try:
        kind.start(kubeconfig)
    except kind.KindError as error:
        if kubeconfig.exists():
            raise
        print(error, flush=True)
        return None
    kind.load(archives)
    return Cluster(kubeconfig, shutil.which("kubectl") or "kubectl", program(HELM))


def _kind_kubeconfig(place: Places) -> Path:
    """It is there as long as kind's cluster is."""
    return place.home / "kind.kubeconfig"


def _archives() -> list[Path]:
    return [images.archive(name) for name in images.IMAGES]
