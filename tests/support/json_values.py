"""JSON records of any shape, in which each value can be found again wherever it went."""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

from hypothesis import strategies as st

_SCALARS = st.sampled_from([None, "", "-", 0, "v#", "/v#", "/v?a=#", "v#.org:80", "x.org:#", "GET /v# HTTP/1.1"])
"""Scalars in which each # becomes a number that no other value has, as the 0 does."""


def json_records(keys: Iterable[str], fixed: dict[str, Any]) -> st.SearchStrategy[tuple[bytes, set[int]]]:
    """NDJSON of a few records with values of any types, and the numbers in them, each of which is there once.

    Args:
        keys: of objects at any depth.
        fixed: what every record has.
    """
    names = st.sampled_from(sorted(keys))

    def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4)

    values = st.recursive(_SCALARS, nested, max_leaves=8)
    record = st.dictionaries(names.filter(lambda name: name not in fixed), values, max_size=10)

    def made(records: list[dict[str, Any]]) -> tuple[bytes, set[int]]:
        numbers = count(1000)
        block = "".join(f"{json.dumps(_numbered(record, numbers) | fixed)}\n" for record in records)
        return block.encode(), set(range(1000, next(numbers)))

    return st.lists(record, min_size=1, max_size=4).map(made)


def numbers_in(rows: Iterable[tuple[Any, ...]]) -> set[int]:
    """All numbers in these rows."""
    return {int(digits) for digits in re.findall("[0-9]+", json.dumps(list(rows), default=str))}


def _numbered(value: Any, numbers: Iterator[int]) -> Any:
    if isinstance(value, dict):
        return {key: _numbered(inner, numbers) for key, inner in value.items()}
    if isinstance(value, list):
        return [_numbered(inner, numbers) for inner in value]
    if isinstance(value, str):
        return value.replace("#", str(next(numbers))) if "#" in value else value
    return None if value is None else next(numbers)
