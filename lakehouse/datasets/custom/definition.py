"""A user's dataset as its TOML file defines it."""

import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import polars as pl
import sqlglot
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from lakehouse.datasets.base import COLUMN_TYPES
from lakehouse.datasets.timestamps import validate_kind
from lakehouse.errors import DatasetError, SettingsError

RESERVED_NAMES = ("ts", "date", "site", "extra")
"""Columns that every dataset has anyway."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))")


def _listed(names: Any) -> Any:
    """One name is a list of one."""
    listed = [names] if isinstance(names, str) else names
    if not isinstance(listed, list) or not listed or not all(isinstance(name, str) and name for name in listed):
        raise ValueError("must be a name, or a list of names")
    return listed


Names = Annotated[list[str], BeforeValidator(_listed)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RegexFormat(_Table):
    """Lines that match a regular expression; named groups are the fields."""

    type: Literal["regex"]
    pattern: str
    encoding: Literal["utf-8", "latin-1", "windows-1252"] = "utf-8"

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        if not group_names(pattern):
            raise ValueError("needs a named group such as (?P<status>[0-9]+) for every field")
        return pattern

    @property
    def regex(self) -> str:
        """The expression for a whole line."""
        return f"^(?:{self.pattern})$"

    @property
    def fields(self) -> list[str] | None:
        """Names of all fields; None where only the input knows them."""
        return group_names(self.pattern)


class LogFormat(_Table):
    """Lines as an nginx `log_format` string describes them: `$name` is a field, all else stands as it is."""

    type: Literal["log_format"]
    pattern: str
    encoding: Literal["utf-8", "latin-1", "windows-1252"] = "utf-8"

    @field_validator("pattern")
    @classmethod
    def _has_variables(cls, pattern: str) -> str:
        names = [braced or plain for braced, plain in _VARIABLE.findall(pattern)]
        if not names:
            raise ValueError("needs a variable such as $status for every field")
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"has the variable ${name} twice; a field has one place")
        return pattern

    @property
    def fields(self) -> list[str] | None:
        """Names of all fields; None where only the input knows them."""
        return [braced or plain for braced, plain in _VARIABLE.findall(self.pattern)]

    @property
    def regex(self) -> str:
        """The expression for a whole line; a field ends where the text behind it begins."""
        pieces, end = [], 0
        for variable in _VARIABLE.finditer(self.pattern):
            pieces += [pl.escape_regex(self.pattern[end : variable.start()]), f"(?P<{variable[1] or variable[2]}>.*?)"]
            end = variable.end()
        return "^" + "".join(pieces) + pl.escape_regex(self.pattern[end:]) + "$"


class CsvFormat(_Table):
    """Delimited text as in RFC 4180."""

    type: Literal["csv"]
    delimiter: str = Field(",", min_length=1, max_length=1)
    quote: str = Field('"', max_length=1)
    header: bool | list[str] = True
    encoding: Literal["utf-8", "latin-1", "windows-1252"] = "utf-8"
    decimal: Literal[".", ","] = "."

    @field_validator("header", mode="before")
    @classmethod
    def _is_true_or_names(cls, header: Any) -> Any:
        names = header if isinstance(header, list) and all(isinstance(name, str) and name for name in header) else []
        if header is not True and (not names or len(set(names)) < len(names)):
            raise ValueError("must be true, or the names of all fields, each once")
        return header

    @model_validator(mode="after")
    def _characters(self) -> "CsvFormat":
        if not self.delimiter.isascii() or self.delimiter in "\r\n" or self.delimiter == self.quote:
            raise ValueError("delimiter must be one ASCII character, no line end, and not the quote")
        if self.quote and (not self.quote.isascii() or self.quote in "\r\n"):
            raise ValueError("quote must be one ASCII character, no line end, or empty for none")
        return self

    @property
    def fields(self) -> list[str] | None:
        """Names of all fields; None where only the input knows them."""
        return self.header if isinstance(self.header, list) else None


class NdjsonFormat(_Table):
    """One JSON object a line."""

    type: Literal["ndjson"]

    @property
    def fields(self) -> list[str] | None:
        """Names of all fields; None where only the input knows them."""
        return None


Format = Annotated[RegexFormat | LogFormat | CsvFormat | NdjsonFormat, Field(discriminator="type")]


class Timestamp(_Table):
    """Where the time of a record stands, and how it is written."""

    path: Names | None = None
    join: Annotated[list[str], Field(min_length=2)] | None = None
    kind: Names = ["iso8601"]
    zone: str | None = None

    @model_validator(mode="after")
    def _checks(self) -> "Timestamp":
        if (self.path is None) == (self.join is None):
            raise ValueError("needs either path (a field, or several of which the first that is filled counts) or join")
        _check_kinds(self.kind, self.zone)
        return self


class ColumnDefinition(_Table):
    """One column of the user's table."""

    name: str
    type: str = "string"
    path: Names | None = None
    doc: str = ""
    private: bool = False
    optional: bool = True
    kind: Names | None = None
    zone: str | None = None

    @field_validator("name")
    @classmethod
    def _snake_case(cls, name: str) -> str:
        if name in RESERVED_NAMES:
            raise ValueError(f"is one of {', '.join(RESERVED_NAMES)}, which every dataset has anyway; choose another")
        if not _NAME.fullmatch(name):
            raise ValueError("must be lower-case letters, digits and underscores, beginning with a letter")
        return name

    @field_validator("type")
    @classmethod
    def _exists(cls, name: str) -> str:
        if name not in COLUMN_TYPES:
            raise ValueError(f"must be one of {', '.join(COLUMN_TYPES)}")
        return name

    @model_validator(mode="after")
    def _checks(self) -> "ColumnDefinition":
        if self.type != "timestamp" and (self.kind or self.zone):
            raise ValueError("kind and zone belong to columns of type timestamp")
        _check_kinds(self.kind or [], self.zone)
        return self


class Site(_Table):
    """Where the rows are from: a fixed name, or a field of the record."""

    name: str | None = None
    path: Names | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_or_path(cls, site: Any) -> Any:
        if isinstance(site, str) and site:
            return {"name": site}
        if not isinstance(site, dict) or list(site) != ["path"]:
            raise ValueError("must be a name, or { path = ... } with the field that holds it")
        return site


class ViewDefinition(_Table):
    """A named query in Trino's dialect."""

    name: str
    doc: str = ""
    sql: str

    @field_validator("sql")
    @classmethod
    def _parses(cls, sql: str) -> str:
        parsed_query(sql)
        return sql


class RollupColumn(_Table):
    """One column of a rollup."""

    name: str
    type: Literal["timestamp", "date", "string", "int", "long", "double", "boolean"]
    doc: str = ""


class RollupDefinition(ViewDefinition):
    """An aggregate that is kept in a table of its own."""

    columns: list[RollupColumn]

    @model_validator(mode="after")
    def _matches(self) -> "RollupDefinition":
        begin = [(column.name, column.type) for column in self.columns[:2]]
        if begin != [("date", "date"), ("site", "string")]:
            raise ValueError("columns must begin with date (type date) and site (type string)")
        names, selected = [column.name for column in self.columns], parsed_query(self.sql).named_selects
        if names != selected:
            raise ValueError(f"columns are {', '.join(names)}, but sql selects {', '.join(selected)}")
        return self


class Definition(_Table):
    """The whole file."""

    name: str
    doc: str = ""
    format: Format
    timestamp: Timestamp
    columns: list[ColumnDefinition]
    site: Site | None = None
    views: list[ViewDefinition] = []
    rollups: list[RollupDefinition] = []

    @model_validator(mode="after")
    def _names(self) -> "Definition":
        names = [column.name for column in self.columns]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"columns: {name} is defined twice")
        self._check_fields()
        for table in [*self.views, *self.rollups]:
            if not _NAME.fullmatch(table.name) or not table.name.startswith(f"{self.name}_"):
                raise ValueError(f"views and rollups: {table.name!r} must begin with '{self.name}_', in snake_case")
        return self

    def _check_fields(self) -> None:
        known = self.format.fields
        if known is None:
            return
        moment = self.timestamp
        wanted = [(f"columns: {column.name}", column.path or [column.name]) for column in self.columns]
        wanted += [("timestamp.path", moment.path)] if moment.path else []
        wanted += [("timestamp.join", [name]) for name in moment.join or []]
        wanted += [("site.path", self.site.path)] if self.site and self.site.path else []
        for place, names in wanted:
            if not set(names) & set(known):
                raise ValueError(f"{place} has no field {' or '.join(names)} in the format; its fields are {', '.join(known)}")


def group_names(pattern: str) -> list[str]:
    """Named groups of a regular expression; ValueError if it does not compile."""
    try:
        groups = pl.Series([""]).str.extract_groups(f"^(?:{pattern})$")
    except pl.exceptions.PolarsError as error:
        raise ValueError(
            f"is no regular expression of Rust's regex crate, which has no look-around ({_first_line(error)})"
        ) from None
    return [name for name in groups.struct.fields if not name.isdigit()]


def parsed_query(sql: str) -> sqlglot.exp.Query:
    """One query in Trino's dialect; ValueError if it is none."""
    try:
        statement = sqlglot.parse_one(sql, read="trino")
    except sqlglot.errors.SqlglotError as error:
        raise ValueError(f"is not SQL in Trino's dialect ({_first_line(error)})") from None
    if not isinstance(statement, sqlglot.exp.Query):
        raise ValueError("must be one SELECT")
    return statement


def read_definition(path: Path) -> Definition:
    """Read and check a TOML file.

    Raises:
        DatasetError: naming file, key, and what is allowed.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{path}: the dataset cannot be read: {error.strerror or error}; check the path.") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: the file is not UTF-8; save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise DatasetError(f"{path}: the file is not TOML: {error}; correct that place.") from error
    name = content.setdefault("name", path.stem)
    if name != path.stem or not _NAME.fullmatch(path.stem):
        raise DatasetError(
            f"{path}: key name is {name!r}; it must be the file's name without .toml, in snake_case (here {path.stem!r})."
        )
    try:
        return Definition.model_validate(content)
    except ValidationError as error:
        raise DatasetError(f"{path}: {_sentence(error)}") from error


_MODELS: dict[str, type[_Table]] = {
    "": Definition,
    "format.regex": RegexFormat,
    "format.log_format": LogFormat,
    "format.csv": CsvFormat,
    "format.ndjson": NdjsonFormat,
    "timestamp": Timestamp,
    "columns": ColumnDefinition,
    "views": ViewDefinition,
    "rollups": RollupDefinition,
    "rollups.columns": RollupColumn,
}


def _sentence(error: ValidationError) -> str:
    """The first mistake: where it is, what is wrong, what is allowed."""
    first = error.errors()[0]
    location = first["loc"]
    types = {get_args(model.model_fields["type"].annotation)[0] for key, model in _MODELS.items() if key.startswith("format.")}
    key = _key([part for index, part in enumerate(location) if not (index == 1 and location[0] == "format" and part in types)])
    if first["type"] == "extra_forbidden":
        model = _MODELS[".".join(str(part) for part in location[:-1] if not isinstance(part, int))]
        allowed = list(model.model_fields)
        near = get_close_matches(str(location[-1]), allowed, 1)
        hint = f"did you mean {near[0]}? Allowed" if near else "allowed"
        return f"key {key} is unknown; {hint} here: {', '.join(allowed)}."
    if first["type"] == "missing":
        return f"key {key} is missing; add it."
    if first["type"].startswith("union_tag"):
        return f"key {key}.type must be one of {', '.join(sorted(types))}."
    if first["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return f"key {key} must be a table."
    message = first["msg"].removeprefix("Value error, ")
    value = first["input"]
    shown = f" is {value!r}:" if isinstance(value, (str, int, float, bool)) else ":"
    return f"key {key}{shown} {message[0].lower()}{message[1:].rstrip('.')}." if key else f"{message.rstrip('.')}."


def _key(location: list[Any]) -> str:
    """Keys as TOML would write them, tables of an array counted from 1."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            text += f".{part}" if text else str(part)
    return text


def _check_kinds(kinds: list[str], zone: str | None) -> None:
    try:
        for kind in kinds or ["iso8601"]:
            validate_kind(kind, zone or "UTC")
    except SettingsError as error:
        raise ValueError(str(error)) from None


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
