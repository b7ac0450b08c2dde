"""The charts as a folder with their parts in them, and what helm makes of them."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.reference import charts
from tests.cluster.node.programs import HELM, BuildError, Program, program

PROJECT = Path(__file__).parents[2]
VALUES = Path(__file__).parent / "values"
NAME = "lakehouse"


class Helm:
    """Helm, and a copy of the charts in which `helm dependency update` is run.

    Args:
        binary: the program.
        folder: folder of the copy.
        scratch: folder for values.
    """

    def __init__(self, binary: Path | str, folder: Path, scratch: Path) -> None:
        self.binary, self.charts, self.scratch = str(binary), folder, scratch
        # The whole takes in the others as they are then.
        for chart in sorted(charts(folder), key=lambda chart: chart.name == NAME):
            done = self.run("dependency", "update", "--skip-refresh", str(chart))
            assert done.returncode == 0, done.stderr

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run helm, whatever comes of it."""
        return subprocess.run([self.binary, *arguments], capture_output=True, text=True, timeout=120)

    def rendered(self, chart: str = "lakehouse", values: Any = None) -> list[dict[str, Any]]:
        """The objects that an installation would make; `values` is a values file or what would be in it."""
        done = self._template(chart, values)
        assert done.returncode == 0, done.stderr
        return [item for item in yaml.load_all(done.stdout, yaml.CSafeLoader) if item]

    def refusal(self, values: Any, chart: str = "lakehouse") -> str:
        """What helm says of values that are refused."""
        done = self._template(chart, values)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def _template(self, chart: str, values: Any) -> subprocess.CompletedProcess[str]:
        if not isinstance(values, Path):
            file = self.scratch / "values.json"
            file.write_text(json.dumps(values or {}), encoding="utf-8")
            values = file
        return self.run("template", NAME, str(self.charts / chart), "--namespace", NAME, "--values", str(values))


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm with the charts of this folder."""
    binary = shutil.which("helm") or built(HELM)
    folder = tmp_path_factory.mktemp("charts")
    return Helm(binary, copied(folder), tmp_path_factory.mktemp("values"))


def copied(folder: Path) -> Path:
    """A copy of the charts, without what a developer's own `helm dependency update` left there: that is of an older state."""
    ignored = shutil.ignore_patterns("charts", "Chart.lock")
    shutil.copytree(PROJECT / "trino-catalogs", folder / "trino-catalogs")
    return shutil.copytree(PROJECT / "helm", folder / "helm", symlinks=True, ignore=ignored)


def raised(folder: Path, *versions: str) -> Path:
    """A copy of the charts as they are, but for these of their versions: `version`, `appVersion`."""
    charts = copied(folder)
    for file in charts.glob("*/Chart.yaml"):
        text = file.read_text(encoding="utf-8")
        file.write_text(
            re.sub(rf"^( *(?:{'|'.join(versions)}): ).*", r"\g<1>999.0.0", text, flags=re.MULTILINE), encoding="utf-8"
        )
    return charts


def built(wanted: Program) -> Path:
    """A Go program; the test is skipped where there is none and it cannot be built."""
    try:
        return program(wanted)
    except BuildError as error:
        pytest.skip(str(error))


def of_kind(objects: Iterable[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    """Those objects that are of certain kinds."""
    return [item for item in objects if item["kind"] in kinds]


def pod_of(item: dict[str, Any]) -> dict[str, Any]:
    """Metadata and spec of the pods that an object makes."""
    if item["kind"] == "Pod":
        return item
    spec = item["spec"]
    template: dict[str, Any] = (spec["jobTemplate"]["spec"] if item["kind"] == "CronJob" else spec)["template"]
    return template


def pods(objects: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """All pods by the name of what makes them."""
    kinds = ("CronJob", "Deployment", "Job", "Pod", "StatefulSet")
    return {item["metadata"]["name"]: pod_of(item) for item in of_kind(objects, *kinds)}


def secrets_used(objects: Iterable[dict[str, Any]]) -> set[tuple[str, str]]:
    """Name and key of every Secret that a pod reads; no key where it reads all of them."""
    used = set()
    for pod in pods(objects).values():
        for container in (*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]):
            references = [entry["valueFrom"].get("secretKeyRef") for entry in container.get("env", []) if "valueFrom" in entry]
            used |= {(reference["name"], reference["key"]) for reference in references if reference}
        volumes = pod["spec"].get("volumes", [])
        sources = [source for volume in volumes for source in volume.get("projected", {}).get("sources", [])]
        for secret in [entry["secret"] for entry in (*volumes, *sources) if "secret" in entry]:
            name = secret.get("secretName") or secret["name"]
            used |= {(name, item["key"]) for item in secret.get("items", [])} or {(name, "")}
    return used
