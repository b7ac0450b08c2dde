"""The object store: S3 or a local folder, with the credentials that the settings say."""

import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs as arrow_fs
from pyiceberg.io import FileIO, OutputStream
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO
from pyiceberg.typedef import EMPTY_DICT, Properties

from lakehouse.errors import StorageError
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from boto3 import Session
    from mypy_boto3_s3 import S3Client

CA_FILE = "lakehouse.s3-ca-file"
TEMPORARY = ".tmp"
"""Ends the name of a file that is not whole yet."""
SYNC_EACH = 64
"""Local files up to which each is synced by itself; beyond, one sync of the whole system is cheaper."""


class _SyncedStream:
    """A stream into a local file that is on the disk, and not only in memory, once it is closed."""

    def __init__(self, stream: OutputStream, path: str):
        self._stream = stream
        self._path = path

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> "_SyncedStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stream.close()
        _sync_to_disk([self._path])


class _SyncedFile(PyArrowFile):
    def create(self, overwrite: bool = False) -> OutputStream:
        return cast(OutputStream, _SyncedStream(super().create(overwrite), self._path))


class LakehouseFileIO(PyArrowFileIO):
    """pyiceberg's Arrow file access, with two things that it has no property for.

    A certificate authority of one's own; and table metadata that survives a power cut, because the catalog, a database that
    does, must never name a file that does not.
    """

    def __init__(self, properties: Properties = EMPTY_DICT):
        super().__init__(properties=properties)

    def new_output(self, location: str) -> PyArrowFile:
        """See `PyArrowFileIO`."""
        scheme, netloc, path = self.parse_location(location)
        if scheme != "file" or "/metadata/" not in path:
            return super().new_output(location)
        return _SyncedFile(location, path, self.fs_by_scheme(scheme, netloc))

    def _initialize_s3_fs(self, netloc: str | None) -> arrow_fs.FileSystem:
        if not self.properties.get(CA_FILE):
            return super()._initialize_s3_fs(netloc)
        properties = self.properties
        return arrow_fs.S3FileSystem(
            endpoint_override=properties.get("s3.endpoint"),
            access_key=properties.get("s3.access-key-id"),
            secret_key=properties.get("s3.secret-access-key"),
            session_token=properties.get("s3.session-token"),
            region=properties.get("s3.region"),
            force_virtual_addressing=properties.get("s3.force-virtual-addressing") == "true",
            tls_ca_file_path=properties[CA_FILE],
        )


def is_s3(location: str) -> bool:
    """Whether an address is of S3 (s3://, s3a:// as Hive writes it)."""
    return location.startswith(("s3://", "s3a://"))


def split_s3(location: str) -> tuple[str, str]:
    """Bucket and key of an S3 address."""
    parts = urlsplit(location)
    return parts.netloc, parts.path.lstrip("/")


def iceberg_properties(settings: Settings) -> dict[str, str]:
    """The settings' S3 part as pyiceberg properties."""
    properties = {
        "py-io-impl": f"{LakehouseFileIO.__module__}.{LakehouseFileIO.__name__}",
        "s3.endpoint": settings["s3.endpoint"],
        "s3.region": region(settings),
        "s3.access-key-id": settings["s3.access_key_id"],
        "s3.secret-access-key": settings["s3.secret_access_key"],
        "s3.session-token": settings["s3.session_token"],
        CA_FILE: settings["s3.ca_file"],
    }
    if not settings["s3.path_style"]:
        properties["s3.force-virtual-addressing"] = "true"
    return {key: value for key, value in properties.items() if value}


def uses_s3(settings: Settings) -> bool:
    """Whether the settings speak of S3 at all."""
    return is_s3(settings.warehouse) or bool(settings["s3.endpoint"] or settings["s3.access_key_id"])


def region(settings: Settings) -> str:
    """The region: of the settings, else of the AWS profile; servers other than AWS want one named all the same."""
    if settings["s3.region"] or not uses_s3(settings):
        return str(settings["s3.region"])
    return _session().region_name or ("us-east-1" if settings["s3.endpoint"] else "")


def credentials(settings: Settings) -> tuple[str, str, str]:
    """Access key, secret key and session token of this moment, empty where there is none.

    They are from the settings, else from the standard AWS chain, which renews them when they expire.
    """
    if settings["s3.access_key_id"]:
        return settings["s3.access_key_id"], settings["s3.secret_access_key"], settings["s3.session_token"]
    found = _session().get_credentials()
    if found is None:
        return "", "", ""
    frozen = found.get_frozen_credentials()
    return frozen.access_key or "", frozen.secret_key or "", frozen.token or ""


@lru_cache(maxsize=1)
def _session() -> "Session":
    import boto3

    return boto3.Session()


def s3_client(settings: Settings) -> "S3Client":
    """A boto3 client; without keys in the settings it follows, and renews, the standard credential chain."""
    return _s3_client(*(settings[name] or None for name in _CLIENT_SETTINGS), region(settings) or None)


_CLIENT_SETTINGS = (
    "s3.endpoint", "s3.path_style", "s3.access_key_id", "s3.secret_access_key", "s3.session_token", "s3.ca_file",
)  # fmt: skip


@lru_cache(maxsize=4)
def _s3_client(endpoint: Any, path_style: Any, key: Any, secret: Any, token: Any, ca_file: Any, region_name: Any) -> "S3Client":
    from botocore.config import Config

    return _session().client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        region_name=region_name,
        verify=ca_file,
        config=Config(
            # "auto" is the path, too, at an endpoint that is not AWS's own.
            s3={"addressing_style": ("path" if path_style else "virtual") if endpoint else "auto"},
            retries={"mode": "standard", "max_attempts": 5},
            connect_timeout=10,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


@dataclass(frozen=True)
class StoredFile:
    """A file in the store: address, bytes, modification time in epoch seconds."""

    path: str
    size: int
    modified: float


class Store:
    """Plain files in the warehouse beside what Iceberg writes: list, read, write whole, delete."""

    def __init__(self, settings: Settings):
        self._io = LakehouseFileIO(iceberg_properties(settings))

    def _resolve(self, location: str) -> tuple[arrow_fs.FileSystem, str]:
        scheme, netloc, path = self._io.parse_location(location)
        return self._io.fs_by_scheme(scheme, netloc), path

    def files(self, folder: str) -> Iterator[StoredFile]:
        """All files below a folder; none when it does not exist."""
        filesystem, path = self._resolve(folder)
        selector = arrow_fs.FileSelector(path, recursive=True, allow_not_found=True)
        prefix = folder[: len(folder) - len(path)] if folder.endswith(path) else ""
        for info in filesystem.get_file_info(selector):
            if info.type == arrow_fs.FileType.File:
                yield StoredFile(prefix + info.path, info.size, (info.mtime_ns or 0) / 1e9)

    def exists(self, location: str) -> bool:
        """Whether a file is there."""
        filesystem, path = self._resolve(location)
        return bool(filesystem.get_file_info(path).type == arrow_fs.FileType.File)

    def read(self, location: str) -> bytes | None:
        """The bytes of a small file, or None when there is none."""
        filesystem, path = self._resolve(location)
        try:
            with filesystem.open_input_stream(path) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    def write(self, location: str, content: bytes) -> None:
        """Write a small file whole: a reader sees the old or the new one."""
        filesystem, path = self._resolve(location)
        if isinstance(filesystem, arrow_fs.LocalFileSystem):
            filesystem.create_dir(os.path.dirname(path), recursive=True)
            temporary = f"{path}.{secrets.token_hex(6)}{TEMPORARY}"
            try:
                with open(temporary, "wb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.replace(temporary, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise
            return
        with filesystem.open_output_stream(path) as stream:
            stream.write(content)

    def delete(self, locations: Iterable[str], with_folders: bool = False) -> int:
        """Delete files; those already gone do not matter. Returns how many were there.

        Args:
            locations: of the files.
            with_folders: folders that become empty go too. Only for those that one load has for itself: from any other, a rival
                that is about to write its first file there would lose the folder under its hands.
        """
        deleted = 0
        for location in locations:
            filesystem, path = self._resolve(location)
            try:
                filesystem.delete_file(path)
                deleted += 1
            except FileNotFoundError:
                continue
            if with_folders and isinstance(filesystem, arrow_fs.LocalFileSystem):
                _remove_empty_folder(os.path.dirname(path))
        return deleted

    def sync(self, locations: list[str]) -> None:
        """Make written files survive a power cut: local files are flushed to disk, S3 has done it by answering."""
        local = [self._resolve(location)[1] for location in locations if not is_s3(location)]
        if len(local) > SYNC_EACH:
            os.sync()
            return
        _sync_to_disk(local)


def _sync_to_disk(paths: Iterable[str]) -> None:
    for path in {place for written in paths for place in (written, os.path.dirname(written))}:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_empty_folder(folder: str) -> None:
    try:
        os.rmdir(folder)
    except OSError:
        return


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn what storage libraries raise into one sentence: full, forbidden, expired, unreachable.

    Args:
        what: what was being done, to begin the sentence with.

    Raises:
        StorageError: instead of OSError, Arrow and botocore errors.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (OSError, pa.ArrowException, BotoCoreError, ClientError) as error:
        raise StorageError(f"{what}: {explain(error)}") from error


_HINTS = (
    (("No space left",), "the disk is full: free space or move `warehouse`"),
    (("Disk quota",), "the disk quota is used up"),
    (("Read-only file system",), "the folder is on a read-only file system"),
    (("ExpiredToken", "token has expired", "RequestExpired"), "the S3 credentials have expired: renew them"),
    (
        ("InvalidAccessKeyId", "INVALID_ACCESS_KEY", "SignatureDoesNotMatch", "SIGNATURE_DOES_NOT_MATCH", "XAdminUserNotFound"),
        "the S3 server does not accept s3.access_key_id and s3.secret_access_key",
    ),
    # An answer to HEAD has no body, so that a wrong key, a missing one and one without the right look the same.
    (
        ("AccessDenied", "ACCESS_DENIED", "Forbidden", "(403)", "HTTP status 403"),  # the number alone may be of a port
        "the S3 server refuses: check that s3.access_key_id and s3.secret_access_key (or the AWS_* variables) are set and right, "
        "and that this key may do it",
    ),
    (
        ("(HTTP status 400) during HeadObject", "(400) when calling the HeadObject"),
        "the S3 server refuses: the credentials have expired, or s3.region is wrong",
    ),
    (("NoSuchBucket", "NO_SUCH_BUCKET"), "the bucket does not exist: create it or correct the address"),
    (("Unable to locate credentials", "NoCredentialsError"), "no S3 credentials: set s3.access_key_id or the AWS_* variables"),
    (
        ("CERTIFICATE_VERIFY_FAILED", "curlCode: 60", "SSL peer certificate"),
        "the S3 endpoint's certificate is not trusted: name the file of its authority in s3.ca_file",
    ),
    (
        ("Could not connect", "Connection refused", "curlCode: 7", "NETWORK_CONNECTION", "curlCode: 6"),
        "the S3 endpoint cannot be reached: check s3.endpoint",
    ),
    (("Permission denied", "Operation not permitted"), "permission denied"),
)  # fmt: skip


def read_parquet(io: FileIO, path: str, columns: list[str] | None = None) -> pa.Table:
    """A small Parquet file, whole, or some of its columns; raises StorageError.

    Without threads: one of Arrow's that lets go of these bytes when Python is ending already would abort the process.
    """
    with storage_errors(f"reading {path}"), io.new_input(path).open() as stream:
        return pq.read_table(pa.BufferReader(stream.read()), columns=columns, use_threads=False)


def explain(error: BaseException) -> str:
    """What a storage error means, in words; its own words, shortened, when it is none of the usual ones."""
    text = re.sub(r"\[Errno \d+\] ", "", " ".join(str(error).split()))
    hint = next((meaning for needles, meaning in _HINTS if any(needle in text for needle in needles)), None)
    shortened = text if len(text) <= 300 else text[:297] + "..."
    return f"{hint} ({shortened})" if hint else shortened
