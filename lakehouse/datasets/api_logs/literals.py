"""Python dictionaries as `repr` prints them, as JSON, without ever evaluating anything.

Most become JSON by a few replacements over the whole column, several times as fast as `ast.literal_eval`. What is not
valid JSON after that (keys that are numbers, tuples, sets, bytes, octal escapes) goes through `ast.literal_eval`.
"""

import ast
import re
import warnings

import polars as pl

from lakehouse.datasets.json_records import dumps, read_objects

# Control characters mark what must not be touched again; texts that hold any take the slow way.
_BACKSLASH, _OPEN, _CLOSE, _NAME = "\x01", "\x02", "\x03", "\x04"

_STRING = r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\""""
_NOT_FINITE = r"-?\b(?:nan|inf)\b"
_NAMES = {rf"\bNone\b|{_NOT_FINITE}": "null", r"\bTrue\b": "true", r"\bFalse\b": "false"}

_MOST_CHARACTERS = 1_000_000
"""Longer literals are not evaluated: a syntax tree takes some hundred times the size of its text."""


def to_json(literals: pl.Series) -> pl.Series:
    """JSON objects of Python dictionary literals; null where a text is none.

    None, nan and infinities are null, tuples and sets are arrays, keys are text.

    Args:
        literals: texts such as "{'Query': {'surface': None}, 'Response': {'IC': 0.93}}".
    """
    objects = read_objects(_replaced(literals.set(literals.str.contains(r"[\x00-\x1f]"), None)))
    rest = objects.is_null() & literals.is_not_null()
    if not rest.any():
        return objects
    with warnings.catch_warnings():
        # Python warns of escapes that it does not know, and then does what is wanted.
        warnings.simplefilter("ignore")
        slow = pl.Series(map(_evaluated, literals.filter(rest)), dtype=pl.String)
    return objects.scatter(rest.arg_true(), read_objects(slow))


def _replaced(texts: pl.Series) -> pl.Series:
    """JSON, of texts that hold nothing but what these replacements know."""
    texts = texts.str.replace_all("\\\\", _BACKSLASH, literal=True)
    # From left to right, so that a quote inside of a string opens none. One of the two groups is always empty.
    texts = texts.str.replace_all(_STRING, f"{_OPEN}${{1}}${{2}}{_CLOSE}")
    for escape, plain in (("\\'", "'"), ('\\"', '"'), ("\\/", _BACKSLASH + "/"), ("\\x", "\\u00"), ('"', '\\"')):
        texts = texts.str.replace_all(escape, plain, literal=True)
    for name, value in _NAMES.items():
        if not texts.str.contains(name).any():
            continue
        # Each string with a mark behind it; a mark that then stands alone was a name outside of any string.
        texts = texts.str.replace_all(f"({_OPEN}[^{_CLOSE}]*{_CLOSE})|{name}", f"${{1}}{_NAME}")
        texts = texts.str.replace_all(_CLOSE + _NAME, _CLOSE, literal=True).str.replace_all(_NAME, value, literal=True)
    texts = texts.str.replace_all(f"[{_OPEN}{_CLOSE}]", '"')
    return texts.str.replace_all(_BACKSLASH, "\\\\", literal=True)


_PIECE = re.compile(rf"{_STRING}|{_NOT_FINITE}", re.DOTALL)


def _evaluated(text: str) -> str | None:
    if len(text) > _MOST_CHARACTERS:
        return None
    try:
        value = ast.literal_eval(_PIECE.sub(_evaluable, text.strip()))
        return dumps(value) if isinstance(value, dict) else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _evaluable(piece: re.Match[str]) -> str:
    """Not a number is None; a line break inside of a string is its escape."""
    text = piece.group()
    return text.replace("\r", "\\r").replace("\n", "\\n") if text[0] in "'\"" else "None"
