"""The node's own root of control groups: a kubelet takes every pod below its root for its own, and ends what it does not know."""

import os
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")


def create(root: str) -> None:
    """Create a root, which a kubelet expects to be there.

    Args:
        root: absolute path in the hierarchy.
    """
    for tree in _trees(root):
        tree.mkdir(exist_ok=True)


def remove(root: str) -> bool:
    """Remove a root with all that is below it; False as long as a process is in there."""
    for tree in _trees(root):
        for group, _, _ in os.walk(tree, topdown=False):
            try:
                os.rmdir(group)
            except FileNotFoundError:
                continue
            except OSError:
                return False
    return True


def _trees(root: str) -> list[Path]:
    """The root's folders: one in version 2, one for each controller in version 1."""
    if (_MOUNT / "cgroup.controllers").exists():
        hierarchies = [_MOUNT]
    else:
        hierarchies = [folder for folder in sorted(_MOUNT.iterdir()) if folder.is_dir() and not folder.is_symlink()]
    return [hierarchy / root.lstrip("/") for hierarchy in hierarchies]
