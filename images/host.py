"""What is taken from this machine: programs, settings of package managers, and the authorities that it trusts.

All of it is mounted while a Dockerfile's steps run, and none of it is in an image.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from images.errors import ImageError

# What must be installed, and the Debian package that brings it.
REQUIRED = {
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "unshare": "util-linux",
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
    "/etc/ssl/certs/java/cacerts": "ca-certificates-java",
}
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_JAVA_AUTHORITIES = "/etc/ssl/certs/java/cacerts"


def check() -> None:
    """Sees that everything needed is there.

    Raises:
        ImageError: names the Debian packages to install, or what else to do.
    """
    missing = [package for needed, package in REQUIRED.items() if not (shutil.which(needed) or Path(needed).is_file())]
    if missing:
        raise ImageError(f"images are built with what is not installed here: run 'apt-get install {' '.join(sorted(missing))}'")
    if os.geteuid() != 0:
        raise ImageError("building images takes root; where there is a registry, docker builds the same Dockerfiles without it")


def go(variable: str) -> str:
    """A setting of this machine's Go.

    Raises:
        ImageError: there is no Go.
    """
    if not shutil.which("go"):
        raise ImageError("MinIO is built with this machine's Go, and there is none: install Go 1.24 or newer and put it in PATH")
    return subprocess.run(["go", "env", variable], check=True, capture_output=True, text=True).stdout.strip()


def debian_sources(suite: str) -> list[str]:
    """The mirrors that this machine takes the suite from, its updates and security updates included, as lines of sources.list.

    Empty where this machine takes packages of other suites only, or is not Debian.
    """
    if not shutil.which("apt-get"):
        return []
    form = ["--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages", "Origin: Debian"]
    listed = subprocess.run(["apt-get", "indextargets", *form], capture_output=True, text=True, check=False).stdout
    wanted = [line.split() for line in dict.fromkeys(listed.splitlines())]
    return [f"deb {uri} {release} main" for uri, release in wanted if release.split("-")[0] == suite]


def volumes(bases: list[str], folder: Path, downloads: Path) -> Iterator[str]:
    """What the steps of a Dockerfile that builds on these bases get mounted, as buildah wants it.

    Args:
        bases: references.
        folder: for the files made here.
        downloads: where downloads are kept for the next time.
    """
    for reference in bases:
        kind = reference.rpartition("/")[2].partition(":")[0]
        if kind == "python":
            settings = folder / "pip.conf"
            settings.write_text(_pip_settings(), encoding="utf-8")
            yield f"{settings}:/etc/pip.conf:ro"
            yield f"{_AUTHORITIES}:{_AUTHORITIES}:ro"
        elif kind == "maven":
            repository = downloads / "maven"
            repository.mkdir(parents=True, exist_ok=True)
            yield f"{repository}:/root/.m2/repository"
            yield f"{_JAVA_AUTHORITIES}:{_JAVA_AUTHORITIES}:ro"
            if (settings := Path.home() / ".m2/settings.xml").is_file():
                yield f"{settings}:/root/.m2/settings.xml:ro"
        elif kind == "rust":
            registry = downloads / "cargo"
            registry.mkdir(parents=True, exist_ok=True)
            yield f"{registry}:/root/.cargo/registry"
            yield f"{_AUTHORITIES}:{_AUTHORITIES}:ro"
            if (settings := Path.home() / ".cargo/config.toml").is_file():
                yield f"{settings}:/root/.cargo/config.toml:ro"
        elif kind == "golang":
            settings = folder / "go.env"
            settings.write_text("".join(f"{name}={go(name)}\n" for name in ("GOPROXY", "GOSUMDB", "GONOSUMDB")), encoding="utf-8")
            yield f"{settings}:/root/.config/go/env:ro"
            yield f"{_AUTHORITIES}:{_AUTHORITIES}:ro"
            for variable, path in (("GOMODCACHE", "/go/pkg/mod"), ("GOCACHE", "/root/.cache/go-build")):
                cache = Path(go(variable))
                cache.mkdir(parents=True, exist_ok=True)
                yield f"{cache}:{path}"


def _pip_settings() -> str:
    lines = ["[global]", f"cert = {_AUTHORITIES}"]
    if index := os.environ.get("PIP_INDEX_URL"):
        lines.append(f"index-url = {index}")
    return "\n".join(lines) + "\n"
