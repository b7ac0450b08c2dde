"""Servers that stand for the outside in the tests of the charts: PostgreSQL, an object store and a REST catalog."""

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import images
from tests.cluster.conftest import make_namespace, s3_client
from tests.cluster.node.certificates import Authority
from tests.cluster.tools import PROJECT, Cluster, Release

NAMESPACE = "outside"
HERE = Path(__file__).parent
RIGHTS = PROJECT / "docs" / "deploy" / "external-s3.md"
HOST = f"{{}}.{NAMESPACE}.svc.cluster.local"
PORT = 7070
"""Of the object store."""


class OutsideServers:
    """The servers, started when they are asked for.

    Args:
        cluster: where they run, in a namespace of their own.
        folder: for keys and certificates.
    """

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self._authority = Authority(folder)
        self.authority = folder / "ca.crt"
        self._password = secrets.token_hex(16)
        self._started: set[str] = set()
        self.root = ("root", secrets.token_hex(16))
        self.users = {user: (user, secrets.token_hex(16)) for user in ("loader", "trino")}
        make_namespace(cluster, NAMESPACE)

    def remove(self) -> None:
        """End all of them and what they hold."""
        self._cluster.kubectl("delete", "namespace", NAMESPACE)

    def start_s3(self) -> None:
        """An object store with the buckets `warehouse` and `landing`, and users with the rights that the docs tell."""
        if "versitygw" in self._started:
            return
        self._secret(NAMESPACE, "versitygw", *self.root)
        self._secret(NAMESPACE, "external-s3-trino", *self.users["trino"])
        self._certificate("versitygw")
        self._start("versitygw")
        access_key, secret_key = self.root
        endpoint = (f"--endpoint-url=https://localhost:{PORT}", "--allow-insecure")
        admin = ("versitygw", "admin", *endpoint, "--access", access_key, "--secret", secret_key)
        for user, secret in self.users.values():
            self._exec("versitygw", *admin, "create-user", "--access", user, "--secret", secret, "--role", "user")
        with self.s3_port() as port:
            client = s3_client(port, *self.root, self.authority)
            for bucket, policy in _bucket_policies().items():
                client.create_bucket(Bucket=bucket)
                client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))

    def start_postgresql(self) -> None:
        """A PostgreSQL that takes connections over TLS only."""
        self._certificate("postgresql")
        self._kubectl("create", "secret", "generic", "postgresql", f"--from-literal=password={self._password}")
        self._start("postgresql")
        self.psql("", f"CREATE ROLE superset LOGIN PASSWORD '{self._password}'")
        self.psql("", "CREATE DATABASE superset OWNER superset")

    def start_nessie(self) -> None:
        """A REST catalog over the object store, with Trino's rights there."""
        self._start("nessie")

    def hand_out(self, release: Release, *names: str) -> None:
        """Give the release Secrets `external-s3-USER` with a user's keys of the object store, and its authority."""
        for name in names:
            self._secret(release.namespace, name, *self.users[name.removeprefix("external-s3-")])
        release.kubectl("create", "secret", "generic", "external-s3-authority", f"--from-file={self.authority}")

    def hand_out_postgresql(self, release: Release) -> None:
        """Give the release the passwords of PostgreSQL, and the authority that signed its certificate."""
        for user, name in (("metastore", "external-postgresql"), ("superset", "external-postgresql-superset")):
            values = (f"--from-literal=username={user}", f"--from-literal=password={self._password}")
            release.kubectl("create", "secret", "generic", name, *values)
        release.kubectl("create", "configmap", "external-postgresql", f"--from-file={self.authority}")

    def psql(self, connection: str, sql: str) -> str:
        """What PostgreSQL answers a client in its own pod."""
        address = f"{connection} user=metastore dbname=metastore password={self._password}"
        return self._exec("postgresql", "psql", address, "--tuples-only", "--no-align", "--command", sql)

    @contextmanager
    def s3_port(self) -> Iterator[int]:
        """A port of the loopback interface that leads to the object store."""
        with self._cluster.port_forward(NAMESPACE, "svc/versitygw", PORT) as port:
            yield port

    @contextmanager
    def nessie_port(self) -> Iterator[int]:
        """A port of the loopback interface that leads to the REST catalog."""
        with self._cluster.port_forward(NAMESPACE, "svc/nessie", 19120) as port:
            yield port

    def _start(self, name: str) -> None:
        if name in images.TEST_IMAGES:
            self._cluster.load_image(images.archive(name))
        self._kubectl("apply", "--filename", str(HERE / f"{name}.yaml"))
        self._kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=300s")
        self._started.add(name)

    def _certificate(self, server: str) -> None:
        self._authority.issue(server, server, names=(HOST.format(server), "localhost"), addresses=("127.0.0.1",))
        files = [f"--from-file=tls.{kind}={self._folder}/{server}.{kind}" for kind in ("crt", "key")]
        self._kubectl("create", "secret", "generic", f"{server}-certificate", *files, f"--from-file={self.authority}")

    def _secret(self, namespace: str, name: str, access_key: str, secret_key: str) -> None:
        keys = (f"--from-literal=access-key={access_key}", f"--from-literal=secret-key={secret_key}")
        self._cluster.kubectl("--namespace", namespace, "create", "secret", "generic", name, *keys)

    def _exec(self, pod: str, *command: str) -> str:
        return self._kubectl("exec", pod, "--", *command)

    def _kubectl(self, *arguments: str) -> str:
        return self._cluster.kubectl("--namespace", NAMESPACE, *arguments)


def _bucket_policies() -> dict[str, dict[str, object]]:
    """Policies by bucket, made of those by user that the documentation shows: the server knows no others."""
    policies: dict[str, list[dict[str, object]]] = {}
    shown = re.findall(r'```json title="(\w+)"\n(.*?)```', RIGHTS.read_text(encoding="utf-8"), re.DOTALL)
    assert [user for user, _ in shown] == ["loader", "trino"]
    for user, text in shown:
        for statement in json.loads(text)["Statement"]:
            for resource in statement["Resource"]:
                bucket = resource.removeprefix("arn:aws:s3:::").partition("/")[0]
                rule = {**statement, "Resource": [resource], "Principal": {"AWS": [user]}}
                policies.setdefault(bucket, []).append(rule)
    return {bucket: {"Version": "2012-10-17", "Statement": rules} for bucket, rules in policies.items()}
