"""The settings of S3 reach all three clients: pyiceberg's, DuckDB's and boto3's."""

import re
from pathlib import Path

import pytest

from lakehouse.engines import duckdb as engine
from lakehouse.settings import Settings, load_settings
from lakehouse.storage import iceberg_properties, s3_client


def made(folder: Path, **changed: str) -> Settings:
    return load_settings(
        {
            "HOME": str(folder),
            "LAKEHOUSE_HOME": str(folder),
            "LAKEHOUSE_S3_ENDPOINT": "http://s3.example.org",
            "LAKEHOUSE_S3_ACCESS_KEY_ID": "key",
            "LAKEHOUSE_S3_SECRET_ACCESS_KEY": "secret",
            **changed,
        }
    )


@pytest.mark.parametrize(
    ("path_style", "address", "virtual", "style"),
    [("true", "http://s3.example.org/bucket/a", None, "path"), ("false", "http://bucket.s3.example.org/a", "true", "vhost")],
)
def test_path_style(path_style: str, address: str, virtual: str | None, style: str, tmp_path: Path) -> None:
    settings = made(tmp_path, LAKEHOUSE_S3_PATH_STYLE=path_style)
    url = s3_client(settings).generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "a"})
    assert url.partition("?")[0] == address
    assert iceberg_properties(settings).get("s3.force-virtual-addressing") == virtual
    assert duckdb_secret(settings)["url_style"] == style


def test_region(tmp_path: Path) -> None:
    settings = made(tmp_path, LAKEHOUSE_S3_REGION="fr-par")
    assert s3_client(settings).meta.region_name == "fr-par"
    assert iceberg_properties(settings)["s3.region"] == "fr-par"
    assert duckdb_secret(settings)["region"] == "fr-par"


def duckdb_secret(settings: Settings) -> dict[str, str]:
    """What DuckDB knows of S3."""
    with engine.connect(settings) as connection:
        ((text,),) = connection.execute("SELECT secret_string FROM duckdb_secrets()").fetchall()
    return dict(re.findall(r"(\w+)=([^;]*)", text))
