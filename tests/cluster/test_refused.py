"""What is refused, and to whom: a test that expects a refusal also sees that the same is allowed to somebody else."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.cluster.conftest import s3_client
from tests.cluster.tools import CommandFailedError, Release

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def guarded(release: Release) -> Release:
    """The release with a table that has a private column, and one that holds rejects."""
    release.trino("CREATE SCHEMA IF NOT EXISTS guarded")
    release.trino("CREATE TABLE IF NOT EXISTS guarded.visits AS SELECT 1 AS id, '192.0.2.1' AS client_ip")
    release.trino("CREATE TABLE IF NOT EXISTS guarded.visits_rejects AS SELECT 'raw line' AS text")
    return release


def in_trino(release: Release, component: str, *command: str) -> str:
    """What a command prints in a pod of Trino."""
    return release.kubectl("exec", f"deploy/{release.name}-trino-{component}", "--container", "trino", "--", *command)


def command_line(
    release: Release, *arguments: str, password: str | None = None, sql: str = "SELECT 1", component: str = "coordinator"
) -> str:
    """Run the Trino CLI in a pod of Trino as somebody who knows no more than what is given."""
    environment = ["env", f"TRINO_PASSWORD={password}"] if password is not None else []
    return in_trino(release, component, *environment, "trino", *arguments, "--execute", sql)


def status(release: Release, component: str, request: str) -> str:
    """The status of the answer to a request, curl's arguments, that is made in a pod of Trino."""
    curl = "curl --silent --output /dev/null --write-out '%{http_code}'"
    return in_trino(release, component, "sh", "-c", f"{curl} {request}")


TLS = ("--server=https://localhost:8443", "--truststore-path=/etc/trino/tls/ca.crt")
CURL_TLS = "--cacert /etc/trino/tls/ca.crt https://localhost:8443"


def test_nobody_without_the_password(guarded: Release) -> None:
    right = guarded.secret("trino-users", "admin")
    assert '"1"' in command_line(guarded, *TLS, "--user=admin", "--password", password=right)
    with pytest.raises(CommandFailedError, match=r"Authentication failed|Unauthorized"):
        command_line(guarded, *TLS, "--user=admin")
    with pytest.raises(CommandFailedError, match="Invalid credentials"):
        command_line(guarded, *TLS, "--user=admin", "--password", password="wrong")
    with pytest.raises(CommandFailedError, match="Invalid credentials"):
        command_line(guarded, *TLS, "--user=nobody", "--password", password=right)


def test_nobody_over_plain_http(guarded: Release) -> None:
    # Policies let only Trino's own pods in to the port; this is what it says to who gets past them.
    for component, host in (("coordinator", "localhost"), ("worker", f"{guarded.name}-trino")):
        with pytest.raises(CommandFailedError, match=r"403|Forbidden|not enabled"):
            command_line(guarded, f"--server=http://{host}:8080", "--user=admin", component=component)


def test_a_forged_header_does_not_make_http_secure(guarded: Release) -> None:
    query = f"--data 'SELECT 1' --user admin:{guarded.secret('trino-users', 'admin')}"
    forged = "--header 'X-Forwarded-Proto: https' http://localhost:8080"
    assert status(guarded, "coordinator", f"{query} {forged}/v1/statement") == "406"  # the header itself is not accepted
    assert status(guarded, "coordinator", f"{query} {CURL_TLS}/v1/statement") == "200"


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO guarded.visits VALUES (2, 'x')",
        "DELETE FROM guarded.visits",
        "UPDATE guarded.visits SET id = 3",
        "DROP TABLE guarded.visits",
        "ALTER TABLE guarded.visits ADD COLUMN more integer",
        "CREATE TABLE guarded.more (id integer)",
        "CREATE SCHEMA more",
        "CREATE VIEW guarded.all_visits AS SELECT id FROM guarded.visits",
        "CALL iceberg.system.unregister_table('guarded', 'visits')",
        "SELECT client_ip FROM guarded.visits",
        "SELECT * FROM guarded.visits",
        "SELECT count(*) FROM guarded.visits WHERE client_ip LIKE '192%'",
        "SELECT text FROM guarded.visits_rejects",
        'SELECT * FROM guarded."visits$files"',
        'SELECT * FROM guarded."visits$history"',
    ],
)
def test_an_analyst_neither_writes_nor_reads_what_is_closed(guarded: Release, sql: str) -> None:
    assert guarded.trino("SELECT id FROM guarded.visits", user="analyst") == [[1]]
    with pytest.raises(CommandFailedError, match="Access Denied"):
        guarded.trino(sql, user="analyst")


def test_who_may_call_what(guarded: Release) -> None:
    """Trino denies a call that no rule allows, also to an admin."""
    end = "CALL system.runtime.kill_query(query_id => '20260101_000000_00000_aaaaa', message => '')"
    unregister = "CALL iceberg.system.unregister_table('guarded', 'nothing')"
    refused = {("writer", end), ("analyst", end), ("analyst", unregister)}
    for user in ("admin", "writer", "analyst"):
        for call in (end, unregister):
            # There is neither such a query nor such a table: who may call is told that.
            told = "Access Denied" if (user, call) in refused else "not found"
            with pytest.raises(CommandFailedError, match=f"(?i){told}"):
                guarded.trino(call, user=user)


def test_queries_are_seen_and_ended_by_who_asked_and_by_an_admin(guarded: Release) -> None:
    asked = {user: f"SELECT 'asked by {user}'" for user in ("admin", "analyst")}
    for user, sql in asked.items():
        guarded.trino(sql, user=user)

    def seen(user: str) -> dict[str, str]:
        rows = guarded.trino("SELECT query, query_id FROM system.runtime.queries", user=user)
        return {sql: query for sql, query in rows if sql in asked.values()}

    queries = seen("admin")
    assert queries.keys() == set(asked.values())
    assert seen("analyst") == {asked["analyst"]: queries[asked["analyst"]]}
    # Whether a query may be ended is asked before whether it still runs.
    for user, owner, told in (
        ("analyst", "admin", ("403", "403")),
        ("writer", "admin", ("403", "403")),
        ("analyst", "analyst", ("200", "204")),
        ("admin", "analyst", ("200", "204")),
    ):
        address = f"--user {user}:{guarded.secret('trino-users', user)} {CURL_TLS}/v1/query/{queries[asked[owner]]}"
        answers = tuple(status(guarded, "coordinator", f"--request {method} {address}") for method in ("GET", "DELETE"))
        assert answers == told, (user, owner)


def test_private_columns_are_closed_in_every_catalog(configured: Release) -> None:
    """Also in one that was added: files that others wrote may hold such columns too."""
    options = "external_location = 's3://warehouse/visits_of_others', format = 'PARQUET'"
    configured.trino(
        f"CREATE TABLE visits_of_others WITH ({options}) AS SELECT 1 AS id, '192.0.2.1' AS client_ip",
        catalog="hive",
        schema="default",
    )
    for table in ("hive.default.visits_of_others", "flat.default.visits_of_others"):
        assert configured.trino(f"SELECT client_ip FROM {table}") == [["192.0.2.1"]]
        assert configured.trino(f"SELECT id FROM {table}", user="analyst") == [[1]]
        for columns in ("client_ip", "*"):
            with pytest.raises(CommandFailedError, match="Access Denied"):
                configured.trino(f"SELECT {columns} FROM {table}", user="analyst")
    # What has no such column is read whole.
    assert len(configured.trino("SELECT * FROM tpch.tiny.region", user="analyst")) == 5
    assert configured.trino("SELECT * FROM system.runtime.queries", user="analyst")


def test_a_writer_writes_and_does_not_administer(guarded: Release) -> None:
    guarded.trino("CREATE TABLE guarded.written (id integer)", user="writer")
    guarded.trino("INSERT INTO guarded.written VALUES (1)", user="writer")
    guarded.trino("DROP TABLE guarded.written", user="writer")
    with pytest.raises(CommandFailedError, match="Access Denied"):
        guarded.trino("CREATE TABLE tpch.sf1.more (id integer)", user="writer")


@pytest.mark.parametrize("user", ["", "analyst", "writer"])
def test_a_pod_cannot_end_trino(guarded: Release, user: str) -> None:
    password = guarded.secret("trino-users", user) if user else ""
    login = f"--user {user}:{password}" if user else "--header 'X-Trino-User: admin'"
    end = f"--request PUT --data '\"SHUTTING_DOWN\"' --header 'Content-Type: application/json' {login}"
    worker = guarded.objects("pods", "app.kubernetes.io/component=worker")[0]["status"]["podIP"]
    # Policies let the coordinator in to the worker's plain port only; the one with TLS is asked from within.
    for component, address in (("coordinator", f"http://{worker}:8080"), ("worker", CURL_TLS), ("coordinator", CURL_TLS)):
        assert status(guarded, component, f"{end} {address}/v1/info/state") in ("401", "403")


KEY = "rights/there"
DEEDS: dict[str, Callable[[Any, str], object]] = {
    "list": lambda client, bucket: client.list_objects_v2(Bucket=bucket),
    "get": lambda client, bucket: client.get_object(Bucket=bucket, Key=KEY)["Body"].read(),
    "put": lambda client, bucket: client.put_object(Bucket=bucket, Key=KEY, Body=b"x"),
    "delete": lambda client, bucket: client.delete_object(Bucket=bucket, Key="rights/not-there"),
}
NOTHING: set[str] = set()
READ = {"list", "get"}
WRITE = {*READ, "put", "delete"}
RIGHTS = {
    ("loader", "warehouse"): WRITE,
    ("loader", "landing"): READ,
    ("loader", "exchange"): NOTHING,
    ("trino", "warehouse"): WRITE,
    ("trino", "landing"): READ,
    ("trino", "exchange"): WRITE,
    ("dashboards", "warehouse"): READ,
    ("dashboards", "landing"): NOTHING,
    ("dashboards", "exchange"): NOTHING,
    ("landing", "warehouse"): NOTHING,
    ("landing", "landing"): WRITE,
    ("landing", "exchange"): NOTHING,
}


@pytest.fixture(scope="module")
def store(release: Release) -> Iterator[int]:
    """A port that leads to the object store, which has an object in every bucket for as long."""
    with release.port_forward(f"svc/{release.name}-minio", 9000) as port:
        administrator = s3_client(port, release.secret("minio", "username"), release.secret("minio", "password"))
        buckets = {bucket for _, bucket in RIGHTS}
        for bucket in buckets:
            administrator.put_object(Bucket=bucket, Key=KEY, Body=b"x")
        yield port
        for bucket in buckets:
            administrator.delete_object(Bucket=bucket, Key=KEY)


def key_of(release: Release, user: str, port: int) -> Any:
    """A client of the object store with the keys of a user."""
    return s3_client(port, release.secret(f"minio-{user}", "access-key"), release.secret(f"minio-{user}", "secret-key"))


def allowed(deed: Callable[[], object]) -> bool:
    """Whether the object store does what it is asked for."""
    try:
        deed()
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


@pytest.mark.parametrize(("user", "bucket"), RIGHTS)
def test_the_rights_of_a_key(release: Release, store: int, user: str, bucket: str) -> None:
    client = key_of(release, user, store)
    assert {name for name, deed in DEEDS.items() if allowed(partial(deed, client, bucket))} == RIGHTS[user, bucket]


@pytest.mark.parametrize("user", sorted({user for user, _ in RIGHTS}))
def test_no_key_makes_buckets(release: Release, store: int, user: str) -> None:
    client = key_of(release, user, store)
    assert not allowed(lambda: client.create_bucket(Bucket="more"))
