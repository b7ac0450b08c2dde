"""What a chart's values may be: schema and README.md follow values.yaml, and helm says what it is that they do not allow."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.charts.conftest import Helm, built
from tests.charts.reference import SCHEMA, UndescribedError, charts, schema, write_readmes
from tests.cluster.node.programs import HELM_DOCS


@pytest.mark.parametrize("chart", charts(), ids=lambda chart: chart.name)
def test_the_schema_follows_the_values(chart: Path) -> None:
    assert (chart / SCHEMA).read_text(encoding="utf-8") == schema(chart), "run `make charts-docs`"


def test_the_readmes_follow_the_values(helm: Helm, tmp_path: Path) -> None:
    built(HELM_DOCS)
    shutil.copytree(helm.charts, tmp_path / "helm", symlinks=True, ignore=shutil.ignore_patterns("charts", "README.md"))
    write_readmes(tmp_path / "helm")
    for chart in charts():
        assert (chart / "README.md").read_text() == (tmp_path / "helm" / chart.name / "README.md").read_text(), (
            "run `make charts-docs`"
        )


@pytest.mark.parametrize("chart", charts(), ids=lambda chart: chart.name)
def test_every_value_is_described(chart: Path) -> None:
    rows = [line for line in (chart / "README.md").read_text().splitlines() if line.startswith("| ") and line.endswith(" |  |")]
    assert rows == []


def test_what_the_default_does_not_tell_has_to_be_said(tmp_path: Path) -> None:
    (tmp_path / "shapes.yaml").write_text("enabled: {type: boolean}\nglobal: {type: object}\n")
    (tmp_path / "chart").mkdir()
    (tmp_path / "chart" / "Chart.yaml").write_text("dependencies: []\n")
    (tmp_path / "chart" / "values.yaml").write_text("# -- Free\nfree: {}\n")
    with pytest.raises(UndescribedError, match="line 2: free is a list or an empty map: say above it"):
        schema(tmp_path / "chart")


@pytest.mark.parametrize(
    ("chart", "values", "said"),
    [
        ("trino", {"wroker": {"replicas": 2}}, "additional properties 'wroker' not allowed"),
        ("trino", {"worker": {"replica": 2}}, "at '/worker': additional properties 'replica' not allowed"),
        ("trino", {"worker": {"replicas": "two"}}, "at '/worker/replicas': got string, want integer"),
        ("trino", {"worker": {"replicas": -1}}, "at '/worker/replicas': minimum: got -1, want 0"),
        ("trino", {"image": {"tag": 476}}, "at '/image/tag': got number, want string"),
        ("trino", {"image": {"pullPolicy": "Sometimes"}}, "at '/image/pullPolicy': value must be one of 'Always'"),
        ("trino", {"auth": {"users": {"eve": "root"}}}, "at '/auth/users/eve': value must be one of 'admin'"),
        ("trino", {"catalogs": {"extra": {"My-Catalog": "x"}}}, "invalid propertyName 'My-Catalog'"),
        ("trino", {"s3": {"endpoint": "minio:9000"}}, "at '/s3/endpoint': 'minio:9000' does not match pattern"),
        ("trino", {"pod": {"runAsUser": 0}}, "at '/pod/runAsUser': minimum: got 0, want 1"),
        ("trino", {"pod": {"nodeselector": {}}}, "at '/pod': additional properties 'nodeselector' not allowed"),
        ("trino", {"extraEnv": [{"NAME": "x"}]}, "at '/extraEnv/0'"),
        ("minio", {"users": {"x": {"reed": ["a"], "write": []}}}, "additional properties 'reed' not allowed"),
        ("minio", {"buckets": ["Under_score"]}, "at '/buckets/0': 'Under_score' does not match pattern"),
        ("minio", {"storage": {"size": "20 gigabytes"}}, "at '/storage/size'"),
        ("minio", {"resources": {"limit": {}}}, "at '/resources': additional properties 'limit' not allowed"),
        ("postgresql", {"databases": ["a;b"]}, "at '/databases/0': 'a;b' does not match pattern"),
        ("metastore", {"database": {"port": 70000}}, "at '/database/port': maximum: got 70,000, want 65,535"),
        ("loader", {"catalog": {"type": "hve"}}, "at '/catalog/type': value must be one of 'hive', 'postgresql', 'rest'"),
        ("loader", {"sources": {"web": {"dataset": "access_logs"}}}, "at '/sources/web': missing properties 'input', 'schedule'"),
        ("loader", {"backfills": {"web": {"dataset": "d", "inputs": []}}}, "at '/backfills/web/inputs': minItems: got 0, want 1"),
        ("superset", {"auth": {"users": [{"name": "anna", "role": "viewer"}]}}, "at '/auth/users/0': missing property 'sites'"),
        ("superset", {"auth": {"users": [{"name": "otto", "role": "analyst", "sites": ["a"]}]}}, "at '/auth/users/0'"),
        ("superset", {"auth": {"users": [{"name": "admin", "role": "analyst"}]}}, "at '/auth/users/0/name': 'not' failed"),
        ("superset", {"trino": {"schema": "my logs"}}, "at '/trino/schema': 'my logs' does not match pattern"),
        ("lakehouse", {"trinoo": {}}, "additional properties 'trinoo' not allowed"),
        ("lakehouse", {"trino": {"worker": {"replica": 2}}}, "at '/worker': additional properties 'replica' not allowed"),
        ("lakehouse", {"trino": {"enabled": "no"}}, "got string, want boolean"),
        ("lakehouse", {"global": {"registry": "x"}}, "at '/global': additional properties 'registry' not allowed"),
    ],
)  # fmt: skip
def test_what_is_refused(helm: Helm, chart: str, values: dict[str, Any], said: str) -> None:
    assert said in helm.refusal(values, chart)
