"""The first process of the node's namespaces: prepares them, then keeps the components running. It is not run by hand.

Usage: python -m tests.cluster.node.supervisor PROGRAMS
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.cluster.node.configuration import commands
from tests.cluster.node.places import NODE, NODE_ADDRESS, Places, places

RESTART_SECONDS = 1
_KUBELET_SETTINGS = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def main() -> None:
    """Prepare, start, and start again what ends; the kernel ends everything with this process."""
    if os.getpid() != 1:
        # What follows would mount over this machine's own folders and change its network.
        sys.exit("the supervisor is the first process of the node's namespaces: python -m tests.cluster.node up starts it")
    here, programs = places(), Path(sys.argv[1])
    os.environ["PATH"] = f"{programs}:{_SYSTEM_PATH}"
    _prepare_files(here)
    _prepare_network()
    components = commands(here, programs)
    # The objects are kept: `subprocess` itself waits for the process of one that is gone, and `os.wait` is never told of its end.
    running: dict[int, tuple[str, subprocess.Popen[bytes]]] = {}

    def start(name: str) -> None:
        process = _start(here, name, components[name])
        running[process.pid] = name, process

    for name in components:
        start(name)
    while True:
        ended, status = os.wait()
        if ended not in running:
            continue  # an orphan of a container: waiting for it was all it needed
        name, _ = running.pop(ended)
        with (here.log / "restarts.log").open("a", encoding="utf-8") as log:
            log.write(f"{name} ended with {os.waitstatus_to_exitcode(status)}\n")
        time.sleep(RESTART_SECONDS)
        start(name)


def _prepare_files(here: Places) -> None:
    _run("hostname", NODE)
    _run("mount", "--make-rshared", "/")
    _run("mount", "-t", "tmpfs", "tmpfs", "/run")
    for folder in ("/run/netns", "/run/lock"):
        Path(folder).mkdir()
    _run("mount", "--bind", str(here.log), "/var/log")
    # The kubelet changes settings of the kernel, which are the machine's: here it changes copies.
    for setting in _KUBELET_SETTINGS:
        copy = Path("/run/settings", setting)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(Path("/proc/sys", setting).read_text(encoding="ascii"), encoding="ascii")
        _run("mount", "--bind", str(copy), f"/proc/sys/{setting}")
    # Kubelet and CNI write below /var/lib, whatever their configuration says: what they write goes with the node.
    for folder in ("/run/home", "/run/upper", "/run/work"):
        Path(folder).mkdir()
    _run("mount", "--bind", str(here.home), "/run/home")
    _run("mount", "-t", "overlay", "overlay", "-o", "lowerdir=/var/lib,upperdir=/run/upper,workdir=/run/work", "/var/lib")
    if here.home.resolve().is_relative_to("/var/lib"):
        _run("mount", "--bind", "/run/home", str(here.home))


def _prepare_network() -> None:
    _run("ip", "link", "set", "lo", "up")
    # A pair whose both ends are in here: the node needs an address and a default route, and there is no way out.
    _run("ip", "link", "add", "node", "type", "veth", "peer", "name", "nowhere")
    for end in ("node", "nowhere"):
        _run("ip", "link", "set", end, "up")
    _run("ip", "address", "add", f"{NODE_ADDRESS}/24", "dev", "node")
    _run("ip", "route", "add", "default", "dev", "node")
    _run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1")


def _start(here: Places, name: str, command: list[str]) -> "subprocess.Popen[bytes]":
    with (here.log / f"{name}.log").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
