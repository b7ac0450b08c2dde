"""The values files of helm/lakehouse/examples, and what is refused because its parts do not fit together."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.conftest import PROJECT, Helm, of_kind, pods

EXAMPLES = sorted((PROJECT / "helm" / "lakehouse" / "examples").glob("*.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_values_file(helm: Helm, example: Path) -> None:
    given = yaml.safe_load(example.read_text(encoding="utf-8"))
    names = pods(helm.rendered(values=example)).keys()
    for part in ("postgresql", "minio", "metastore"):
        wanted = given.get(part, {}).get("enabled", True)
        assert any(name.startswith(f"lakehouse-{part}") for name in names) == wanted, part


@pytest.mark.parametrize("kind", ["jdbc", "rest"])
def test_the_catalog_iceberg_is_of_the_kind_that_is_asked_for(helm: Helm, kind: str) -> None:
    example = PROJECT / "helm" / "lakehouse" / "examples" / f"catalog-{kind}.yaml"
    maps = {item["metadata"]["name"]: item["data"] for item in of_kind(helm.rendered(values=example), "ConfigMap")}
    catalogs = maps["lakehouse-trino-catalogs"]
    assert catalogs.keys() == {"iceberg.properties", "tpch.properties"}
    assert f"iceberg.catalog.type={kind}" in catalogs["iceberg.properties"].splitlines()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"trino": {"iceberg": {"catalog": "rest", "uri": "http://rest"}}}, "Trino would not see what is loaded"),
        ({"metastore": {"enabled": False}}, "the catalog hive needs a metastore: set trino.metastore.uri"),
        (
            {"metastore": {"enabled": False}, "trino": {"catalogs": {"shipped": ["iceberg"]}}},
            "the catalog iceberg is kept in a metastore",
        ),
        ({"trino": {"iceberg": {"catalog": "glue"}}}, "at '/iceberg/catalog': value must be one of 'hive', 'jdbc', 'rest'"),
        (
            {"trino": {"iceberg": {"catalog": "rest"}}, "loader": {"catalog": {"type": "rest"}}},
            "iceberg.uri is empty: set the address of that catalog",
        ),
        (
            {"trino": {"iceberg": {"catalog": "jdbc", "uri": "jdbc:x"}}, "loader": {"catalog": {"type": "postgresql"}}},
            "iceberg.existingSecret is empty: name the Secret",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(helm: Helm, values: dict[str, Any], said: str) -> None:
    assert said in helm.refusal(values)
