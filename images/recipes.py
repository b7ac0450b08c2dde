"""What each image is made of, and the key that changes when any of it does."""

import hashlib
import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from images.errors import ImageError

REPOSITORY = Path(__file__).parent.parent
_HERE = REPOSITORY / "images"
_BASES = _HERE / "bases"
_COMPILED = {"__pycache__", "target"}


@dataclass(frozen=True)
class Recipe:
    """An image, or the base of one.

    Args:
        reference: the full name that other Dockerfiles and the charts call it by.
        context: the folder that holds its Dockerfile and what this copies.
        made_by: for a base whose context is made and not kept here: the module that makes it.
    """

    reference: str
    context: Path
    made_by: Path | None = None

    def inputs(self) -> list[Path]:
        """The files of this repository that the image is built from.

        Raises:
            ImageError: the Dockerfile copies what is not there.
        """
        files = {self.context / "Dockerfile"}
        if (ignored := self.context / ".dockerignore").exists():
            files.add(ignored)
        if self.made_by:
            return sorted({*files, self.made_by})
        for source in self._copied():
            path = self.context / source
            if not path.exists():
                raise ImageError(f"{self.context / 'Dockerfile'} copies {source}, and there is no such file")
            files.update(_files(path))
        return sorted(files)

    def bases(self) -> list[str]:
        """The bases of this repository that the Dockerfile builds on, in the order of BASES."""
        dockerfile = self._dockerfile()
        named = set(re.findall(r"^(?:FROM\s+|ARG\s+\w+=)(\S+)", dockerfile, re.MULTILINE))
        return [reference for reference in BASES if reference in named]

    def has_build_stage(self) -> bool:
        """Whether a stage called `build` fetches what the image is made of."""
        return re.search(r"^FROM .* AS build$", self._dockerfile(), re.MULTILINE) is not None

    def key(self) -> str:
        """Names the content that the image is built from, its bases' included."""
        content = hashlib.sha256(f"{self.reference}\n".encode())
        for reference in self.bases():
            content.update(BASES[reference].key().encode())
        for path in self.inputs():
            executable = path.stat().st_mode & 0o100
            content.update(f"{os.path.relpath(path, self.context)} {executable} {path.stat().st_size}\n".encode())
            content.update(path.read_bytes())
        return content.hexdigest()[:16]

    def _dockerfile(self) -> str:
        return (self.context / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")

    def _copied(self) -> Iterator[str]:
        for arguments in re.findall(r"^(?:COPY|ADD)\s+(.*)$", self._dockerfile(), re.MULTILINE):
            words = arguments.split()
            if not any(word.startswith("--from=") for word in words):
                yield from [word for word in words if not word.startswith("--")][:-1]


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    else:
        # What was compiled here is left out by .dockerignore too.
        sources = (each for each in path.rglob("*") if each.suffix not in (".so", ".dylib"))
        yield from (each for each in sources if each.is_file() and _COMPILED.isdisjoint(each.relative_to(path).parts))


def _version() -> str:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


# Each under the public name that the Dockerfiles give it, so that they need no switch; an earlier one is the base of later ones.
BASES = {
    recipe.reference: recipe
    for recipe in (
        Recipe("docker.io/library/debian:bookworm-slim", _BASES / "debian", _HERE / "bases.py"),
        Recipe("docker.io/library/python:3.11-slim-bookworm", _BASES / "python"),
        Recipe("docker.io/library/eclipse-temurin:17-jre", _BASES / "temurin-17"),
        Recipe("docker.io/library/eclipse-temurin:25-jre", _BASES / "temurin-25"),
        Recipe("docker.io/library/maven:3-eclipse-temurin-17", _BASES / "maven"),
        Recipe("docker.io/library/rust:1-slim-bookworm", _BASES / "rust"),
        Recipe("docker.io/library/golang:1.24-bookworm", _BASES / "golang", _HERE / "bases.py"),
    )
}

RECIPES = {
    "postgresql": Recipe("docker.io/library/postgres:15-bookworm", _HERE / "postgresql"),
    "metastore": Recipe("docker.io/lakehouse/metastore:4.0.0-1", REPOSITORY / "metastore"),
    "trino": Recipe("docker.io/trinodb/trino:476", _HERE / "trino"),
    "minio-setup": Recipe("docker.io/lakehouse/minio-setup:1", _HERE / "minio-setup"),
    "lakehouse": Recipe(f"docker.io/lakehouse/lakehouse:{_version()}", REPOSITORY),
    "minio": Recipe("docker.io/lakehouse/minio:2026-02-12", _HERE / "minio"),
    "superset": Recipe("docker.io/lakehouse/superset:6.1.0-1", REPOSITORY / "superset"),
}

# What the charts call each image.
IMAGES = {name: recipe.reference for name, recipe in RECIPES.items()}

# What stands for the outside in the tests of the charts; no chart runs it.
_TEST_RECIPES = {
    "versitygw": Recipe("docker.io/lakehouse/versitygw:1.8.0", _HERE / "versitygw"),
    "nessie": Recipe("docker.io/lakehouse/nessie:0.99.0", _HERE / "nessie"),
}
RECIPES |= _TEST_RECIPES
TEST_IMAGES = {name: recipe.reference for name, recipe in _TEST_RECIPES.items()}
