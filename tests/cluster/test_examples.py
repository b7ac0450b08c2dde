"""Each values file of helm/lakehouse/examples, installed next to servers that stand for the outside, works the same."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import outside
from tests.cluster.conftest import landing_client, restricted_namespace, s3_client
from tests.cluster.node.certificates import Authority
from tests.cluster.outside_servers import OutsideServers
from tests.cluster.tables import SOURCES, Installed, TableTests
from tests.cluster.test_refused import command_line
from tests.cluster.tools import CHARTS, Cluster, CommandFailedError, Release, all_ready, build_dependencies, until

pytestmark = [pytest.mark.cluster, pytest.mark.long]
EXAMPLES = CHARTS / "lakehouse" / "examples"


@pytest.fixture(scope="module")
def servers(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutsideServers]:
    """A namespace for what is not the release's."""
    servers = OutsideServers(cluster, tmp_path_factory.mktemp("outside"))
    yield servers
    servers.remove()


def install(release: Release, examples: Sequence[str], folder: Path) -> None:
    """Install the examples' values, SOURCES, and no more of Trino than a coordinator, and wait until all pods are ready."""
    small: dict[str, Any] = {"loader": {"sources": SOURCES}, "trino": {"worker": {"replicas": 0}}}
    if "external-postgresql" not in examples:  # one of them tells how Superset gets on with what is outside
        small["superset"] = {"enabled": False}
    own = folder / "own.json"
    own.write_text(json.dumps(small), encoding="utf-8")
    values = [option for file in (*(EXAMPLES / f"{name}.yaml" for name in examples), own) for option in ("--values", str(file))]
    build_dependencies(release.cluster)
    release.cluster.helm(
        "upgrade", "--install", release.name, str(CHARTS / "lakehouse"), "--namespace", release.namespace, *values
    )
    until(lambda: all_ready(release), "all pods ready")


def certificate(folder: Path, release: Release) -> None:
    """A new authority's certificate for Trino, in the Secret that the example names; what was there before is replaced."""
    names = ("localhost", *(f"{release.name}-trino{rest}" for rest in ("", f".{release.namespace}", f".{release.namespace}.svc")))
    Authority(folder).issue("tls", "trino", names=names)
    files = [f"--from-file={name}" for name in (f"{folder}/tls.crt", f"{folder}/tls.key", f"{folder}/ca.crt")]
    secret = release.kubectl("create", "secret", "generic", "trino-certificate", *files, "--dry-run=client", "--output=yaml")
    release.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", text=secret)


class TestEverythingOutside(TableTests):
    """A metastore on somebody else's PostgreSQL and object store, and a certificate that is given."""

    EXAMPLES = ("external-postgresql", "external-s3", "tls-given")

    @pytest.fixture(scope="class")
    @classmethod
    def release(cls, cluster: Cluster, servers: OutsideServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
        with restricted_namespace(cluster, "outside-all") as release:
            servers.start_s3()
            servers.start_postgresql()
            servers.hand_out(release, "external-s3-loader", "external-s3-trino")
            servers.hand_out_postgresql(release)
            certificate(tmp_path_factory.mktemp("certificate"), release)
            install(release, cls.EXAMPLES, tmp_path_factory.mktemp("values"))
            yield release

    @pytest.fixture(scope="class")
    @classmethod
    def installed(cls, release: Release, servers: OutsideServers) -> Iterator[Installed]:
        with servers.s3_port() as port:
            store = outside.object_store(port, *servers.users["loader"], servers.authority)
            yield Installed(
                release, s3_client(port, *servers.root, servers.authority), partial(outside.metastore, release, store)
            )

    def test_no_server_of_ours_holds_data(self, installed: Installed) -> None:
        assert not installed.release.objects("statefulsets")
        assert not installed.release.objects("persistentvolumeclaims")

    def test_postgresql_is_asked_over_tls_only(self, installed: Installed, servers: OutsideServers) -> None:
        with pytest.raises(CommandFailedError, match="no encryption"):
            servers.psql("host=127.0.0.1 sslmode=disable", "SELECT 1")
        sessions = servers.psql(
            "", "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL"
        )
        assert sessions.split() == ["t"]

    def test_the_given_certificate_and_its_successor(self, installed: Installed, tmp_path: Path) -> None:
        release = installed.release

        login = ("--server=https://localhost:8443", "--user=admin", "--password")
        trusted = (*login, "--truststore-path=/etc/trino/tls/ca.crt")
        password = release.secret("trino-users", "admin")
        assert '"1"' in command_line(release, *trusted, password=password)
        with pytest.raises(CommandFailedError, match=r"unable to find valid certification path|PKIX"):
            command_line(release, *login, password=password)
        before = self.pods(release)
        certificate(tmp_path, release)
        install(release, self.EXAMPLES, tmp_path)
        assert not self.pods(release) & before
        assert '"1"' in command_line(release, *trusted, password=password)

    @staticmethod
    def pods(release: Release) -> set[str]:
        return {pod["metadata"]["uid"] for pod in release.objects("pods", "app.kubernetes.io/name=trino")}


class TestCatalogInPostgresql(TableTests):
    """No metastore: PostgreSQL itself is the catalog."""

    @pytest.fixture(scope="class")
    @classmethod
    def release(cls, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
        with restricted_namespace(cluster, "catalog-jdbc") as release:
            install(release, ("catalog-jdbc",), tmp_path_factory.mktemp("values"))
            yield release

    @pytest.fixture(scope="class")
    @classmethod
    def installed(cls, release: Release) -> Iterator[Installed]:
        with landing_client(release) as landing:
            yield Installed(release, landing, partial(outside.postgresql, release))


class TestRestCatalog(TableTests):
    """The catalog is somebody else's REST server, the object store somebody else's too."""

    @pytest.fixture(scope="class")
    @classmethod
    def release(cls, cluster: Cluster, servers: OutsideServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
        with restricted_namespace(cluster, "catalog-rest") as release:
            servers.start_s3()
            servers.start_nessie()
            servers.hand_out(release, "external-s3-loader", "external-s3-trino")
            install(release, ("external-s3", "catalog-rest"), tmp_path_factory.mktemp("values"))
            yield release

    @pytest.fixture(scope="class")
    @classmethod
    def installed(cls, release: Release, servers: OutsideServers) -> Iterator[Installed]:
        with servers.s3_port() as s3, servers.nessie_port() as port:
            store = outside.object_store(s3, *servers.users["loader"], servers.authority)
            yield Installed(release, s3_client(s3, *servers.root, servers.authority), partial(outside.rest, port, store))
