"""Python literals of api_logs' lines as JSON."""

import ast
import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.datasets.api_logs.literals import to_json

LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
AWKWARD = st.sampled_from(
    ["None", "'", '"', "\\", "\\'", "\\\\", "\\x41", "\\/", ": nan,", "True}", "\x01\x02\x03", "\n", "\ud800", "😀", "\x85"]
)


class TestLiterals:
    @settings(deadline=None)
    @given(st.dictionaries(st.text() | AWKWARD, LITERALS | AWKWARD | st.lists(AWKWARD).map("".join)))
    def test_same_as_literal_eval(self, value: dict[str, Any]) -> None:
        expected = json.loads(json.dumps(value, ensure_ascii=False).replace("\ud800", "\ufffd"))
        answer = to_json(pl.Series([repr(value)]))[0]
        assert answer is not None
        assert json.loads(answer) == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("{'a': (1, 2), 3: b'x', 'c': {1}}", {"a": [1, 2], "3": "x", "c": [1]}),
            ("{'a': nan, 'b': -inf, 'nan': 'nan', 'c': (nan,)}", {"a": None, "b": None, "nan": "nan", "c": [None]}),
            ("{'a': '\\a\\101' 'b', 'd': '\\d'}", {"a": "\aAb", "d": "\\d"}),
            ("{'a':\n1,\n}", {"a": 1}),
            ("{'a': '\\/'}", {"a": "\\/"}),
            ("{'a': 'one\ntwo'}", {"a": "one\ntwo"}),
        ],
    )
    def test_what_json_does_not_have(self, text: str, expected: object) -> None:
        assert json.loads(to_json(pl.Series([text]))[0]) == expected

    @pytest.mark.parametrize(
        "text", ["", "[1]", "{'a'}", "{'a': 1", "{'a': open('x')}", "{'a': 1}}", "{'a': 1 2}", "{[]: 1}", "{" * 5000]
    )
    def test_what_is_no_dictionary(self, text: str) -> None:
        assert to_json(pl.Series([text, None])).to_list() == [None, None]

    @settings(deadline=None)
    @given(st.text() | st.lists(st.sampled_from(["{", "}", "'", '"', "\\", ",", ":", "a", "1", "None", " "])).map("".join))
    def test_any_text(self, text: str) -> None:
        answer = to_json(pl.Series(["{" + text + "}"]))[0]
        try:
            value = ast.literal_eval("{" + text + "}")
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return
        # Sets of strings are literals too, but no dictionaries.
        assert (answer is not None) == isinstance(value, dict)
