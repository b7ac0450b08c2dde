"""Clusters made by kind, where Docker runs: the API server and all pods live in one container."""

import shutil
import subprocess
from pathlib import Path

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


class Kind:
    """A cluster of kind.

    Args:
        name: of the cluster.
        kubeconfig: a file to log in by, which is there as long as the cluster is.
    """

    def __init__(self, name: str, kubeconfig: Path) -> None:
        self._name = name
        self._node = f"{name}-control-plane"
        self.kubeconfig = kubeconfig

    def exists(self) -> bool:
        """Whether there is such a cluster, running or stopped."""
        return not missing() and self._name in _run("kind", "get", "clusters").split()

    def start(self) -> None:
        """Make the cluster, or start the one that was stopped, and write how to log in.

        Raises:
            KindError: it cannot be made, for instance because the image of its node cannot be had.
        """
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        if self.exists():
            _run("docker", "start", self._node)
            _run("kind", "export", "kubeconfig", "--name", self._name, "--kubeconfig", str(self.kubeconfig))
        else:
            # Only a cluster that came up has a file to log in with.
            made = self.kubeconfig.with_suffix(".new")
            _run("kind", "create", "cluster", "--name", self._name, "--kubeconfig", str(made), "--wait", "5m")
            made.replace(self.kubeconfig)

    def load_image(self, archive: Path) -> None:
        """Make the images of an archive known to the cluster; raises KindError."""
        _run("kind", "load", "image-archive", str(archive), "--name", self._name)

    def stop(self) -> None:
        """End the cluster, if there is one, and keep what is in it; raises KindError."""
        if self.exists():
            _run("docker", "stop", self._node)

    def remove(self) -> None:
        """End the cluster, if there is one, with all that is in it; raises KindError."""
        if self.exists():
            _run("kind", "delete", "cluster", "--name", self._name)
        self.kubeconfig.unlink(missing_ok=True)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise KindError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
    return done.stdout
