"""Where bytes come from: files and S3 objects, plain or compressed, in blocks of whole lines. Knows no datasets."""

import bz2
import gzip
import io
import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, cast

import pyarrow as pa
from botocore.exceptions import BotoCoreError, ClientError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from lakehouse.errors import InputError, UsageError
from lakehouse.settings import Settings
from lakehouse.storage import explain, is_s3, s3_client, split_s3

BLOCK_BYTES = 16 * 2**20
"""Bytes read, parsed and written at a time: memory is a small multiple of it, and much is done once a block."""
HEAD_BYTES = 64 * 1024
"""Bytes in which a format is detected and inputs are first told apart."""
_READ_BYTES = 2**20
_LOOK_AHEAD_BYTES = 2**16
_GLOB = re.compile(r"[*?\[{]")


@dataclass(frozen=True)
class InputFile:
    """An input as it was found, before any byte is read.

    Args:
        location: absolute path or s3:// address.
        size: bytes as stored.
        modified: epoch seconds.
        fingerprint: changes whenever the content may have changed; equal means no byte needs reading.
        fields: what the pattern's {site} and {source} stood for.
    """

    location: str
    size: int
    modified: float
    fingerprint: str
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def folder(self) -> str:
        """The folder or prefix it lies in."""
        return self.location.rpartition("/")[0]

    @property
    def inode(self) -> str:
        """Which file it is on its disk, under whatever name; of a local one only."""
        return inode_of(self.fingerprint)

    def field(self, name: str) -> str | None:
        """What {name} stood for in the pattern."""
        return dict(self.fields).get(name)


def find_inputs(patterns: list[str], settings: Settings) -> list[InputFile]:
    """Find the inputs that paths and patterns name.

    Args:
        patterns: files, folders (all files below), and patterns with *, **, ?, [..], {site} and {source}, local or s3://.

    Returns:
        Inputs in the order of their locations within each pattern, each once. Files and folders whose name begins
        with a dot are left out unless they are named.

    Raises:
        InputError: nothing is there, or it may not be read.
    """
    found: dict[str, InputFile] = {}
    for pattern in patterns:
        matches = list(_find_s3(pattern, settings) if is_s3(pattern) else _find_local(pattern))
        if not matches and os.path.isdir(pattern):
            raise InputError(
                f"{pattern}: there is no file in this folder: check the path (names with a leading dot are left out)"
            )
        if not matches:
            raise InputError(f"{pattern}: no such file, or nothing matches: check the path")
        for match in matches:
            found.setdefault(match.location, match)
    return list(found.values())


def _pattern_expression(pattern: str) -> re.Pattern[str]:
    """A path pattern as a regular expression: * within a name, ** over folders, {name} a whole name that is kept."""
    parts: list[str] = []
    for token in re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]+\]|\{[^}]*\}|[^*?\[{]+|.", pattern, re.DOTALL):
        if token == "**/":
            parts.append("(?:.*/)?")
        elif token == "**":
            parts.append(".*")
        elif token == "*":
            parts.append("[^/]*")
        elif token == "?":
            parts.append("[^/]")
        elif token.startswith("[") and len(token) > 2:
            parts.append(token.replace("[!", "[^"))
        elif token.startswith("{") and len(token) > 2:
            if token[1:-1] not in ("site", "source"):
                raise UsageError(f"{pattern}: {token} is not known in a pattern: only {{site}} and {{source}} are")
            parts.append(f"(?P<{token[1:-1]}>[^/]+)")
        else:
            parts.append(re.escape(token))
    return re.compile("".join(parts))


def _fixed_prefix(pattern: str) -> str:
    """The folder part of a pattern in front of its first wildcard."""
    wildcard = _GLOB.search(pattern)
    return pattern[: wildcard.start()].rpartition("/")[0] if wildcard else pattern


def _find_local(pattern: str) -> Iterator[InputFile]:
    if "://" in pattern:
        raise UsageError(f"{pattern}: only local paths and s3://BUCKET/KEY can be read: download it first")
    path = os.path.abspath(os.path.expanduser(pattern))
    if not _GLOB.search(path) or os.path.exists(path):
        if os.path.isdir(path):
            yield from (local_file(name) for name in _walk(path))
        elif os.path.exists(path):
            yield local_file(path)
        return
    expression = _pattern_expression(path)
    for name in _walk(_fixed_prefix(path) or "/"):
        if match := expression.fullmatch(name):
            yield local_file(name, tuple(match.groupdict().items()))


def _walk(folder: str) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise InputError(f"{error.filename}: {explain(error)}") from error

    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = os.path.join(parent, name)
            if not name.startswith(".") and os.path.isfile(path):
                yield path


def local_file(path: str, fields: tuple[tuple[str, str], ...] = ()) -> InputFile:
    """A file under its very name, which is no pattern; raises InputError."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise InputError(f"{path}: {explain(error)}") from error
    if not stat.S_ISREG(status.st_mode):
        # Of a pipe or device neither size nor content can be asked a second time.
        raise InputError(f"{path}: this is no regular file: write its content to a file and load that")
    return InputFile(path, status.st_size, status.st_mtime, _local_fingerprint(status), fields)


def _local_fingerprint(status: os.stat_result) -> str:
    # The time of the last change to the inode cannot be set back as the modification time can.
    return f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def inode_of(fingerprint: str) -> str:
    """The part of a local file's fingerprint that stays when the file is renamed or written to: device and inode."""
    return ":".join(fingerprint.split(":")[:2])


def _find_s3(pattern: str, settings: Settings) -> Iterator[InputFile]:
    bucket, key = split_s3(pattern)
    if not bucket or _GLOB.search(bucket):
        raise UsageError(f"{pattern}: an address is s3://BUCKET/KEY, with wildcards in the key only")
    exact = not _GLOB.search(key)
    expression = _pattern_expression(f"s3://{bucket}/{key}")
    prefix = key if exact else split_s3(_fixed_prefix(f"s3://{bucket}/{key}") + "/")[1]
    try:
        pages = s3_client(settings).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for item in page.get("Contents", ()):
                location = f"s3://{bucket}/{item['Key']}"
                match = expression.fullmatch(location)
                below = exact and item["Key"].startswith(key.rstrip("/") + "/")
                if (match or below) and not item["Key"].endswith("/"):
                    fields = tuple(match.groupdict().items()) if match else ()
                    fingerprint = f"{item['ETag']}:{item['Size']}"
                    yield InputFile(location, item["Size"], item["LastModified"].timestamp(), fingerprint, fields)
    except (ClientError, BotoCoreError) as error:
        raise InputError(f"{pattern}: {explain(error)}") from error


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class _S3Stream:
    """An object's bytes; a connection lost on the way is taken up again where it broke, at the same version."""

    def __init__(self, found: InputFile, settings: Settings):
        self._client = s3_client(settings)
        self._bucket, self._key = split_s3(found.location)
        self._etag = found.fingerprint.rpartition(":")[0]
        self.position = 0
        self._size = found.size
        self._body: Any = None

    def read(self, size: int = -1) -> bytes:
        for attempt in Retrying(
            retry=retry_if_exception_type((BotoCoreError, OSError)),
            stop=stop_after_attempt(5),
            wait=wait_exponential(0.2, max=5),
            reraise=True,
        ):
            with attempt:
                try:
                    return self._read(size)
                except (BotoCoreError, OSError):
                    self._body = None
                    raise
        raise AssertionError("unreachable")

    def _read(self, size: int) -> bytes:
        if self.position >= self._size:
            return b""
        if self._body is None:
            self._body = self._client.get_object(
                Bucket=self._bucket, Key=self._key, IfMatch=self._etag, Range=f"bytes={self.position}-"
            )["Body"]
        data = cast(bytes, self._body.read(size if size >= 0 else None))
        self.position += len(data)
        if not data and self.position < self._size:
            raise OSError(f"the connection ended after {self.position} of {self._size} bytes")
        return data

    def close(self) -> None:
        if self._body is not None:
            self._body.close()


class _TruncatedError(OSError):
    """A file became shorter while it was being read."""


class _Bounded:
    """The first bytes of a file that may be growing while it is read; raises _TruncatedError when it shrinks."""

    def __init__(self, stream: IO[bytes], size: int):
        self._stream = stream
        self._size = size
        self.position = 0

    def read(self, size: int = -1) -> bytes:
        left = self._size - self.position
        wanted = left if size < 0 else min(size, left)
        data = self._stream.read(wanted)
        if wanted and not data:
            raise _TruncatedError
        self.position += len(data)
        return data


@dataclass
class OpenInput:
    """An open input: its decompressed bytes, whether it can still grow, and the descriptor of one that is a plain file."""

    found: InputFile
    stream: _Readable
    compression: str | None
    _stored: "_Bounded | _S3Stream"
    descriptor: int | None = None

    @property
    def position(self) -> int:
        """Bytes of the input, as it is stored, that have been read."""
        return self._stored.position

    def blocks(self, size: int = BLOCK_BYTES) -> Iterator[bytes]:
        """The bytes in pieces of about `size`, which end in a newline where that is cheap to see to.

        Raises:
            InputError: damaged or vanished, naming the place.
        """
        return iter(lambda: self.read(self._to_line_end(size)), b"")

    def _to_line_end(self, size: int) -> int:
        """The most bytes up to `size` whose last one is known to be a newline; `size` if there is none to be seen.

        A block that ends within a line must be copied to take the begun line off.
        """
        if self.descriptor is None or size <= _LOOK_AHEAD_BYTES:
            return size
        try:
            position = os.lseek(self.descriptor, 0, os.SEEK_CUR)
            seen = os.pread(self.descriptor, _LOOK_AHEAD_BYTES, position + size - _LOOK_AHEAD_BYTES)
        except OSError:
            return size  # reading will tell
        return size - len(seen) + seen.rfind(b"\n") + 1 if len(seen) == _LOOK_AHEAD_BYTES and b"\n" in seen else size

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, fewer only at the end; raises InputError."""
        pieces: list[bytes] = []
        left = size
        while left > 0:
            try:
                data = self.stream.read(left)
            except (OSError, EOFError, zlib.error, ClientError, BotoCoreError, ValueError) as error:
                raise InputError(
                    f"{self.found.location}: cannot be read to the end: {_damage(error, self.compression)}"
                ) from error
            if not data:
                break
            pieces.append(data)
            left -= len(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _damage(error: Exception, compression: str | None) -> str:
    if isinstance(error, _TruncatedError) or "PreconditionFailed" in str(error) or "412" in str(error):
        return "it was changed while it was being read: run the load again"
    if compression and not isinstance(error, (ClientError, BotoCoreError)):
        return f"its {compression} data is damaged or cut off ({error}): copy it again"
    return explain(error)


_MAGIC = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bzip2"))


@contextmanager
def open_input(found: InputFile, settings: Settings) -> Iterator[OpenInput]:
    """Open an input for reading; its compression is told by its first bytes, not by its name.

    Raises:
        InputError: missing or not permitted.
    """
    try:
        raw: Any = _S3Stream(found, settings) if is_s3(found.location) else open(found.location, "rb", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise InputError(f"{found.location}: {explain(error)}") from error
    try:
        bounded = raw if isinstance(raw, _S3Stream) else _Bounded(raw, found.size)
        try:
            magic = bounded.read(4)
        except (OSError, ClientError, BotoCoreError) as error:
            raise InputError(f"{found.location}: {_damage(error, None)}") from error
        compression = next((name for start, name in _MAGIC if magic.startswith(start)), None)
        whole = _Prefixed(magic, bounded)
        descriptor = raw.fileno() if bounded is not raw and compression is None else None
        yield OpenInput(found, _decompressed(whole, compression) if compression else whole, compression, bounded, descriptor)
    finally:
        raw.close()


def behind_nuls(found: InputFile, head: bytes, settings: Settings) -> bytes:
    """The first bytes of an input that can tell its format: `head`, or as many from behind the NULs that it begins with.

    A program that goes on at its old place in a log that was emptied leaves as many NULs as the log had bytes.

    Raises:
        InputError: missing or not permitted.
    """
    if not head.startswith(b"\0"):
        return head
    with open_input(found, settings) as opened:
        for block in opened.blocks():
            if begun := block.lstrip(b"\0"):
                return begun[:HEAD_BYTES] + opened.read(HEAD_BYTES - len(begun[:HEAD_BYTES]))
    return head


class _Prefixed(io.RawIOBase):
    """A stream with bytes that were already read put back in front."""

    def __init__(self, prefix: bytes, stream: _Readable):
        self._prefix = prefix
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._prefix:
            return self._stream.read(size)
        data, self._prefix = (self._prefix, b"") if size < 0 else (self._prefix[:size], self._prefix[size:])
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _decompressed(stream: _Prefixed, compression: str) -> _Readable:
    raw: Any = io.BufferedReader(stream, _READ_BYTES)
    if compression == "gzip":
        return gzip.GzipFile(fileobj=raw)
    if compression == "bzip2":
        return bz2.BZ2File(raw)
    # zstandard's own reader takes a cut-off stream for its end; Arrow's does not.
    return cast(_Readable, pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd"))


def display_name(location: str) -> str:
    """The last part of a location."""
    return Path(location).name
