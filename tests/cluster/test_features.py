"""What helm makes of each values file of tests/charts, as the API server would take it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import make_namespace
from tests.cluster.tools import CHARTS, PROJECT, Cluster, build_dependencies

pytestmark = pytest.mark.cluster
ACCOUNT = "lakehouse-loader"
FILES = sorted((PROJECT / "tests" / "charts" / "values").glob("*.yaml"))


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    """An empty namespace that enforces Pod Security "restricted"."""
    build_dependencies(cluster)
    name = "dry-run"
    make_namespace(cluster, name)
    # Helm makes it before the one pod that is asked for by name, that of `helm test`.
    cluster.kubectl("create", "serviceaccount", ACCOUNT, "--namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def taken() -> set[str]:
    """Objects that the server has taken; most are the same whatever the values are."""
    return set()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_api_server_takes_it(cluster: Cluster, namespace: str, taken: set[str], file: Path) -> None:
    rendered = cluster.helm("template", "lakehouse", str(CHARTS / "lakehouse"), "--namespace", namespace, "--values", str(file))
    # cert-manager, which knows this kind, is not in the cluster of the tests.
    known = [item for item in yaml.load_all(rendered, yaml.CSafeLoader) if item and item["kind"] != "Certificate"]
    new = {text: item for item in known if (text := json.dumps(item, sort_keys=True)) not in taken}
    there = [item for item in new.values() if (item["kind"], item["metadata"]["name"]) == ("ServiceAccount", ACCOUNT)]
    said = ""
    # For each object that it applies, kubectl asks first whether it is there.
    for verb, items in (("create", [item for item in new.values() if item not in there]), ("apply", there)):
        options = ("--dry-run=server", "--validate=strict", "--namespace", namespace, "--filename=-")
        said += cluster.kubectl(verb, *options, text=yaml.dump_all(items, Dumper=yaml.CSafeDumper)) if items else ""
    assert len(said.splitlines()) == len(new)
    taken.update(new)


def test_whoever_brings_an_object_store_is_told_the_rights_that_keys_need(cluster: Cluster) -> None:
    build_dependencies(cluster)
    values = ("--values", str(PROJECT / "tests" / "charts" / "values" / "external-parts.yaml"))
    said = cluster.helm("install", "lakehouse", str(CHARTS / "lakehouse"), "--dry-run=client", *values)
    notes = said.partition("\nNOTES:\n")[2]
    assert "\n    loader, Secret s3-loader: write the warehouse, read the landing bucket\n" in notes
    assert "\n    trino, Secret s3-trino: write the warehouse, read the landing bucket\n" in notes
    assert "metastore, Secret" not in notes
    assert "s3:ListBucketMultipartUploads" in notes
