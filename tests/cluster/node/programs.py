"""Go programs, built once for what they are built from and kept in the cache."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.node.places import HERE, places

KUBERNETES_VERSION = "v1.34.4"
_VERSION_FLAGS = " ".join(
    f"-X k8s.io/{package}.{name}={value}"
    for package, name, value in (
        ("component-base/version", "gitVersion", KUBERNETES_VERSION),
        ("component-base/version", "gitMajor", "1"),
        ("component-base/version", "gitMinor", "34"),
        ("component-base/version", "gitTreeState", "clean"),
        ("client-go/pkg/version", "gitVersion", KUBERNETES_VERSION),
    )
)
BUILD_SECONDS = 3600


class BuildError(Exception):
    """A program could not be built; says which and why."""


class GoMissingError(BuildError):
    """A program is not in the cache, and there is no Go to build it with."""


@dataclass(frozen=True)
class Program:
    """A Go program.

    Args:
        name: of the binary.
        source: a folder with a module of ours, or `package@version` of somebody else's.
        flags: of `go build`, beside those that all programs get.
        link: of the linker.
    """

    name: str
    source: Path | str
    flags: tuple[str, ...] = ()
    link: str = ""

    def key(self) -> str:
        """Names what the binary is built from."""
        content = hashlib.sha256(repr((self.name, self.flags, self.link)).encode())
        if isinstance(self.source, Path):
            for path in sorted(self.source.iterdir()):
                content.update(path.name.encode() + path.read_bytes())
        else:
            content.update(self.source.encode())
        return content.hexdigest()[:16]


KUBERNETES = Program("kubernetes", HERE / "kubernetes", ("-tags=selinux,notest",), _VERSION_FLAGS)
COREDNS = Program("coredns", HERE / "coredns")
PAUSE = Program("pause", HERE / "pause")
LOCAL_PATH_PROVISIONER = Program("local-path-provisioner", "github.com/rancher/local-path-provisioner@v0.0.30")
# What `helm template` takes for the cluster's version comes from the linker, or it is one that no chart supports any more.
HELM = Program(
    "helm",
    "helm.sh/helm/v3/cmd/helm@v3.19.0",
    link="-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=34",
)
# Long tests only, so that it is not among PROGRAMS. It reads that version out of its own build, by itself.
HELM_4 = Program("helm", "helm.sh/helm/v4/cmd/helm@v4.3.1")
HELM_DOCS = Program("helm-docs", "github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2")
VERSITYGW = Program("versitygw", "github.com/versity/versitygw/cmd/versitygw@v1.8.0")
PROGRAMS = (KUBERNETES, COREDNS, PAUSE, LOCAL_PATH_PROVISIONER, HELM, HELM_DOCS, VERSITYGW)


def program(wanted: Program) -> Path:
    """The program's binary, built now if the cache does not hold it; two that ask at once build it once.

    Raises:
        GoMissingError: there is no Go.
        BuildError: it fails.
    """
    folder = places().programs / f"{wanted.name}-{wanted.key()}"
    binary = folder / wanted.name
    if binary.exists():
        return binary
    go = shutil.which("go")
    if go is None:
        raise GoMissingError(f"{wanted.name} has to be built and there is no `go` here: install Go 1.25 or newer")
    with _alone(folder.with_suffix(".lock")), tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        if not binary.exists():
            print(f"building {wanted.name} from {wanted.source}", flush=True)
            made = Path(scratch) / wanted.name
            _build(go, wanted, made)
            folder.mkdir(exist_ok=True)
            made.replace(binary)
    return binary


def _build(go: str, wanted: Program, made: Path) -> None:
    options = ["-trimpath", f"-ldflags=-s -w {wanted.link}".strip(), *wanted.flags]
    environment = {**os.environ, "CGO_ENABLED": "0"}
    if isinstance(wanted.source, Path):
        command: Sequence[str] = [go, "build", *options, "-o", str(made), "."]
    else:
        command = [go, "install", *options, wanted.source]
        environment["GOBIN"] = str(made.parent)
    folder = wanted.source if isinstance(wanted.source, Path) else made.parent
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS)
    if done.returncode != 0:
        raise BuildError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a lock file, which ends with the process that holds it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
