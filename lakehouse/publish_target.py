"""Where published files go: a local folder or an S3 prefix, in which a file appears whole or not at all."""

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from lakehouse.errors import UsageError
from lakehouse.settings import Settings
from lakehouse.storage import is_s3, s3_client, split_s3

LOCK = "_lakehouse.lock"
_WRITER = "lakehouse-writer"
"""Key of the metadata that tells which writer an S3 object is from."""


class Target(Protocol):
    """A destination. Names of files are relative to it, with slashes."""

    address: str

    def exclusive(self) -> AbstractContextManager[None]:
        """Wait for another publish to the same place, where the storage knows locks."""
        ...

    def files(self) -> dict[str, str]:
        """A fingerprint of each file in the folders `date=...`; it changes whenever the file does."""
        ...

    def read(self, name: str) -> bytes | None:
        """A small file, or None when there is none."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Replace a small file."""
        ...

    def staged(self, name: str) -> AbstractContextManager[Path]:
        """A local path at which to write a file that is to be placed."""
        ...

    def place(self, staged: Path, name: str) -> str:
        """Put a staged file in its place; its fingerprint, empty when another writer has replaced it meanwhile."""
        ...

    def delete(self, name: str) -> None:
        """Delete a file; one that is gone already does not matter."""
        ...


def open_target(destination: str, settings: Settings) -> Target:
    """The destination that an address names; raises UsageError for an address that cannot be one."""
    if is_s3(destination):
        return S3Prefix(destination, settings)
    if "://" in destination:
        raise UsageError(f"{destination} is neither a folder nor an s3:// address: publish to one of these")
    return Folder(Path(destination).expanduser().absolute())


class Folder:
    """A local folder; a file is written beside its place and renamed."""

    def __init__(self, folder: Path):
        self.address = str(folder)
        self._folder = folder

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """See `Target`; what a killed publish has left half written is removed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for unfinished in self._folder.glob("date=*/.*.parquet.tmp"):
                unfinished.unlink()
            yield

    def files(self) -> dict[str, str]:
        """See `Target`."""
        found = sorted(path for path in self._folder.glob("date=*/*") if path.is_file())
        return {path.relative_to(self._folder).as_posix(): _fingerprint(path) for path in found}

    def read(self, name: str) -> bytes | None:
        """See `Target`."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """See `Target`."""
        temporary = self._folder / f".{name}.tmp"
        temporary.write_bytes(content)
        self._replace(temporary, self._folder / name)

    @contextmanager
    def staged(self, name: str) -> Iterator[Path]:
        """See `Target`."""
        place = self._folder / name
        place.parent.mkdir(exist_ok=True)
        temporary = place.with_name(f".{place.name}.tmp")
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def place(self, staged: Path, name: str) -> str:
        """See `Target`."""
        fingerprint = _fingerprint(staged)
        self._replace(staged, self._folder / name)
        return fingerprint

    def delete(self, name: str) -> None:
        """See `Target`; a folder that becomes empty goes too."""
        path = self._folder / name
        path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()

    @staticmethod
    def _replace(temporary: Path, place: Path) -> None:
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(place)


def _fingerprint(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size}:{status.st_mtime_ns}"


class S3Prefix:
    """Objects below an S3 prefix; S3 shows an object only once it is whole."""

    def __init__(self, address: str, settings: Settings):
        self.address = address.rstrip("/")
        self._bucket, prefix = split_s3(self.address)
        self._prefix = f"{prefix}/" if prefix else ""
        self._client = s3_client(settings)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """See `Target`: S3 has no locks."""
        yield

    def files(self) -> dict[str, str]:
        """See `Target`."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=f"{self._prefix}date=")
        return {
            item["Key"].removeprefix(self._prefix): _etag(item["ETag"], item["Size"])
            for page in pages
            for item in page.get("Contents", ())
        }

    def read(self, name: str) -> bytes | None:
        """See `Target`."""
        try:
            return bytes(self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read())
        except self._client.exceptions.NoSuchKey:
            return None

    def write(self, name: str, content: bytes) -> None:
        """See `Target`."""
        self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=content)

    @contextmanager
    def staged(self, name: str) -> Iterator[Path]:
        """See `Target`."""
        with tempfile.TemporaryDirectory(prefix="lakehouse-") as folder:
            yield Path(folder) / "file.parquet"

    def place(self, staged: Path, name: str) -> str:
        """See `Target`."""
        # The answer to an upload in parts does not reach the caller, so the object says itself whose it is.
        writer = secrets.token_hex(8)
        key = self._prefix + name
        with staged.open("rb") as stream:
            self._client.upload_fileobj(stream, self._bucket, key, ExtraArgs={"Metadata": {_WRITER: writer}})
        head = self._client.head_object(Bucket=self._bucket, Key=key)
        return _etag(head["ETag"], head["ContentLength"]) if head["Metadata"].get(_WRITER) == writer else ""

    def delete(self, name: str) -> None:
        """See `Target`."""
        self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)


def _etag(etag: str, size: int) -> str:
    return f"{etag.strip(chr(34))}:{size}"
