"""The S3 server that other tests stand on: what it keeps, refuses and remembers of requests."""

from dataclasses import replace
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, SSLError

from tests.cluster.node.programs import VERSITYGW, GoMissingError, program
from tests.s3server import Request, S3Server

pytestmark = pytest.mark.embedded


def test_keeps_objects_and_tells_what_was_asked(s3: S3Server) -> None:
    bucket, client = s3.new_bucket(), s3.client()
    client.put_object(Bucket=bucket, Key="days/date=2026-11-21/a log.gz", Body=b"hit")
    assert client.get_object(Bucket=bucket, Key="days/date=2026-11-21/a log.gz")["Body"].read() == b"hit"
    assert s3.requests(bucket, "GetObject") == [Request("GetObject", bucket, "days/date=2026-11-21/a log.gz", 200)]
    assert [request.operation for request in s3.requests(bucket)] == ["CreateBucket", "PutObject", "GetObject"]


def test_conditional_writes_are_refused_when_the_object_exists(s3: S3Server) -> None:
    bucket, client = s3.new_bucket(), s3.client()
    client.put_object(Bucket=bucket, Key="key", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=bucket, Key="key", Body=b"second", IfNoneMatch="*")
    assert client.get_object(Bucket=bucket, Key="key")["Body"].read() == b"first"


def test_tls_is_trusted_only_with_its_authority(s3_tls: S3Server) -> None:
    bucket = s3_tls.new_bucket()
    s3_tls.client().put_object(Bucket=bucket, Key="key", Body=b"secret")
    with pytest.raises(SSLError):
        replace(s3_tls, ca_file=None).client().list_buckets()


def test_without_go_and_cache_there_is_one_clear_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAKEHOUSE_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(GoMissingError, match=r"install Go 1\.25 or newer"):
        program(VERSITYGW)
    assert list(tmp_path.iterdir()) == []
