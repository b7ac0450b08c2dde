"""Start and end the node, and run commands in it."""

import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Self

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from tests.cluster.node import cgroups
from tests.cluster.node.archives import image_names, write_archive
from tests.cluster.node.certificates import write_certificates, write_kubeconfig
from tests.cluster.node.configuration import API_PORT, CONTAINERD_SOCKET, PAUSE_IMAGE, write_configuration
from tests.cluster.node.places import HERE, NODE, Places, places
from tests.cluster.node.programs import COREDNS, KUBERNETES, LOCAL_PATH_PROVISIONER, PAUSE, program
from tests.support.machine import free_port

PROJECT = HERE.parents[2]
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl")
_SEARCHED = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
START_SECONDS = 300
END_SECONDS = 30
SOCKET_PATH_BYTES = 107
_PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "nft": "nftables",
    "socat": "socat",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "/bin/busybox": "busybox-static",
}


class NodeError(Exception):
    """The node cannot do what it was asked for; says why."""


class Node:
    """The node of this machine."""

    def __init__(self, here: Places | None = None) -> None:
        self.places = here or places()
        self._init = self.places.state / "init.pid"
        self._bridge = self.places.state / "bridge.pid"
        self._started: list[subprocess.Popen[bytes]] = []

    @contextmanager
    def held(self) -> Iterator[Self]:
        """Hold the node's folder: whoever else wants to start or end the node meanwhile is told who holds it.

        Raises:
            NodeError: somebody else holds it.
        """
        self.places.home.mkdir(parents=True, exist_ok=True)
        with self.places.lock.open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise NodeError(
                    f"{self.places.home} is in use by {file.read()}: wait for its end, or set LAKEHOUSE_NODE to another folder"
                ) from None
            file.truncate(0)
            file.write(f"process {os.getpid()} ({shlex.join(sys.orig_argv)})")
            file.flush()
            yield self

    def is_up(self) -> bool:
        """Whether its first process runs."""
        return self._process(self._init) is not None

    def up(self) -> None:
        """Start the node and wait until it is ready for pods; one that runs already is left as it is.

        Raises:
            BuildError: a program is neither in the cache nor can it be built.
            NodeError: something is missing here, or a part does not come up.
        """
        if self.is_up():
            return
        self._check_length()
        _check_machine()
        kubernetes = program(KUBERNETES)
        images = self._own_images()
        self.stop()
        self._prepare()
        self._enter_namespaces(kubernetes)
        self._wait("containerd", lambda: self._succeeds("ctr", "-a", CONTAINERD_SOCKET, "version"))
        self._forget_containers()
        for archive in images:
            self.load_image(archive)
        self._wait("the API server", lambda: self._succeeds("kubectl", "get", "--raw", "/readyz"))
        self._let_in()
        self._apply_manifests()
        ready = ("-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}")
        self._wait("the node", lambda: self.output("kubectl", "get", "node", NODE, *ready, check=False) == "True")
        for namespace, deployment in (("kube-system", "coredns"), ("local-path-storage", "local-path-provisioner")):
            status = ("rollout", "status", f"deployment/{deployment}", f"--timeout={START_SECONDS}s")
            try:
                self.output("kubectl", "--namespace", namespace, *status)
            except NodeError as error:
                raise NodeError(f"{error}\n{self._complaints(namespace)}") from None

    def stop(self) -> None:
        """End the node; `up` starts it again with everything that is in it."""
        for file in (self._bridge, self._init):
            process = self._process(file)
            if process is not None:
                os.kill(process, signal.SIGKILL)
                _until(partial(_is_gone, process), END_SECONDS)
        while self._started:
            self._started.pop().wait(END_SECONDS)
        _until(partial(cgroups.remove, self.places.cgroup), END_SECONDS)

    def down(self) -> None:
        """End the node and remove all it made, its volumes too, but for programs and images."""
        self.stop()
        shutil.rmtree(self.places.state, ignore_errors=True)

    def load_image(self, archive: Path) -> None:
        """Make the images of an archive known to the node, unless they are known already and from exactly this archive."""
        stat = archive.stat()
        content = f"{archive.name} {stat.st_size} {stat.st_mtime_ns}"
        client = ("ctr", "-a", CONTAINERD_SOCKET, "--namespace", "k8s.io", "images")
        names = image_names(archive)
        marks = [self.places.containerd / "imported" / name.replace("/", "_") for name in names]
        # A kubelet whose disk is full throws images away: what was imported once may be gone.
        known = {*names} <= {*self.output(*client, "list", "--quiet").split()}
        if known and all(mark.is_file() and mark.read_text(encoding="utf-8") == content for mark in marks):
            return
        self.output(*client, "import", "--no-unpack", str(archive))
        for mark in marks:
            mark.parent.mkdir(exist_ok=True)
            mark.write_text(content, encoding="utf-8")

    def command(self, *command: str) -> list[str]:
        """A command line that runs a command inside the node's namespaces."""
        process = self._process(self._init)
        if process is None:
            raise NodeError("the node is not up: python -m tests.cluster.node up")
        binaries = self.places.state / "bin"
        inside = [
            "env",
            f"PATH={binaries}:{os.environ['PATH']}:/usr/sbin:/sbin",
            f"KUBECONFIG={self.places.state}/admin.kubeconfig",
        ]
        return ["nsenter", f"--target={process}", "--mount", "--net", "--pid", "--uts", "--ipc", *inside, *command]

    def output(self, *command: str, check: bool = True) -> str:
        """What a command inside the node prints; raises NodeError with its complaint if it fails and `check`."""
        done = subprocess.run(self.command(*command), capture_output=True, text=True)
        if check and done.returncode != 0:
            raise NodeError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def _complaints(self, namespace: str) -> str:
        """What the node says of itself, and what went wrong in a namespace, for whoever finds that a pod does not start."""
        conditions = "jsonpath={range .status.conditions[*]}{.type}={.status} ({.message}){'\\n'}{end}{.spec.taints}"
        events = ("--sort-by=.lastTimestamp", "-o", "custom-columns=REASON:.reason,OBJECT:.involvedObject.name,MESSAGE:.message")
        asked = (("get", "node", NODE, "-o", conditions), ("--namespace", namespace, "get", "events", *events))
        answers = [self.output("kubectl", *question, check=False).strip()[-3000:] for question in asked]
        for component in ("kube-controller-manager", "kube-scheduler", "kubelet"):
            lines = (self.places.log / f"{component}.log").read_text(encoding="utf-8", errors="replace").splitlines()
            answers += [f"{component}: {line[:500]}" for line in lines[-5:]]
        return "\n".join(answers)

    def _succeeds(self, *command: str) -> bool:
        return subprocess.run(self.command(*command), capture_output=True).returncode == 0

    def _own_images(self) -> list[Path]:
        """Archives of the images that the node itself runs."""
        busybox = Path("/bin/busybox")
        links = {f"/bin/{name}": "busybox" for name in ("sh", "mkdir", "rm", "chmod")}
        images: tuple[tuple[str, dict[str, Path], dict[str, str]], ...] = (
            (PAUSE_IMAGE, {"/pause": program(PAUSE)}, {}),
            ("node.local/coredns:1", {"/coredns": program(COREDNS)}, {}),
            ("node.local/local-path-provisioner:1", {"/local-path-provisioner": program(LOCAL_PATH_PROVISIONER)}, {}),
            ("node.local/shell:1", {"/bin/busybox": busybox}, links),
        )
        archives = []
        for name, files, symbolic in images:
            content = hashlib.sha256(repr((name, [(path, *_version(file)) for path, file in files.items()])).encode()).hexdigest()
            archive = self.places.images / f"{name.split('/')[1].partition(':')[0]}-{content[:16]}.tar"
            if not archive.exists():
                write_archive(archive, name, files, symbolic)
            archives.append(archive)
        return archives

    def _prepare(self) -> None:
        """Write the keys of a new cluster, unless there is one, and the configuration, which may have changed since."""
        certificates = self.places.state / "certificates"
        if not certificates.exists():
            shutil.rmtree(self.places.state, ignore_errors=True)
            write_certificates(certificates)
        for folder in (self.places.log, self.places.volumes, self.places.containerd):
            folder.mkdir(parents=True, exist_ok=True)
        # Pods run as any user and must reach their volumes below this folder.
        self.places.state.chmod(0o711)
        self.places.volumes.chmod(0o711)
        write_configuration(self.places)
        cgroups.create(self.places.cgroup)

    def _enter_namespaces(self, kubernetes: Path) -> None:
        binaries = self.places.state / "bin"
        shutil.rmtree(binaries, ignore_errors=True)
        binaries.mkdir()
        for name in COMPONENTS:
            (binaries / name).symlink_to(kubernetes)
        spaces = [
            "--mount",
            "--net",
            "--pid",
            "--uts",
            "--ipc",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--propagation=private",
        ]
        supervisor = [sys.executable, "-m", "tests.cluster.node.supervisor", str(binaries)]
        with (self.places.log / "supervisor.log").open("wb") as log:
            outer = subprocess.Popen(
                ["unshare", *spaces, *supervisor],
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "LAKEHOUSE_CACHE": str(self.places.cache), "LAKEHOUSE_NODE": str(self.places.home)},
            )
        self._started.append(outer)
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
        self._wait("the node's first process", lambda: bool(children.read_text().strip()), self._supervisor_log)
        _remember(int(children.read_text()), self._init)

    def _let_in(self) -> None:
        """Bring the API server's port to the loopback interface here."""
        port, bridge = self._bridge_to("127.0.0.1", API_PORT)
        self._started.append(bridge)
        _remember(bridge.pid, self._bridge)
        write_kubeconfig(self.places.kubeconfig, self.places.state / "certificates", "admin", f"https://127.0.0.1:{port}")

    @contextmanager
    def port_of(self, address: str, port: int) -> Iterator[int]:
        """A port of the loopback interface here that leads to a pod or service, and bears more than kubectl's forwarding does."""
        local, bridge = self._bridge_to(address, port)
        try:
            yield local
        finally:
            bridge.terminate()
            bridge.wait()

    def _check_length(self) -> None:
        """Whether the longest path of a socket, the kubelet's, is one that Linux takes (unix(7)); raises NodeError."""
        room = SOCKET_PATH_BYTES - len(os.fsencode(Path("state", "kubelet", "pod-resources", "kubelet.sock"))) - 1
        if len(os.fsencode(self.places.home)) > room:
            raise NodeError(
                f"{self.places.home}: the path of the node's folder is too long for the sockets in it, it may have {room} bytes: "
                "name another one, for `make up` by XDG_DATA_HOME, for the tests by LAKEHOUSE_NODE"
            )

    def _bridge_to(self, address: str, port: int) -> tuple[int, subprocess.Popen[bytes]]:
        """A port of the loopback interface here that leads to one inside, by a process that needs no route."""
        local = free_port()
        # Without `nodelay` each short answer waits 40 ms for the next one to go with.
        inside = f"nsenter --target={self._process(self._init)} --net socat STDIO TCP:{address}:{port},nodelay"
        for character in ":,":
            inside = inside.replace(character, f"\\{character}")
        bridge = subprocess.Popen(
            ["socat", f"TCP-LISTEN:{local},bind=127.0.0.1,reuseaddr,fork,nodelay", f"EXEC:{inside}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if not _until(lambda: bridge.poll() is not None or _is_listening(local), END_SECONDS) or bridge.poll() is not None:
            bridge.kill()
            raise NodeError(f"socat does not listen on port {local} of the loopback interface: another program may have taken it")
        return local, bridge

    def _forget_containers(self) -> None:
        """The store outlives the node; the containers of the last one do not."""
        client = ("ctr", "-a", CONTAINERD_SOCKET, "--namespace", "k8s.io", "containers")
        for container in self.output(*client, "list", "--quiet").split():
            self.output(*client, "remove", container, check=False)

    def _apply_manifests(self) -> None:
        for manifest in sorted((HERE / "manifests").glob("*.yaml")):
            text = manifest.read_text(encoding="utf-8").replace("$VOLUMES", str(self.places.volumes))
            done = subprocess.run(self.command("kubectl", "apply", "-f", "-"), input=text, capture_output=True, text=True)
            if done.returncode != 0:
                raise NodeError(f"{manifest}: {done.stderr.strip()}")

    def _wait(self, what: str, condition: Callable[[], bool], said: Callable[[], str] | None = None) -> None:
        if not _until(condition, START_SECONDS):
            complaint = f": {said()}" if said else ""
            raise NodeError(f"{what} did not come up in {START_SECONDS} s: see {self.places.log}{complaint}")

    def _supervisor_log(self) -> str:
        return (self.places.log / "supervisor.log").read_text(encoding="utf-8", errors="replace")[-2000:]

    def _process(self, file: Path) -> int | None:
        """The process that a file remembers, if it still runs and is not another that got its number."""
        try:
            process, start = map(int, file.read_text(encoding="ascii").split())
        except (FileNotFoundError, ValueError):
            return None
        return process if _start_of(process) == start else None


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    waiting = Retrying(retry=retry_if_result(lambda met: not met), stop=stop_after_delay(seconds), wait=wait_fixed(0.2))
    try:
        return waiting(condition)
    except RetryError:
        return False


def _is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _is_gone(process: int) -> bool:
    return _start_of(process) is None


def _remember(process: int, file: Path) -> None:
    file.write_text(f"{process} {_start_of(process)}", encoding="ascii")


def _start_of(process: int) -> int | None:
    """When a process started, in clock ticks after the machine did; None if it does not run."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    state, *fields = status.rpartition(")")[2].split()
    return int(fields[18]) if state != "Z" else None


def _check_machine() -> None:
    if platform.system() != "Linux" or os.geteuid() != 0:
        raise NodeError("our own node needs Linux and root: set KUBECONFIG to a cluster of yours instead")
    missing = [
        package
        for command, package in _PACKAGES.items()
        if shutil.which(command, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None
    ]
    if missing:
        raise NodeError(f"the node needs more Debian packages: apt-get install {' '.join(missing)}")


def _version(file: Path) -> tuple[str, int]:
    return str(file), file.stat().st_size
