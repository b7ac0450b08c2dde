"""A lakehouse on Kubernetes on this machine: `make up` and `make down`."""

import argparse
import os
import sys
import time
from pathlib import Path

from images.errors import ImageError
from tests.cluster.clusters import end_cluster, lasting_cluster
from tests.cluster.kind import KindError
from tests.cluster.node.node import NodeError
from tests.cluster.node.places import Places, places
from tests.cluster.node.programs import BuildError
from tests.cluster.tools import CHARTS, CommandFailedError, Release, all_ready, build_dependencies, until

NAME = "lakehouse"
READY_SECONDS = 900


def main() -> int:
    """Do what the command line says; 1 if it fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start a cluster, install the lakehouse, wait, and say how to use it")
    up.add_argument("--values", action="append", default=[], help="a values file for the chart; may be given several times")
    down = commands.add_parser("down", help="end the cluster that `up` started")
    down.add_argument("--remove", action="store_true", help="remove the data too")
    chosen = parser.parse_args()
    try:
        if chosen.command == "up":
            _up(chosen.values)
        else:
            end_cluster(_places(), chosen.remove)
    except (BuildError, CommandFailedError, ImageError, KindError, NodeError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _places() -> Places:
    """The node of `make up` holds data: it does not lie in the cache, as that of the tests does."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return Places(places().cache, data / "lakehouse" / "cluster")


def _up(values: list[str]) -> None:
    start = time.monotonic()
    cluster = lasting_cluster(_places())
    build_dependencies(cluster)
    options = [option for file in values for option in ("--values", file)]
    command = ("upgrade", "--install", NAME, str(CHARTS / "lakehouse"), "--namespace", NAME, "--create-namespace")
    cluster.helm(*command, *options)
    release = Release(cluster, NAME, NAME)
    until(lambda: all_ready(release), "the lakehouse", READY_SECONDS)
    print(f"\nThe lakehouse is up, {time.monotonic() - start:.0f} s after the start. In this terminal, first:\n")
    programs = f"{Path(cluster.kubectl_path).parent}:{Path(cluster.helm_path).parent}"
    print(f'    export KUBECONFIG={cluster.kubeconfig}\n    export PATH="{programs}:$PATH"\n')
    print(cluster.helm("get", "notes", NAME, "--namespace", NAME).removeprefix("NOTES:\n"))


sys.exit(main())
