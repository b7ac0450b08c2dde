"""What is made from each chart's values.yaml: values.schema.json here, and README.md by helm-docs. Run by `make charts-docs`."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.node.programs import HELM_DOCS, BuildError, program

CHARTS = Path(__file__).parents[2] / "helm"
SCHEMA = "values.schema.json"
_ANNOTATION = re.compile(r"\s*# @schema (?P<schema>.+)")
_TYPES = {"bool": "boolean", "int": "integer", "float": "number", "str": "string"}


class UndescribedError(Exception):
    """A values.yaml does not say what a value may be; says which and where."""


def charts(folder: Path = CHARTS) -> list[Path]:
    """Folders of the charts that take values."""
    return sorted(path.parent for path in folder.glob("*/values.yaml"))


def schema(chart: Path) -> str:
    """The chart's values.schema.json.

    A key has the shape that helm/shapes.yaml gives it; another one the type of its default, refined by a comment
    `# @schema {...}` above it. A map may hold only the keys that are there, unless that comment says otherwise.

    Raises:
        UndescribedError: a value is an empty map or a list, and nothing says what belongs into it.
    """
    source = chart / "values.yaml"
    text = source.read_text(encoding="utf-8")
    shapes = yaml.safe_load((chart.parent / "shapes.yaml").read_text(encoding="utf-8"))
    parts = [part["name"] for part in yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))["dependencies"]]
    root = _Values(source, text.splitlines(), shapes, parts).object(yaml.compose(text))
    # Helm adds these: the whole's `global`, the condition of the dependency, and an empty map for the library chart.
    given = {"global": _reference("global"), "enabled": _reference("enabled"), "common": {"type": "object"}}
    root["properties"] = {**given, **root["properties"]}
    definitions = {name: shapes[name] for name in _used(root, shapes)}
    return json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", **root, "definitions": definitions}, indent=2) + "\n"


class _Values:
    """A values.yaml with its comments, which a YAML parser does not keep."""

    def __init__(self, source: Path, lines: list[str], shapes: dict[str, Any], parts: list[str]) -> None:
        self._source, self._lines, self._shapes, self._parts = source, lines, shapes, parts

    def object(self, node: yaml.MappingNode) -> dict[str, Any]:
        properties = {key.value: self._property(key, value) for key, value in node.value}
        return {"type": "object", "additionalProperties": False, "properties": properties}

    def _property(self, key: yaml.ScalarNode, value: yaml.Node) -> dict[str, Any]:
        annotation = self._annotation(key.start_mark.line)
        if annotation is not None and annotation.keys() & {"type", "enum", "items", "additionalProperties", "$ref", "properties"}:
            given: dict[str, Any] = {"type": _kind(value)} if annotation.keys().isdisjoint({"type", "enum", "$ref"}) else {}
            return {**given, **annotation}
        if key.value in self._parts:  # has a schema of its own
            return {"type": "object", "properties": {"enabled": _reference("enabled")}}
        if key.value in self._shapes and annotation is None:
            return _reference(key.value)
        if isinstance(value, yaml.MappingNode) and value.value:
            return {**self.object(value), **(annotation or {})}
        if isinstance(value, yaml.ScalarNode):
            return {"type": _kind(value), **(annotation or {})}
        raise UndescribedError(
            f"{self._source}, line {key.start_mark.line + 1}: {key.value} is a list or an empty map: "
            "say above it what may be in it (# @schema {items: ...} or # @schema {additionalProperties: ...})"
        )

    def _annotation(self, line: int) -> dict[str, Any] | None:
        found = None
        while line > 0 and self._lines[line - 1].lstrip().startswith("#"):
            line -= 1
            if match := _ANNOTATION.match(self._lines[line]):
                found = {**yaml.safe_load(match["schema"]), **(found or {})}
        return found


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "object"
    if isinstance(node, yaml.SequenceNode):
        return "array"
    return _TYPES[node.tag.rpartition(":")[2]]


def _reference(shape: str) -> dict[str, Any]:
    return {"$ref": f"#/definitions/{shape}"}


def _used(part: Any, shapes: dict[str, Any]) -> list[str]:
    """Names of the shapes that a schema refers to, also through each other."""
    used: set[str] = set()
    open_parts = [part]
    while open_parts:
        new = set(re.findall(r'"#/definitions/(\w+)"', json.dumps(open_parts.pop()))) - used
        used |= new
        open_parts += [shapes[name] for name in new]
    return sorted(used)


def write_readmes(folder: Path) -> None:
    """Write the README.md of all charts in a folder.

    Raises:
        BuildError: there is no helm-docs, and it cannot be built.
    """
    command = [str(program(HELM_DOCS)), "--chart-search-root", str(folder), "--sort-values-order=file", "--log-level=warning"]
    subprocess.run(command, check=True)


def main() -> int:
    """Write all of it; 1 if a values.yaml does not say enough."""
    try:
        for chart in charts():
            (chart / SCHEMA).write_text(schema(chart), encoding="utf-8")
        write_readmes(CHARTS)
    except (BuildError, UndescribedError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
