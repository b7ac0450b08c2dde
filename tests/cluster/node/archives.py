"""Images of single programs for the node's own pods, as archives that containerd imports.

Format: https://github.com/moby/docker-image-spec/blob/main/spec.md (one layer).
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

_EPOCH = "1970-01-01T00:00:00Z"


def write_archive(target: Path, name: str, files: Mapping[str, Path], links: Mapping[str, str] | None = None) -> None:
    """Write an image with these files and nothing else.

    Args:
        target: the archive.
        name: of the image, with its tag.
        files: path in the image to the file here; the first is the image's entry point.
        links: path in the image to what it points at.
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for path, file in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = file.stat().st_size, 0o755
            with file.open("rb") as program:
                tar.addfile(entry, program)
        for path, points_at in (links or {}).items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.type, entry.linkname = tarfile.SYMTYPE, points_at
            tar.addfile(entry)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": _EPOCH,
        "config": {"Entrypoint": [next(iter(files))], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    encoded = json.dumps(config).encode()
    config_name = f"{hashlib.sha256(encoded).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [f"{digest}/layer.tar"]}]
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    with tarfile.open(partial, "w") as tar:
        members = {config_name: encoded, "manifest.json": json.dumps(manifest).encode(), f"{digest}/layer.tar": layer.getvalue()}
        for path, content in members.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    partial.replace(target)


def image_names(archive: Path) -> list[str]:
    """Names, with their tags, of the images in an archive."""
    with tarfile.open(archive) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None, f"{archive} is no archive of images"
        return [name for image in json.load(manifest) for name in image["RepoTags"]]
