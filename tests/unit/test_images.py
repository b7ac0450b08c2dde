"""What the images are built from, and what is said where they cannot be built. Nothing is built here."""

import tomllib
from pathlib import Path

import pytest

from images import IMAGES, ImageError, archive, build, host
from images.__main__ import main
from images.recipes import BASES, RECIPES, REPOSITORY, Recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "folder" / "__pycache__").mkdir(parents=True)
    (tmp_path / "folder" / "module.py").write_text("one")
    (tmp_path / "folder" / "__pycache__" / "module.pyc").write_text("compiled")
    (tmp_path / "start").write_text("#!/bin/sh\n")
    (tmp_path / "beside").write_text("not copied")
    (tmp_path / "Dockerfile").write_text(
        "ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm\nFROM ${PYTHON_IMAGE} AS build\n"
        "COPY --chmod=755 start \\\n    folder /opt/\nFROM ${PYTHON_IMAGE}\nCOPY --from=build /opt /opt\n"
    )
    return Recipe("example/image:1", tmp_path)


def test_inputs_are_what_the_dockerfile_copies(recipe: Recipe) -> None:
    names = [str(path.relative_to(recipe.context)) for path in recipe.inputs()]
    assert names == ["Dockerfile", "folder/module.py", "start"]
    assert recipe.bases() == ["docker.io/library/python:3.11-slim-bookworm"]


def test_key_changes_with_every_input_and_with_nothing_else(recipe: Recipe) -> None:
    keys = [recipe.key()]
    (recipe.context / "beside").write_text("changed")
    (recipe.context / "folder" / "__pycache__" / "module.pyc").write_text("changed")
    assert recipe.key() == keys[0]
    (recipe.context / "folder" / "module.py").write_text("two")
    keys.append(recipe.key())
    (recipe.context / "folder" / "module.py").rename(recipe.context / "folder" / "renamed.py")
    keys.append(recipe.key())
    (recipe.context / "start").chmod(0o755)
    keys.append(recipe.key())
    with (recipe.context / "Dockerfile").open("a") as dockerfile:
        dockerfile.write("USER 10001\n")
    keys.append(recipe.key())
    assert len(set(keys)) == 5


def test_key_changes_with_a_base(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipe.key()
    base = tmp_path / "base"
    base.mkdir()
    (base / "Dockerfile").write_text("FROM scratch\n")
    monkeypatch.setitem(BASES, recipe.bases()[0], Recipe(recipe.bases()[0], base))
    assert recipe.key() != before


def test_missing_input_is_named(recipe: Recipe) -> None:
    (recipe.context / "start").unlink()
    with pytest.raises(ImageError, match="copies start, and there is no such file"):
        recipe.key()


@pytest.mark.parametrize("name", RECIPES)
def test_dockerfile_is_pinned_labelled_and_not_root(name: str) -> None:
    recipe = RECIPES[name]
    dockerfile = (recipe.context / "Dockerfile").read_text(encoding="utf-8")
    assert f'org.opencontainers.image.version="{recipe.reference.rpartition(":")[2]}"' in dockerfile
    assert "org.opencontainers.image.licenses=" in dockerfile
    assert "org.opencontainers.image.title=" in dockerfile
    users = [line.split()[1] for line in dockerfile.splitlines() if line.startswith("USER ")]
    assert users, "runs as root"
    assert users[-1].replace(":", "").isdigit(), "Kubernetes can only tell that a number is not root"
    assert not users[-1].startswith("0")
    assert recipe.bases(), "built on nothing that is made here"


def test_lakehouse_image_has_the_version_of_the_package() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert IMAGES["lakehouse"] == f"docker.io/lakehouse/lakehouse:{project['version']}"


def test_lakehouse_context_lets_through_what_is_copied() -> None:
    allowed = {line.removeprefix("!") for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {path.relative_to(REPOSITORY).parts[0] for path in RECIPES["lakehouse"].inputs()}
    assert copied - {"Dockerfile", ".dockerignore"} == allowed


def test_archive_that_is_there_is_not_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAKEHOUSE_CACHE", str(tmp_path))
    monkeypatch.setattr(build, "_Builder", None)
    path = tmp_path / "images" / f"trino-{RECIPES['trino'].key()}.tar"
    path.parent.mkdir()
    path.write_bytes(b"")
    assert archive("trino") == path
    assert "trino: already built" in capsys.readouterr().out


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LAKEHOUSE_CACHE", str(tmp_path))
    monkeypatch.setattr(host, "REQUIRED", {"no-such-buildah": "buildah", "/no/such/file": "ca-certificates", "sh": "dash"})
    assert main(["trino"]) == 1
    assert "apt-get install buildah ca-certificates'" in capsys.readouterr().err


def test_only_root_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "REQUIRED", {})
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ImageError, match="takes root"):
        host.check()


def test_unknown_image_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trinos"]) == 2
    assert "there is no trinos: there are postgresql, metastore" in capsys.readouterr().err
