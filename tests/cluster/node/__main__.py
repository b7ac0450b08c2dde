"""Drive the node by hand: build, up, stop, down, load-image ARCHIVE, run COMMAND, kubeconfig."""

import argparse
import os
import sys
import time
from pathlib import Path

from tests.cluster.node.node import Node, NodeError
from tests.cluster.node.programs import PROGRAMS, BuildError, program


def main() -> int:
    """Do what the command line says; 1 if it fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.node", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build all Go programs that tests use and the cache does not hold")
    commands.add_parser("up", help="start the node and wait until it is ready")
    commands.add_parser("stop", help="end the node and keep what is in it for the next start")
    commands.add_parser("down", help="end the node; its volumes are gone")
    commands.add_parser("kubeconfig", help="print the path of the file to log in with")
    commands.add_parser("load-image", help="make an image archive known").add_argument("archive", type=Path)
    commands.add_parser("run", help="run a command inside").add_argument("words", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    node = Node()
    try:
        match chosen.command:
            case "build":
                for wanted in PROGRAMS:
                    print(program(wanted), flush=True)
            case "up":
                start = time.monotonic()
                with node.held():
                    node.up()
                print(f"ready after {time.monotonic() - start:.0f} s: export KUBECONFIG={node.places.kubeconfig}")
            case "stop":
                with node.held():
                    node.stop()
            case "down":
                with node.held():
                    node.down()
            case "kubeconfig":
                print(node.places.kubeconfig)
            case "load-image":
                node.load_image(chosen.archive)
            case "run":
                command = node.command(*chosen.words)
                os.execvp(command[0], command)
    except (BuildError, NodeError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


sys.exit(main())
