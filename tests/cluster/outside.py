"""The catalogs of the cluster as a program outside sees them, through forwarded ports."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyarrow.fs import AwsStandardS3RetryStrategy
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.io import S3_RETRY_STRATEGY_IMPL, FileIO
from pyiceberg.typedef import EMPTY_DICT, Properties
from sqlalchemy import Engine, create_engine
from trino.auth import BasicAuthentication
from trino.dbapi import Connection

from lakehouse.settings import Settings, load_settings
from lakehouse.storage import CA_FILE, LakehouseFileIO
from tests.cluster.tools import Release

OUTSIDE = "outside.s3-endpoint"
"""Property with the forwarded address: the server overrides the usual one."""


class Patient(AwsStandardS3RetryStrategy):  # type: ignore[misc]
    """Tries long enough for `kubectl port-forward` to be started again; pyarrow's own attempts end sooner."""

    def __init__(self) -> None:
        super().__init__(max_attempts=8)


class ForwardedRestCatalog(RestCatalog):
    """A REST catalog that tells its clients the object store's address inside the cluster, asked from outside."""

    def _load_file_io(self, properties: Properties = EMPTY_DICT, location: str | None = None) -> FileIO:
        return super()._load_file_io({**properties, "s3.endpoint": self.properties[OUTSIDE]}, location)


def object_store(port: int, access_key: str, secret_key: str, authority: Path | None = None) -> dict[str, str]:
    """An object store behind a forwarded port, as pyiceberg wants it; over TLS, if an authority is given."""
    described = {
        "s3.region": "us-east-1",
        "s3.access-key-id": access_key,
        "s3.secret-access-key": secret_key,
        S3_RETRY_STRATEGY_IMPL: f"{__name__}.{Patient.__name__}",
    }
    if authority is None:
        return {**described, "s3.endpoint": f"http://127.0.0.1:{port}"}
    file_io = f"{LakehouseFileIO.__module__}.{LakehouseFileIO.__name__}"
    return {**described, "s3.endpoint": f"https://127.0.0.1:{port}", "py-io-impl": file_io, CA_FILE: str(authority)}


def own_store(release: Release, port: int) -> dict[str, str]:
    """The release's own object store behind a forwarded port, with the loader's keys."""
    return object_store(port, release.secret("minio-loader", "access-key"), release.secret("minio-loader", "secret-key"))


@contextmanager
def metastore(release: Release, store: dict[str, str] | None = None) -> Iterator[Catalog]:
    """The catalog of the release's metastore, with its tables in the release's own object store unless another is given."""
    with release.port_forward(f"svc/{release.name}-metastore", 9083) as thrift:
        described = {"py-catalog-impl": "lakehouse.hive.CompareAndSetCatalog", "uri": f"thrift://127.0.0.1:{thrift}"}
        if store is not None:
            yield load_catalog("outside", **described, **store)
            return
        with release.port_forward(f"svc/{release.name}-minio", 9000) as s3:
            yield load_catalog("outside", **described, **own_store(release, s3))


@contextmanager
def postgresql(release: Release) -> Iterator[Catalog]:
    """The catalog in the release's PostgreSQL, with its tables in the release's object store."""
    user, password = (release.secret("postgresql-catalog", key) for key in ("username", "password"))
    database = release.port_forward(f"svc/{release.name}-postgresql", 5432)
    with database as port, release.port_forward(f"svc/{release.name}-minio", 9000) as s3:
        catalog = load_catalog(
            "lakehouse",
            type="sql",
            uri=f"postgresql+psycopg2://{user}:{password}@127.0.0.1:{port}/catalog",
            **own_store(release, s3),
        )
        try:
            yield catalog
        finally:
            catalog.close()


@contextmanager
def rest(port: int, store: dict[str, str]) -> Iterator[Catalog]:
    """The catalog of a REST server behind a forwarded port."""
    yield load_catalog(
        "outside",
        uri=f"http://127.0.0.1:{port}/iceberg",
        warehouse="s3://warehouse",
        **{"py-catalog-impl": f"{__name__}.{ForwardedRestCatalog.__name__}", OUTSIDE: store["s3.endpoint"]},
        **store,
    )


@contextmanager
def query_engine(release: Release, user: str, place: str, folder: Path) -> Iterator[Engine]:
    """Trino behind the address that dashboards use, over TLS.

    Args:
        release: where.
        user: to log in as.
        place: catalog and schema, as `hive/default`.
        folder: for the certificate of Trino's authority.
    """
    with _trusted(release, folder) as (port, authority):
        address = f"trino://{user}:{release.secret('trino-users', user)}@localhost:{port}/{place}"
        engine = create_engine(address, connect_args={"http_scheme": "https", "verify": str(authority)})
        try:
            yield engine
        finally:
            engine.dispose()


@contextmanager
def trino_connection(release: Release, user: str, ask_as: str = "") -> Iterator[Connection]:
    """A connection of Trino's client, logged in as one user and, maybe, asking in the name of another."""
    way = release.way_to_trino()
    with _no_other_authority():
        yield Connection(
            host=f"https://localhost:{way.port}",
            user=ask_as or user,
            auth=BasicAuthentication(user, way.passwords[user]),
            verify=str(way.authority),
            catalog="iceberg",
            schema="lakehouse",
        )


@contextmanager
def outside_settings(release: Release, folder: Path, **environment: str) -> Iterator[Settings]:
    """Settings of the lakehouse package on this machine for the lakehouse in the cluster."""
    metastore, store = (
        release.port_forward(f"svc/{release.name}-{part}", port) for part, port in (("metastore", 9083), ("minio", 9000))
    )
    with metastore as thrift, store as s3, _trusted(release, folder) as (trino, authority):
        yield load_settings(
            {
                "HOME": str(folder),
                "LAKEHOUSE_HOME": str(folder / "home"),
                "LAKEHOUSE_WAREHOUSE": "s3://warehouse",
                "LAKEHOUSE_CATALOG_TYPE": "hive",
                "LAKEHOUSE_CATALOG_URI": f"thrift://127.0.0.1:{thrift}",
                "LAKEHOUSE_S3_ENDPOINT": f"http://127.0.0.1:{s3}",
                "LAKEHOUSE_S3_REGION": "us-east-1",
                "LAKEHOUSE_S3_ACCESS_KEY_ID": release.secret("minio-loader", "access-key"),
                "LAKEHOUSE_S3_SECRET_ACCESS_KEY": release.secret("minio-loader", "secret-key"),
                "LAKEHOUSE_TRINO_URI": f"https://localhost:{trino}",
                "LAKEHOUSE_TRINO_USER": "writer",
                "LAKEHOUSE_TRINO_PASSWORD": release.secret("trino-users", "writer"),
                "LAKEHOUSE_TRINO_CA_FILE": str(authority),
                **environment,
            }
        )


@contextmanager
def _trusted(release: Release, folder: Path) -> Iterator[tuple[int, Path]]:
    """A port that leads to Trino's TLS, and the file to check its certificate with."""
    authority = folder / "ca.crt"
    authority.write_text(release.secret("trino-tls", "ca.crt"), encoding="utf-8")
    with release.port_forward(f"svc/{release.name}-trino", 8443) as port, _no_other_authority():
        yield port, authority


@contextmanager
def _no_other_authority() -> Iterator[None]:
    """Without the variables that, where they are set, override what a connection says."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("REQUESTS_CA_BUNDLE", raising=False)
        environment.delenv("CURL_CA_BUNDLE", raising=False)
        yield
