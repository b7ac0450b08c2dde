"""Jobs over upgrades: what would be another Job has another name, as Kubernetes refuses to change its template; others stay."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.conftest import NAME, VALUES, Helm, of_kind, raised

BACKFILLS = yaml.safe_load((VALUES / "backfills.yaml").read_text(encoding="utf-8"))
LOADS = {"loader-february", "loader-sample", "loader-shards", "loader-views"}
ALL = LOADS | {"metastore-schema", "minio-setup", "postgresql-databases", "superset-prepare"}


@pytest.fixture(scope="module")
def newer(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """The charts as they are, but for their versions."""
    return Helm(helm.binary, raised(tmp_path_factory.mktemp("newer"), "version", "appVersion"), helm.scratch)


def jobs(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """What each Job does: its template, and what is in the ConfigMaps that it reads."""
    maps = {item["metadata"]["name"]: item["data"] for item in of_kind(objects, "ConfigMap")}

    def read(template: dict[str, Any]) -> list[Any]:
        volumes = template["spec"].get("volumes", [])
        sources = [source for volume in volumes for source in (volume, *volume.get("projected", {}).get("sources", []))]
        return [maps[source["configMap"]["name"]] for source in sources if "configMap" in source]

    templates = {item["metadata"]["name"]: item["spec"]["template"] for item in of_kind(objects, "Job")}
    return {name: [template, read(template)] for name, template in templates.items()}


def of_part(objects: list[dict[str, Any]], part: str) -> dict[str, Any]:
    """What the one Job of a part of the charts is."""
    [spec] = [item["spec"] for item in of_kind(objects, "Job") if item["metadata"]["name"].startswith(f"{NAME}-{part}-")]
    return spec  # type: ignore[no-any-return]


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Jobs that an upgrade does anew, without the release and what the values add to the name."""
    assert {name: done for name, done in after.items() if name in before} == {
        name: done for name, done in before.items() if name in after
    }
    return {name.removeprefix(f"{NAME}-").rpartition("-")[0] for name in after.keys() - before.keys()}


def merged(values: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Values as two files one after the other give them."""
    both = {key: merged(values[key], more[key]) for key in values.keys() & more.keys() if isinstance(more[key], dict)}
    return {**values, **more, **both}


@pytest.fixture(scope="module")
def before(helm: Helm) -> dict[str, Any]:
    """The Jobs before an upgrade."""
    return jobs(helm.rendered(values=BACKFILLS))


def test_another_version_has_jobs_of_its_own(before: dict[str, Any], newer: Helm) -> None:
    assert changed(before, jobs(newer.rendered(values=BACKFILLS))) == ALL


def test_another_version_makes_the_catalogs_tables_by_a_job_of_its_own(helm: Helm, newer: Helm) -> None:
    values = {"catalog": {"type": "postgresql"}}
    before, after = (jobs(each.rendered("loader", values)) for each in (helm, newer))
    assert changed(before, after) == {"loader-catalog", "loader-sample", "loader-views"}


@pytest.mark.parametrize(
    ("values", "again"),
    [
        ({}, set()),
        ({"superset": {"replicas": 1, "workers": 2}, "trino": {"worker": {"replicas": 2}}}, set()),
        ({"loader": {"sources": {"web": {"dataset": "d", "input": "s3://a/*.gz", "schedule": "0 2 * * *"}}}}, set()),
        ({"loader": {"resources": {"limits": {"memory": "3Gi"}}}}, LOADS),
        ({"loader": {"settings": "# nothing"}}, LOADS),
        ({"loader": {"backfills": {"shards": {"options": ["--format", "combined"]}}}}, {"loader-shards"}),
        ({"metastore": {"database": {"parameters": "sslmode=require"}}}, {"metastore-schema"}),
        ({"minio": {"users": {"loader": {"write": ["warehouse", "exchange"], "read": []}}}}, {"minio-setup"}),
        ({"postgresql": {"databases": ["metastore", "superset", "more"]}}, {"postgresql-databases"}),
        ({"superset": {"auth": {"users": [{"name": "otto", "role": "analyst"}]}}}, {"superset-prepare"}),
        ({"superset": {"pod": {"annotations": {"example.org/scrape": "no"}}}}, {"superset-prepare"}),
        ({"global": {"imageRegistry": "registry.example.org"}}, ALL),
    ],
    # Names of their own: those made of sets differ from process to process.
    ids=["nothing", "servers", "sources", "resources", "settings", "a backfill", "an address", "rights", "databases", "users",
         "annotations", "a registry"],
)  # fmt: skip
def test_what_other_values_do_anew(helm: Helm, before: dict[str, Any], values: dict[str, Any], again: set[str]) -> None:
    assert changed(before, jobs(helm.rendered(values=merged(BACKFILLS, values)))) == again


def as_kubernetes_reads(text: str) -> str:
    """An argument after Kubernetes has put in its variables: $(NAME), but for $$(NAME)."""
    return re.sub(r"\$\$|\$\(HOME\)", lambda found: "$" if found[0] == "$$" else "/tmp", text)


def test_no_text_of_a_backfill_is_code(helm: Helm, tmp_path: Path) -> None:
    """The Job's command, run by a shell here, calls `lakehouse` with the very words of the values."""
    (tmp_path / "lakehouse").write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n', encoding="utf-8")
    (tmp_path / "lakehouse").chmod(0o755)
    dataset, site = "own'; echo broken '", 'l\'autre "$(echo site)"'
    inputs = ["s3://landing/it's/*.gz", "s3://landing/$(HOME)/`id`/$$/a b.gz"]
    options = ["--source", "$HOME; echo broken", "--format", "'\\'' \\"]
    backfill = {"dataset": dataset, "site": site, "inputs": inputs, "options": options}
    job = of_part(helm.rendered("loader", {"backfills": {"odd": backfill}}), "loader-odd")
    [container] = job["template"]["spec"]["containers"]
    command = [as_kubernetes_reads(word) for word in (*container["command"], *container["args"])]
    assert job["completions"] == 2
    for index, each in enumerate(inputs):
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JOB_COMPLETION_INDEX": str(index)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.split("\0")[:-1] == ["load", dataset, each, "--site", site, *options]


def test_the_pods_of_a_backfill_are_spread(helm: Helm) -> None:
    template = of_part(helm.rendered(values=BACKFILLS), "loader-february")["template"]
    [constraint] = template["spec"]["topologySpreadConstraints"]
    assert constraint["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert constraint["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == "february"
