"""The dashboards as files, one source for both query engines.

Wherever the engines differ, a mapping has a key `engines` with the parts of each: they take the place of, or come to, the other
keys. `${ENV:NAME}` in a text is that variable of the environment, so that no address or password is in a file.
"""

import os
import re
from pathlib import Path
from typing import Any

import yaml

ENGINES = ("duckdb", "trino")
_VARIABLE = re.compile(r"\$\{ENV:(\w+)\}")


class AssetError(Exception):
    """A file, or the environment it is read in, is not as it must be."""


def read_assets(folder: Path) -> dict[str, Any]:
    """The content of every file below a folder, by its path in it.

    Raises:
        AssetError: a file is no YAML.
    """
    contents = {}
    for path in sorted(folder.rglob("*.yaml")):
        try:
            contents[str(path.relative_to(folder))] = yaml.safe_load(path.read_text())
        except yaml.YAMLError as error:
            raise AssetError(f"{path} is no YAML: {error}") from error
    return contents


def for_engine(content: Any, engine: str) -> Any:
    """A content as one engine wants it.

    Args:
        content: of a file, or a part of it.
        engine: one of `ENGINES`.

    Raises:
        AssetError: the engine is unknown or has no part somewhere, or a variable of the environment is not set.
    """
    if engine not in ENGINES:
        raise AssetError(f"DASHBOARDS_ENGINE is {engine!r}: choose one of {', '.join(ENGINES)}")
    if isinstance(content, dict):
        if "engines" in content:
            if engine not in content["engines"]:
                raise AssetError(f"{_name(content)} has nothing for {engine} below engines")
            content = {**{key: value for key, value in content.items() if key != "engines"}, **content["engines"][engine]}
        return {key: for_engine(value, engine) for key, value in content.items()}
    if isinstance(content, list):
        return [for_engine(value, engine) for value in content]
    return _VARIABLE.sub(_from_environment, content) if isinstance(content, str) else content


def dump(content: Any) -> str:
    """A content as its file has it."""
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=130)
    return text


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes equal parts in full: an anchor would be noise in a difference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _name(content: dict[str, Any]) -> str:
    return next((str(content[key]) for key in ("table_name", "metric_name", "database_name") if key in content), "a mapping")


def _from_environment(found: "re.Match[str]") -> str:
    if found[1] not in os.environ:
        raise AssetError(f"the variable {found[1]} of the environment is not set: the assets name it")
    return os.environ[found[1]]
