"""Which cluster is used: the one that KUBECONFIG points at, one that kind makes, or a node of our own."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import images
from tests.cluster import kind
from tests.cluster.kind import Kind, KindError
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
def passing_cluster() -> Iterator[Cluster]:
    """The cluster of the tests, which ends with the block and with all that is in it, unless KUBECONFIG names it.

    Raises:
        BuildError, ImageError, NodeError: what the cluster needs cannot be built, or the node does not come up.
    """
    if given := given_cluster():
        yield given
        return
    with TemporaryDirectory() as folder:
        maker = Kind("lakehouse-tests", Path(folder) / "kubeconfig")
        maker.remove()  # whatever a run that was killed has left
        try:
            made = None if kind.missing() else _made_by(maker)
            if made:
                yield made
                return
        finally:
            maker.remove()
    with own_node() as node:
        yield start_cluster(node)


def another_cluster() -> str:
    """Why tests of the project's own node are not run here, and what to do about it; nothing if they are."""
    if given_cluster():
        return "KUBECONFIG names another cluster: unset it to test the project's own node"
    if not kind.missing():
        return "kind makes the cluster here: take it out of PATH to test the project's own node"
    return ""


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
    return Cluster(node.places.kubeconfig, node.places.state / "bin" / "kubectl", program(HELM), node.load_image)


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
    maker = _lasting_kind(place)
    why = "it is there already" if place.state.exists() else kind.missing()
    if why and maker.kubeconfig.exists():
        raise KindError(
            f"the data are in the cluster that kind made, and {why}: start Docker, or say `make down DOWN_ARGS=--remove`"
        )
    if not why:
        made = _made_by(maker)
        if made:
            return made
        why = "kind could not make one"
    print(f"The cluster: the project's own node, as {why}", flush=True)
    with Node(place).held() as node:
        return start_cluster(node)


def end_cluster(place: Places, remove: bool) -> None:
    """End the cluster that `lasting_cluster` made, and remove what is in it if that is wanted."""
    maker = _lasting_kind(place)
    if maker.kubeconfig.exists():
        if remove:
            maker.remove()
        else:
            maker.stop()
        return
    with Node(place).held() as node:
        if remove:
            node.down()
        else:
            node.stop()


def _lasting_kind(place: Places) -> Kind:
    return Kind("lakehouse", place.home / "kind.kubeconfig")


def _made_by(maker: Kind) -> Cluster | None:
    """kind's cluster with all images; None where it cannot make one, which is told. Raises KindError if it made one before."""
    print("The cluster: kind's, as kind is here and Docker runs", flush=True)
    archives = _archives()
    try:
        maker.start()
    except KindError as error:
        if maker.kubeconfig.exists():
            raise
        print(error, flush=True)
        return None
    for archive in archives:
        maker.load_image(archive)
    return Cluster(maker.kubeconfig, shutil.which("kubectl") or "kubectl", program(HELM), maker.load_image)


def _archives() -> list[Path]:
    return [images.archive(name) for name in images.IMAGES]
