"""The two bases that are not built from a Dockerfile alone: Debian, and Go."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from images import host

_SUITE = "bookworm"
# As in the public slim image: documentation is left out, licences stay.
_EXCLUDED = """\
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
"""

Run = Callable[[Sequence[str | Path]], None]


def debian(folder: Path, run: Run) -> Path:
    """Makes a small Debian in a tar file and gives the folder to build from."""
    root = folder / "root"
    sources = host.debian_sources(_SUITE)
    mirror = sources[0].split()[1:2] if sources else []
    run(["unshare", "--mount", "debootstrap", "--variant=minbase", _SUITE, root, *mirror])
    if sources:
        (root / "etc/apt/sources.list").write_text("\n".join(sources) + "\n", encoding="utf-8")
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(_EXCLUDED, encoding="utf-8")
    _trim(root)
    run(["tar", "--create", "--numeric-owner", "--one-file-system", "--file", folder / "root.tar", "--directory", root, "."])
    shutil.rmtree(root)
    return folder


def golang(folder: Path, run: Run) -> Path:
    """Gives the folder of this machine's Go."""
    return Path(host.go("GOROOT"))


def _trim(root: Path) -> None:
    # This machine's, put there by debootstrap.
    for name in ("etc/resolv.conf", "etc/hostname"):
        (root / name).unlink(missing_ok=True)
    for path in (root / "usr/share/doc").rglob("*"):
        if path.name != "copyright" and (path.is_file() or path.is_symlink()):
            path.unlink()
    # The folders of manual pages stay: some packages put links into them when they are installed.
    for path in (root / "usr/share/man").rglob("*"):
        if path.is_file() or path.is_symlink():
            path.unlink()
    for folder in ("usr/share/info", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt", "var/cache/debconf", "var/log"):
        for path in (root / folder).iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
