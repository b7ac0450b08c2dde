"""Formats from a template: text with variables in it, as nginx and Apache write lines."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakehouse.datasets.access_logs.fields import ANY_TIME, Field, Format, free_name
from lakehouse.datasets.access_logs.json_lines import JsonFormat
from lakehouse.datasets.access_logs.patterns import PatternFormat
from lakehouse.datasets.json_records import JsonPath
from lakehouse.datasets.timestamps import NAMED_KINDS, validate_kind
from lakehouse.errors import SettingsError

_MARK = re.compile("\ue000([0-9]+)\ue001")
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
_QUOTED = r"(?:[^\"\\]|\\.)*"


@dataclass(frozen=True)
class Variable:
    """What a server puts in place of a variable.

    Args:
        name: unique in its template but for repetitions.
        field: what it means.
        pattern: regular expression of its values where nothing else bounds them.
    """

    name: str
    field: Field
    pattern: str


Piece = str | Variable


def template_format(name: str, pieces: Sequence[Piece]) -> Format:
    """The format of lines that a server writes by a template; JSON if the template is a JSON object.

    Args:
        name: of the directive that holds the template, for messages.
        pieces: literal text and variables, in order.

    Raises:
        SettingsError: no variable is a timestamp.
    """
    variables = [piece for piece in pieces if isinstance(piece, Variable)]
    times = [variable.field.kind for variable in variables if variable.field.target == "ts"]
    if not times:
        raise SettingsError(
            f"The {name} has no timestamp; lines without their time cannot be loaded,"
            " so let the server log it: $time_iso8601 in nginx, %t in Apache."
        )
    for kind in times:
        if kind != ANY_TIME and kind not in NAMED_KINDS:
            validate_kind(kind, "UTC")
    fields = _json_fields(pieces)
    return JsonFormat(name, fields) if fields else _pattern_format(name, pieces)


def _pattern_format(name: str, pieces: Sequence[Piece]) -> PatternFormat:
    pieces = [piece for piece in pieces if piece != ""]
    fields: dict[str, Field] = {}
    pattern = ""
    for place, piece in enumerate(pieces):
        if isinstance(piece, str):
            pattern += re.escape(piece)
            continue
        before = pieces[place - 1] if place else ""
        after = pieces[place + 1] if place + 1 < len(pieces) else ""
        if isinstance(after, Variable):
            # Nothing but its own characters ends it: it must take all of them.
            pattern += f"({piece.pattern.removesuffix('?') if piece.pattern.endswith('*?') else piece.pattern})"
        elif isinstance(before, str) and before.endswith('"') and after.startswith('"'):
            pattern += f"({_QUOTED})"
        else:
            pattern += f"({piece.pattern})"
        fields[free_name(piece.name, fields)] = piece.field
    return PatternFormat(name, f"^{pattern}$", fields)


def _json_fields(pieces: Sequence[Piece]) -> Mapping[JsonPath, Field]:
    """Where a JSON template has which variable; nothing if it is no JSON object."""
    template = ""
    variables: list[Variable] = []
    for piece in pieces:
        if isinstance(piece, Variable):
            variables.append(piece)
        template += piece if isinstance(piece, str) else f"\ue000{len(variables) - 1}\ue001"
    # Numbers stand in the template without quotes.
    bare = _MARK.sub(r'"\g<0>"', _STRINGS.sub(lambda match: "\ue002" * len(match[0]), template))
    strings = _STRINGS.findall(template)
    try:
        value = json.loads(re.sub("\ue002+", lambda _: strings.pop(0), bare))
    except ValueError:
        return {}
    if not isinstance(value, dict):
        return {}
    return {path: field for path, text in _leaves(value) if (field := _leaf_field(text, variables)) is not None}


def _leaves(value: dict[str, Any], path: JsonPath = ()) -> Iterator[tuple[JsonPath, str]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _leaves(inner, (*path, key))
        elif isinstance(inner, str):
            yield (*path, key), inner


def _leaf_field(text: str, variables: Sequence[Variable]) -> Field | None:
    """What the text of a JSON string means, if it means anything but itself."""
    if match := _MARK.fullmatch(text.removeprefix("[").removesuffix("]")):
        field = variables[int(match[1])].field
        if (field.target, field.kind) == ("ts", "clf"):
            return Field("ts", ANY_TIME)
        return field if field.target else None
    targets = [variables[int(number)].field.target for number in _MARK.findall(text)]
    words = _MARK.sub("", text)
    return Field("request") if targets == ["method", "url", "protocol"] and words == "  " else None
