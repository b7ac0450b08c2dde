"""JSON objects in a column of text: values by path, and what is left over.

DuckDB reads the JSON, because it answers null for one bad text where polars fails the whole column, and because an
RFC 7396 merge patch takes known keys out of an object without its schema being known.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import duckdb
import polars as pl

JsonPath = tuple[str, ...]
"""Keys from the outermost object inwards."""

_SAFE_BYTES = 10_000
"""Longer texts may be nested so deeply that DuckDB's merge patch would overflow its stack."""


def dotted_paths(name: str) -> tuple[JsonPath, ...]:
    """Where a dotted name may lie: nested ("a", then "b"), or flattened under the one key "a.b"."""
    nested = tuple(name.split("."))
    return (nested,) if len(nested) == 1 else (nested, (name,))


def read_objects(texts: pl.Series) -> pl.Series:
    """JSON objects in a form that the other functions take; null where a text is none.

    NaN, infinities and lone surrogates, which JSON does not have but Python writes, become null and U+FFFD.
    """
    odd = texts.str.contains(r"(?i)\b(?:nan|inf(?:inity)?)\b|\\ud[89a-f]") | (texts.str.len_bytes() > _SAFE_BYTES)
    if odd.any():
        # Python's own parser gives up on depth long before.
        texts = texts.scatter(odd.arg_true(), pl.Series(map(_repaired, texts.filter(odd)), dtype=pl.String))
    kind = "CASE WHEN json_valid(object) THEN json_type(object) END"
    return _select(pl.DataFrame({"object": texts}), f"SELECT CASE WHEN {kind} = 'OBJECT' THEN object END AS object")["object"]


def values_at(objects: pl.Series, paths: Sequence[JsonPath]) -> pl.DataFrame:
    """The values at some paths as text, a column each ("0", "1", ...): null where missing or null.

    Strings come without quotes; objects and arrays as JSON.

    Args:
        objects: from `read_objects`.
    """
    return _at(objects, paths, "json_extract_string")


def kinds_at(objects: pl.Series, paths: Sequence[JsonPath]) -> pl.DataFrame:
    """What is at some paths, a column each like `values_at`: ARRAY, OBJECT, VARCHAR, NULL, ...; null where missing."""
    return _at(objects, paths, "json_type")


def _at(objects: pl.Series, paths: Sequence[JsonPath], function: str) -> pl.DataFrame:
    if not paths:
        return pl.DataFrame()
    pointers = ", ".join(_quoted(_pointer(path)) for path in paths)
    columns = ", ".join(f'found[{index + 1}] AS "{index}"' for index in range(len(paths)))
    return _select(
        pl.DataFrame({"object": objects}), f"SELECT {columns} FROM (SELECT {function}(object, [{pointers}]) AS found", ")"
    )


def string_lists(arrays: pl.Series) -> pl.Series:
    """JSON arrays as lists of text; null where the text is no array."""
    kind = "CASE WHEN json_valid(item) THEN json_type(item) END"
    found = _select(
        pl.DataFrame({"item": arrays}),
        f"SELECT CASE WHEN {kind} = 'ARRAY' THEN json_extract_string(item, '$[*]') END AS item",
    )["item"]
    return found.cast(pl.List(pl.String))


def leftovers(objects: pl.Series, taken: Mapping[JsonPath, pl.Series]) -> pl.Series:
    """The objects without what went elsewhere, and without objects that became empty by that; null if nothing is left.

    Args:
        objects: from `read_objects`.
        taken: for each path, in which rows it is taken out.
    """
    names = {path: f"taken_{index}" for index, path in enumerate(taken)}
    frame = pl.DataFrame({"object": objects, **{names[path]: flags for path, flags in taken.items()}})
    tree = _Node()
    for path, name in names.items():
        node = tree
        for key in path:
            node = node.children.setdefault(key, _Node())
        node.taken = name
    patch = f"CASE WHEN object IS NOT NULL THEN json_merge_patch(object, {_patch(tree, ())}) END"
    rest = _select(frame, f"SELECT {patch} AS rest")["rest"].cast(pl.String)
    for key in _inner_keys(tree):
        # An unescaped quote behind a brace or a comma opens a key, so that no string can be taken for one.
        empty = re.escape(json.dumps(key, ensure_ascii=False)) + r":\{\}"
        rest = rest.str.replace_all(rf"([{{,]){empty},", "$1").str.replace_all(rf",?{empty}}}", "}")
    return rest.set(rest == "{}", None)


def without_nulls(objects: pl.Series) -> pl.Series:
    """The objects without keys whose value is null; null if nothing is left."""
    rest = _select(pl.DataFrame({"object": objects}), "SELECT json_merge_patch('{}', object) AS rest")["rest"]
    return rest.cast(pl.String).set(rest == "{}", None)


def dumps(value: Any) -> str:
    """JSON of what a Python literal can hold: sets are arrays, bytes and other keys than strings are text."""
    text = json.dumps(_plain(value), ensure_ascii=False)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return [_plain(item) for item in sorted(value, key=repr)]
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bool, int)):
        return value
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _repaired(text: str) -> str | None:
    try:
        return dumps(json.loads(text))
    except (ValueError, RecursionError):
        return None


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})


def _select(frame: pl.DataFrame, select: str, closing: str = "") -> pl.DataFrame:
    # A cursor of its own for each call: threads may parse different inputs at once.
    with _connection().cursor() as cursor:
        cursor.register("objects", frame.to_arrow())
        return pl.DataFrame(cursor.execute(f"{select} FROM objects{closing}").to_arrow_table())


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _pointer(path: Iterable[str]) -> str:
    """RFC 6901."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)


@dataclass
class _Node:
    """A key on the way to a path that may be taken, or at its end: then `taken` is the column that says where."""

    taken: str | None = None
    children: dict[str, "_Node"] = field(default_factory=dict)


def _patch(node: _Node, path: JsonPath) -> str:
    """An SQL expression for the merge patch: a null for each key that is taken, nothing for objects that are none."""
    parts = []
    for key, child in node.children.items():
        label, inside = json.dumps(key, ensure_ascii=False), (*path, key)
        cases = ""
        if child.taken is not None:
            cases += f" WHEN {child.taken} THEN {_quoted(label + ':null')}"
        if child.children:
            is_object = f"json_type(object, {_quoted(_pointer(inside))}) = 'OBJECT'"
            cases += f" WHEN {is_object} THEN {_quoted(label + ':')} || {_patch(child, inside)}"
        parts.append(f"CASE{cases} END")
    listed = ", ".join(parts) or "''"
    return f"('{{' || concat_ws(',', {listed}) || '}}')"


def _inner_keys(node: _Node) -> Iterator[str]:
    """Keys of inner objects, the innermost first."""
    for key, child in node.children.items():
        if child.children:
            yield from _inner_keys(child)
            yield key
