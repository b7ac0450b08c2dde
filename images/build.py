"""Builds images with buildah into archives, each once for what it is built from."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from images import bases, host
from images.errors import ImageError
from images.recipes import BASES, RECIPES, Recipe

_MADE = {"docker.io/library/debian:bookworm-slim": bases.debian, "docker.io/library/golang:1.24-bookworm": bases.golang}


def archive(name: str) -> Path:
    """The archive (docker-archive, one tar file) of the named image, built first unless it is there.

    Raises:
        ImageError: what the build needs is missing, or it failed.
    """
    recipe = RECIPES[name]
    cache = Path(os.environ.get("LAKEHOUSE_CACHE") or Path.home() / ".cache/lakehouse").absolute()
    path = cache / "images" / f"{name}-{recipe.key()}.tar"
    if path.exists():
        print(f"{name}: already built")
        return path
    host.check()
    with _alone(cache / "image-build"):
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            _Builder(cache / "image-build", name).archive(recipe, path)
            for older in path.parent.glob(f"{name}-{'[0-9a-f]' * 16}.tar"):
                if older != path:
                    older.unlink()
    return path


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One build at a time in this folder; what a killed one left is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for unfinished in folder.glob("building-*"):
            shutil.rmtree(unfinished)
        yield


class _Builder:
    """Builds one image and the bases it needs, and logs what its programs say."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._log = folder / f"{name}.log"
        self._log.write_bytes(b"")
        self._temporary = folder / "building-temporary"
        self._temporary.mkdir()
        print(f"{name}: building, see {self._log}", flush=True)

    def archive(self, recipe: Recipe, path: Path) -> None:
        for base in recipe.bases():
            self._base(BASES[base])
        with self._scratch() as scratch:
            self._build(recipe, recipe.context, recipe.reference, scratch)
            unfinished = scratch / "image.tar"
            self._buildah("push", recipe.reference, f"docker-archive:{unfinished}:{recipe.reference}")
            # Steps that were built once are found again; the image itself is in its archive.
            self._buildah("rmi", recipe.reference)
            unfinished.replace(path)

    def _base(self, recipe: Recipe) -> None:
        kept = f"localhost/base:{recipe.key()}"
        if self._buildah_succeeds("inspect", "--type", "image", kept):
            self._buildah("tag", kept, recipe.reference)
            return
        for base in recipe.bases():
            self._base(BASES[base])
        print(f"{self._name}: making {recipe.reference} from packages", flush=True)
        with self._scratch() as scratch:
            made = _MADE.get(recipe.reference)
            context = made(scratch, self._run) if made else recipe.context
            self._build(recipe, context, recipe.reference, scratch)
        self._buildah("tag", recipe.reference, kept)

    def _build(self, recipe: Recipe, context: Path, reference: str, scratch: Path) -> None:
        """Builds the stage `build` with what this machine lends it, and the image without: no trace of that can be in it."""
        if recipe.has_build_stage():
            volumes = host.volumes(recipe.bases(), scratch, self._folder / "downloads")
            self._bud(recipe, context, *(f"--volume={volume}" for volume in volumes), "--target", "build")
        self._bud(recipe, context, "--tag", reference)

    def _bud(self, recipe: Recipe, context: Path, *arguments: str) -> None:
        """Layers make the second build find what the first one did."""
        # A step that runs Trino may open as many files as Trino recommends, not buildah's 1,024.
        files = ("--ulimit", "nofile=8192:8192")
        same = ("--isolation", "chroot", "--network", "host", "--format", "docker", "--layers", "--pull-never", *files)
        self._buildah("bud", *same, *arguments, "--file", recipe.context / "Dockerfile", context)

    def _buildah(self, *arguments: str | Path) -> None:
        self._run([*self._command(), *arguments])

    def _buildah_succeeds(self, *arguments: str) -> bool:
        return subprocess.run([*self._command(), *arguments], capture_output=True, check=False).returncode == 0

    def _command(self) -> list[str | Path]:
        """Buildah with a storage of its own; in a mount namespace, so that nothing stays mounted whatever happens."""
        places = ("--root", self._folder / "storage", "--runroot", self._folder / "storage-run")
        return ["unshare", "--mount", "buildah", *places, "--storage-driver", "overlay"]

    def _run(self, command: Sequence[str | Path]) -> None:
        with self._log.open("ab") as log:
            log.write(f"+ {' '.join(map(str, command))}\n".encode())
            log.flush()
            environment = {**os.environ, "TMPDIR": str(self._temporary)}
            done = subprocess.run(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, check=False)
        if done.returncode:
            last = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
            raise ImageError(f"{self._name} could not be built; the last lines of {self._log}:\n" + "\n".join(last))

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="building-", dir=self._folder) as folder:
            yield Path(folder)
