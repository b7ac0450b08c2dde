"""A cluster made by kind, for `make up` where Docker runs: the API server and all pods live in one container."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

NAME = "lakehouse"
_NODE = f"{NAME}-control-plane"
PROGRAMS = ("kind", "docker", "kubectl")


class KindError(Exception):
    """kind or Docker failed; says which, and what it said."""


def missing() -> str:
    """Why there can be no cluster of kind here; nothing if there can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"there is no {' and no '.join(absent)} here"
    try:
        _run("docker", "info")
    except KindError:
        return "Docker does not run here"
    return ""


def exists() -> bool:
    """Whether there is such a cluster, running or stopped."""
    return not missing() and NAME in _run("kind", "get", "clusters").split()


def start(kubeconfig: Path) -> None:
    """Make the cluster, or start the one that was stopped, and write how to log in.

    Raises:
        KindError: it cannot be made, for instance because the image of its node cannot be had.
    """
    kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    if exists():
        _run("docker", "start", _NODE)
        _run("kind", "export", "kubeconfig", "--name", NAME, "--kubeconfig", str(kubeconfig))
    else:
        # Only a cluster that came up has a file to log in with.
        made = kubeconfig.with_suffix(".new")
        _run("kind", "create", "cluster", "--name", NAME, "--kubeconfig", str(made), "--wait", "5m")
        made.replace(kubeconfig)


def load(archives: Sequence[Path]) -> None:
    """Make images known to the cluster; raises KindError."""
    for archive in archives:
        _run("kind", "load", "image-archive", str(archive), "--name", NAME)


def stop() -> None:
    """End the cluster and keep what is in it; raises KindError."""
    _run("docker", "stop", _NODE)


def remove() -> None:
    """End the cluster with all that is in it; raises KindError."""
    _run("kind", "delete", "cluster", "--name", NAME)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise KindError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
    return done.stdout
