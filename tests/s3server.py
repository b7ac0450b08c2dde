"""A real S3 server for tests: versitygw."""

import os
import re
import secrets
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import unquote

import boto3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from tests.cluster.node.programs import VERSITYGW, program
from tests.support.machine import free_port

REGION = "us-east-1"
START_SECONDS = 30
START_ATTEMPTS = 5

# AWS' server access log format: `... [time] address requester request-id operation key request-uri status ...`.
# The key may hold blanks, the path in the request is percent-encoded.
_LOG_LINE = re.compile(r"\] \S+ \S+ \S+ s3_(?P<operation>\w+) .*? /(?P<path>\S*) (?P<status>\d{3}) ")


@dataclass(frozen=True)
class Request:
    """One request that the server answered, as its access log tells it."""

    operation: str
    bucket: str
    key: str
    status: int


@dataclass(frozen=True)
class S3Server:
    """A running server. Everything that a client needs to know, and what the clients asked for."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str
    bucket: str
    ca_file: Path | None
    access_log: Path
    _numbers: Iterator[int]

    def client(self) -> Any:
        """A boto3 client of this server."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            verify=str(self.ca_file) if self.ca_file else None,
        )

    def new_bucket(self) -> str:
        """Make an empty bucket that no other test knows and return its name."""
        name = f"test-{next(self._numbers)}"
        self.client().create_bucket(Bucket=name)
        return name

    def environment(self) -> dict[str, str]:
        """The variables by which the AWS tools and libraries find this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }

    def requests(self, bucket: str, operation: str | None = None) -> list[Request]:
        """What was asked of a bucket so far, in order; `operation` as in S3's API: GetObject, PutObject, HeadObject."""
        found = []
        for line in self.access_log.read_text(encoding="utf-8", errors="replace").splitlines():
            match = _LOG_LINE.search(line)
            if match is None:
                continue
            name, _, key = match["path"].partition("?")[0].partition("/")
            if name == bucket and operation in (None, match["operation"]):
                found.append(Request(match["operation"], name, unquote(key), int(match["status"])))
        return found


@contextmanager
def running_server(folder: Path, *, tls: bool = False) -> Iterator[S3Server]:
    """Run a server on a free loopback port, with its objects and its log in `folder`, until the context ends.

    With `tls` it speaks https only, with a certificate that nobody trusts but who is given `ca_file`.
    """
    access_key, secret_key = secrets.token_hex(8), secrets.token_hex(16)
    objects, access_log, output = folder / "objects", folder / "access.log", folder / "output.log"
    objects.mkdir()
    command = [str(program(VERSITYGW)), "--quiet", "--access-log", str(access_log), "--health", "/health"]
    ca_file = None
    if tls:
        ca_file, key = _self_signed(folder)
        command += ["--cert", str(ca_file), "--key", str(key)]
    backend = ["posix", *_metadata_options(folder, objects), str(objects)]
    for attempt in range(START_ATTEMPTS):
        port = free_port()
        with output.open("ab") as log:
            process = subprocess.Popen(
                [*command, "--port", f"127.0.0.1:{port}", *backend],
                env={"ROOT_ACCESS_KEY_ID": access_key, "ROOT_SECRET_ACCESS_KEY": secret_key, "PATH": os.defpath},
                stdout=log,
                stderr=log,
            )
        endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        try:
            # Another process may take the port between the look and the start; then the server ends at once.
            if not _wait_until_ready(process, endpoint):
                if attempt + 1 < START_ATTEMPTS:
                    continue
                raise RuntimeError(f"versitygw ended with {process.returncode}: {output.read_text()[-2000:]}")
            server = S3Server(endpoint, access_key, secret_key, REGION, "lakehouse", ca_file, access_log, count(1))
            server.client().create_bucket(Bucket=server.bucket)
            yield server
            return
        finally:
            process.terminate()
            process.wait(timeout=START_SECONDS)


def _metadata_options(folder: Path, objects: Path) -> list[str]:
    """versitygw keeps etags in extended attributes; where the file system has none, in a folder beside the objects."""
    try:
        os.setxattr(objects, "user.probe", b"1")
    except OSError:
        sidecar = folder / "sidecar"
        sidecar.mkdir()
        return ["--sidecar", str(sidecar)]
    os.removexattr(objects, "user.probe")
    return []


def _self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lakehouse tests")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


def _wait_until_ready(process: subprocess.Popen[bytes], endpoint: str) -> bool:
    """True once this process answers, False if it ended before."""
    # Only an answer is asked for; whether the certificate is trusted is what tests are about.
    anyone = urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), anyone)
    for attempt in Retrying(
        retry=retry_if_exception_type(URLError),
        wait=wait_fixed(0.05),
        stop=stop_after_delay(START_SECONDS),
        reraise=True,
    ):
        with attempt:
            if process.poll() is not None:
                return False
            with opener.open(f"{endpoint}/health", timeout=START_SECONDS):
                pass
    return process.poll() is None
