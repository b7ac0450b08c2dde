"""S3 wherever a path is taken: warehouse, inputs and queries on a real server, ways to log in, and failures in a sentence."""

import gzip
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from lakehouse import storage
from lakehouse.cli import main
from lakehouse.engines import duckdb as engine
from lakehouse.errors import InputError
from lakehouse.inputs import find_inputs
from lakehouse.load import Loader, Request
from lakehouse.load_options import Options
from lakehouse.settings import load_settings
from lakehouse.storage import Store
from tests.s3server import S3Server
from tests.support.home import Home
from tests.support.s3stub import refusing
from tests.support.tiny import DAY, lines

pytestmark = pytest.mark.embedded

LINE = '192.0.2.7 - - [21/Nov/2026:06:25:24 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8.0"\n'


@pytest.fixture(autouse=True)
def no_login_left_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Forget sessions of other tests, and the developer's own AWS configuration."""
    for variable in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    caches = (storage._session, storage._s3_client)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


def login(s3: S3Server) -> dict[str, str]:
    """Settings of a lakehouse that may use the server."""
    variables = {
        "LAKEHOUSE_S3_ENDPOINT": s3.endpoint,
        "LAKEHOUSE_S3_ACCESS_KEY_ID": s3.access_key,
        "LAKEHOUSE_S3_SECRET_ACCESS_KEY": s3.secret_key,
    }
    return variables | ({"LAKEHOUSE_S3_CA_FILE": str(s3.ca_file)} if s3.ca_file else {})


def warehouse(folder: Path, s3: S3Server, bucket: str) -> Home:
    return Home(folder, LAKEHOUSE_WAREHOUSE=f"s3://{bucket}/warehouse", **login(s3))


def put(s3: S3Server, bucket: str, key: str, content: bytes) -> None:
    s3.client().put_object(Bucket=bucket, Key=key, Body=content)


def statuses(report: Any) -> Counter[str]:
    return Counter(outcome.status for outcome in report.outcomes)


def gets(s3: S3Server, bucket: str, prefix: str = "") -> list[str]:
    return [request.key for request in s3.requests(bucket, "GetObject") if request.key.startswith(prefix)]


def test_warehouse_and_inputs_on_s3(tmp_path: Path, s3: S3Server) -> None:
    bucket = s3.new_bucket()
    home = warehouse(tmp_path, s3, bucket)
    put(s3, bucket, "logs/rennes/web1/access.log.gz", gzip.compress(lines(30, text="a")))
    put(s3, bucket, "logs/rennes/web2/access.log", lines(30, text="a"))
    put(s3, bucket, "logs/paris/web1/deep/er/access.log", lines(10, text="b"))
    pattern = f"s3://{bucket}/logs/{{site}}/{{source}}/**"
    assert statuses(home.load(pattern)) == {"loaded": 3}
    assert home.query("SELECT site, count(*) FROM t GROUP BY 1 ORDER BY 1") == [("paris", 10), ("rennes", 60)]
    assert {(record.site, record.source) for record in home.ledger().inputs.values()} == {
        ("rennes", "web1"),
        ("rennes", "web2"),
        ("paris", "web1"),
    }
    seen = gets(s3, bucket, "logs/")
    assert statuses(home.load(pattern)) == {"unchanged": 3}
    assert gets(s3, bucket, "logs/") == seen
    put(s3, bucket, "logs/rennes/web2/access.log", lines(40, text="a"))
    put(s3, bucket, "logs/paris/web1/deep/er/access.log", lines(5, text="other"))
    assert statuses(home.load(pattern)) == {"unchanged": 1, "grown": 1, "loaded": 1}
    assert len(home.texts()) == 30 + 40 + 10 + 5
    home.unload(*home.ledger().inputs)
    assert home.texts() == []


def test_an_object_replaced_between_listing_and_reading(tmp_path: Path, s3: S3Server) -> None:
    bucket = s3.new_bucket()
    home = warehouse(tmp_path, s3, bucket)
    put(s3, bucket, "a.log", lines(3))
    found = find_inputs([f"s3://{bucket}/a.log"], home.settings)
    put(s3, bucket, "a.log", lines(4))
    with pytest.raises(InputError, match="while it was being read: run the load again"):
        Loader(home.settings, home.dataset).run(Request(found, Options("s")))
    assert statuses(home.load(f"s3://{bucket}/a.log")) == {"loaded": 1}


@pytest.mark.no_cover  # the same lines a thousand times
@pytest.mark.parametrize("objects", [1_001, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_second_run_over_many_objects_reads_none(tmp_path: Path, s3: S3Server, objects: int) -> None:
    bucket = s3.new_bucket()
    client = s3.client()

    def put_one(number: int) -> None:
        body = f"{number * 7 * DAY // objects} a line of an object that is like no other one: {number}\n".encode()
        client.put_object(Bucket=bucket, Key=f"{number % 3}/host{number % 7}/{number:05}.log", Body=body)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(put_one, range(objects)))
    home = Home(tmp_path, **login(s3))
    pattern = f"s3://{bucket}/{{site}}/{{source}}/*.log"
    assert statuses(home.load(pattern)) == {"loaded": objects}
    assert len(set(gets(s3, bucket))) == len(gets(s3, bucket)) == objects, "each object is read once"
    assert home.query("SELECT count(*), count(DISTINCT _input), count(DISTINCT text) FROM t") == [(objects,) * 3]
    assert len(home.table().inspect.files()) == 7 * 3, "one file a day and site, however many inputs"
    assert statuses(home.load(pattern)) == {"unchanged": objects}
    assert len(gets(s3, bucket)) == objects
    operations = Counter(request.operation for request in s3.requests(bucket))
    assert operations.keys() == {"CreateBucket", "PutObject", "GetObject", "ListObjectsV2"}
    assert operations["ListObjectsV2"] == 2 * math.ceil(objects / 1_000)


def test_tls_with_an_authority_of_ones_own(
    tmp_path: Path, s3_tls: S3Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = s3_tls.new_bucket()
    home = warehouse(tmp_path, s3_tls, bucket)
    put(s3_tls, bucket, "logs/a.log", LINE.encode())
    home.load(home.write("local.log", lines(3)), f"s3://{bucket}/logs/a.log", max_rejects=1)
    assert len(home.texts()) == 3
    assert refusal(home, monkeypatch, capsys, f"s3://{bucket}/logs/a.log", LAKEHOUSE_S3_CA_FILE="").count("s3.ca_file") == 1
    monkeypatch.setenv("LAKEHOUSE_S3_CA_FILE", str(tmp_path / "missing.pem"))
    assert main(["load", "access_logs", f"s3://{bucket}/logs/a.log", "--site", "s"]) == 2
    assert "missing.pem" in capsys.readouterr().err


def refusal(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], location: str, **changed: str
) -> str:
    """What a load says that must fail, one sentence with exit code 1."""
    with monkeypatch.context() as patched:
        for name, value in home.settings.sources.items():
            if value.startswith("LAKEHOUSE_"):
                patched.setenv(value, str(home.settings[name]))
        for variable, text in changed.items():
            patched.setenv(variable, text)
        assert main(["load", "access_logs", location, "--site", "s"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("lakehouse: ")
    assert message.count("\n") == 1, message
    assert "Traceback" not in message
    return message


NOT_ACCEPTED = "the S3 server does not accept s3.access_key_id"
REFUSED = "the S3 server refuses: check that s3.access_key_id and s3.secret_access_key (or the AWS_* variables) are set"
UNREACHABLE = "cannot be reached: check s3.endpoint"
NO_LOGIN = {"LAKEHOUSE_S3_ACCESS_KEY_ID": "", "LAKEHOUSE_S3_SECRET_ACCESS_KEY": ""}
FAILURES: dict[str, tuple[dict[str, str], str, str]] = {
    "wrong secret": ({"LAKEHOUSE_S3_SECRET_ACCESS_KEY": "x" * 32}, NOT_ACCEPTED, REFUSED),
    "wrong key": ({"LAKEHOUSE_S3_ACCESS_KEY_ID": "nobody"}, NOT_ACCEPTED, NOT_ACCEPTED),
    "no credentials": (NO_LOGIN, "no S3 credentials: set s3.access_key_id", REFUSED),
    "unreachable": ({"LAKEHOUSE_S3_ENDPOINT": "http://127.0.0.1:9"}, UNREACHABLE, UNREACHABLE),
}
"""What is wrong, and what is said of it when an input is looked for and when the warehouse is written."""


@pytest.mark.parametrize("failure", FAILURES)
def test_what_goes_wrong(
    failure: str, tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed, of_input, of_warehouse = FAILURES[failure]
    home = Home(tmp_path, **login(s3))
    assert of_input in refusal(home, monkeypatch, capsys, f"s3://{s3.bucket}/a.log", **changed)
    home = warehouse(tmp_path, s3, s3.new_bucket())
    log = home.write("a.log", LINE.encode())
    assert of_warehouse in refusal(home, monkeypatch, capsys, str(log), **changed)


def test_missing_buckets_and_objects(
    tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path, **login(s3))
    assert "the bucket does not exist" in refusal(home, monkeypatch, capsys, "s3://no-such-bucket/a.log")
    assert "nothing matches: check the path" in refusal(home, monkeypatch, capsys, f"s3://{s3.bucket}/no/such.log")
    home = warehouse(tmp_path, s3, "no-such-bucket")
    log = home.write("a.log", LINE.encode())
    assert "the bucket does not exist" in refusal(home, monkeypatch, capsys, str(log))


def test_expired_credentials(
    tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with refusing(400, "ExpiredToken") as stub:
        home = Home(tmp_path, **login(s3))
        location = f"s3://{s3.bucket}/a.log"
        message = refusal(home, monkeypatch, capsys, location, LAKEHOUSE_S3_ENDPOINT=stub.endpoint)
        assert "the S3 credentials have expired: renew them" in message
        home = warehouse(tmp_path, s3, s3.bucket)
        log = home.write("a.log", LINE.encode())
        message = refusal(home, monkeypatch, capsys, str(log), LAKEHOUSE_S3_ENDPOINT=stub.endpoint)
        assert "the S3 server refuses: the credentials have expired" in message


@pytest.mark.parametrize("prefix", ["LAKEHOUSE_S3", "AWS"])
def test_a_session_token_reaches_every_client(prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.setenv(f"{prefix}_{name}", f"my-{name}".lower())
    with refusing(403, "AccessDenied") as stub:
        monkeypatch.setenv("LAKEHOUSE_S3_ENDPOINT", stub.endpoint)
        settings = load_settings()
        clients: dict[str, Callable[[], object]] = {
            "boto3": lambda: find_inputs(["s3://bucket/a.log"], settings),
            "arrow": lambda: Store(settings).read("s3://bucket/a"),
            "duckdb": lambda: engine.connect(settings).execute("FROM read_parquet('s3://bucket/a.parquet')"),
        }
        for name, ask in clients.items():
            stub.headers.clear()
            with pytest.raises(Exception, match=r"refuses|Forbidden|ACCESS_DENIED"):
                ask()
            sent = [{key.lower(): value for key, value in headers.items()} for headers in stub.headers]
            assert [headers["x-amz-security-token"] for headers in sent] == ["my-session_token"] * len(sent), name
            assert all("Credential=my-access_key_id/" in headers["authorization"] for headers in sent), name
            assert sent, name


def run_with(environment: dict[str, str], folder: Path, *commands: list[str]) -> str:
    """Output of commands in a fresh process that knows only this environment; fails unless each ends with 0."""
    code = "import json, sys\nfrom lakehouse.cli import main\nfor words in json.loads(sys.argv[1]):\n    assert main(words) == 0"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, json.dumps(commands)],
        env={"PATH": os.defpath, "HOME": str(folder), "AWS_EC2_METADATA_DISABLED": "true"} | environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def load_and_count(bucket: str) -> tuple[list[str], ...]:
    """Commands by which all three clients of S3 do something."""
    return (
        ["load", "access_logs", f"s3://{bucket}/logs/a.log", "--site", "s", "--json"],
        ["sql", "SELECT count(*) FROM access_logs", "--format", "csv"],
    )


@pytest.mark.parametrize("way", ["variables", "shared file", "process"])
def test_the_standard_ways_to_log_in(way: str, tmp_path: Path, s3: S3Server) -> None:
    bucket = s3.new_bucket()
    put(s3, bucket, "logs/a.log", LINE.encode())
    environment = {"LAKEHOUSE_WAREHOUSE": f"s3://{bucket}/warehouse", "AWS_ENDPOINT_URL": s3.endpoint, "AWS_REGION": s3.region}
    keys = {"aws_access_key_id": s3.access_key, "aws_secret_access_key": s3.secret_key}
    folder = tmp_path / ".aws"
    folder.mkdir()
    if way == "variables":
        environment |= {name.upper(): value for name, value in keys.items()}
    elif way == "shared file":
        content = "".join(f"{name} = {value}\n" for name, value in keys.items())
        (folder / "credentials").write_text(f"[work]\n{content}")
        (folder / "config").write_text("[profile work]\n")
        environment["AWS_PROFILE"] = "work"
    else:
        (folder / "config").write_text(f"[default]\ncredential_process = /bin/cat {key_answer(tmp_path, s3.secret_key, s3)}\n")
    assert run_with(environment, tmp_path, *load_and_count(bucket)).endswith("\ncount_star()\n1\n")


def key_answer(folder: Path, secret: str, s3: S3Server) -> Path:
    """What a `credential_process` prints; its keys end so soon that boto3 asks again before each use."""
    expiration = datetime.now(UTC) + timedelta(minutes=5)
    answer = {"Version": 1, "AccessKeyId": s3.access_key, "SecretAccessKey": secret, "Expiration": expiration.isoformat()}
    path = folder / "answer.json"
    path.write_text(json.dumps(answer))
    return path


def test_keys_that_expire_are_renewed(tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    put(s3, s3.bucket, "renewed/a.parquet", b"")
    answer = key_answer(tmp_path, "of yesterday", s3)
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = /bin/cat {answer}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    settings = load_settings({"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_S3_ENDPOINT": s3.endpoint})
    location = f"s3://{s3.bucket}/renewed/a.parquet"
    with engine.connect(settings) as connection:
        glob = f"SELECT count(*) FROM glob('{location}*')"
        with pytest.raises(InputError, match="does not accept"):
            find_inputs([location], settings)
        with pytest.raises(duckdb.Error):
            connection.execute(glob)
        key_answer(tmp_path, s3.secret_key, s3)
        assert len(find_inputs([location], settings)) == 1
        engine.renew_credentials(connection, settings)
        assert connection.execute(glob).fetchone() == (1,)


@pytest.mark.parametrize("way", ["variables", "file"])
def test_pyicebergs_own_configuration(way: str, tmp_path: Path, s3: S3Server) -> None:
    bucket = s3.new_bucket()
    put(s3, bucket, "logs/a.log", LINE.encode())
    catalog = {
        "uri": f"sqlite:///{tmp_path}/elsewhere.db",
        "type": "sql",
        "warehouse": f"s3://{bucket}/warehouse",
        "s3.endpoint": s3.endpoint,
        "s3.region": s3.region,
        "s3.access-key-id": s3.access_key,
        "s3.secret-access-key": s3.secret_key,
    }
    environment: dict[str, str] = {}
    if way == "variables":
        environment = {
            f"PYICEBERG_CATALOG__LAKEHOUSE__{key.upper().replace('.', '__').replace('-', '_')}": value
            for key, value in catalog.items()
        }
    else:
        content = "".join(f"    {key}: {value}\n" for key, value in catalog.items())
        (tmp_path / ".pyiceberg.yaml").write_text(f"catalog:\n  lakehouse:\n{content}")
    output = run_with(environment, tmp_path, *load_and_count(bucket), ["config", "--json"])
    assert "count_star()\n1\n" in output
    assert (tmp_path / "elsewhere.db").exists()
    assert "pyiceberg" in json.loads(output.splitlines()[-1])["s3.endpoint"]["source"]
    assert s3.secret_key not in output
    keys = [item["Key"] for item in s3.client().list_objects_v2(Bucket=bucket, Prefix="warehouse/")["Contents"]]
    assert any(key.startswith("warehouse/lakehouse/access_logs/data/") for key in keys)
