"""The lakehouse of the cluster as a program outside sees it, through forwarded ports."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyiceberg.catalog import Catalog, load_catalog

from tests.cluster.tools import Release


@contextmanager
def metastore(release: Release) -> Iterator[Catalog]:
    """The catalog of the metastore, with the loader's rights on the object store."""
    thrift_port = release.port_forward(f"svc/{release.name}-metastore", 9083)
    s3_port = release.port_forward(f"svc/{release.name}-minio", 9000)
    with thrift_port as thrift, s3_port as s3:
        yield load_catalog(
            "outside",
            **{
                "py-catalog-impl": "lakehouse.hive.CompareAndSetCatalog",
                "uri": f"thrift://127.0.0.1:{thrift}",
                "s3.endpoint": f"http://127.0.0.1:{s3}",
                "s3.region": "us-east-1",
                "s3.access-key-id": release.secret("minio-loader", "access-key"),
                "s3.secret-access-key": release.secret("minio-loader", "secret-key"),
            },
        )
