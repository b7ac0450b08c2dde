"""The node of the cluster tests, as far as it needs no Kubernetes."""

import os
from pathlib import Path

import pytest

from tests.cluster.node.node import Node, NodeError
from tests.cluster.node.places import Places


def test_two_never_hold_one_node(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Node(Places(tmp_path, home)).held():
        refusal = rf"{home} is in use by process {os.getpid()} \(.*python.*\): wait .* LAKEHOUSE_NODE"
        with pytest.raises(NodeError, match=refusal), Node(Places(tmp_path, home)).held():
            pass
        with Node(Places(tmp_path, tmp_path / "other")).held():
            pass
    with Node(Places(tmp_path, home)).held():
        pass


def test_a_folder_too_deep_for_sockets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match=r"too long for the sockets in it, it may have 66 bytes: name another one"):
        Node(Places(tmp_path, tmp_path / ("deep" * 20))).up()


def test_nodes_in_different_folders_have_different_control_groups(tmp_path: Path) -> None:
    first, second = (Places(tmp_path, tmp_path / name).cgroup for name in ("first", "second"))
    assert first != second


def test_a_number_that_another_process_has_now_is_not_the_node(tmp_path: Path) -> None:
    node = Node(Places(tmp_path, tmp_path))
    node.places.state.mkdir()
    (node.places.state / "init.pid").write_text(f"{os.getpid()} 1", encoding="ascii")
    assert not node.is_up()
