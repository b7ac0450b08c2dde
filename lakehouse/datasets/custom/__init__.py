"""A user's own dataset, from a TOML file; docs/own-datasets.md describes the file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lakehouse.datasets.base import Column, ParseContext, Parser, Rollup, View
from lakehouse.datasets.custom.definition import CsvFormat, Definition, NdjsonFormat, read_definition
from lakehouse.datasets.custom.delimited import DelimitedParser, header_of
from lakehouse.datasets.custom.parsers import NdjsonParser, PatternParser
from lakehouse.datasets.custom.rows import table_columns
from lakehouse.datasets.timestamps import validate_kind
from lakehouse.errors import FormatError, SettingsError

__all__ = ["CustomDataset", "load_toml"]


class CustomDataset:
    """A dataset as its definition says."""

    line_based = True

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self.name = definition.name
        self.doc = definition.doc
        # Where each line tells its site, the dataset's name stands for lines that do not.
        self.site = (definition.site.name or definition.name) if definition.site else None
        self.columns: tuple[Column, ...] = table_columns(definition)
        self.views: tuple[View, ...] = tuple(View(view.name, view.doc, view.sql) for view in definition.views)
        self.rollups: tuple[Rollup, ...] = tuple(
            Rollup(
                rollup.name,
                rollup.doc,
                tuple(Column(column.name, column.type, column.doc) for column in rollup.columns),
                rollup.sql,
            )
            for rollup in definition.rollups
        )

    def validate_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """There are none: the TOML file says everything.

        Raises:
            SettingsError: the section has a key.
        """
        for key in options:
            raise SettingsError(f"The dataset {self.name} has no option {key!r} in the settings; its TOML file says all.")
        return {}

    def open_parser(self, head: bytes, context: ParseContext, state: Mapping[str, Any] | None) -> Parser:
        """See `Dataset.open_parser`; the format is always the definition's.

        Raises:
            FormatError: the context names a format, or the header does not fit the definition.
        """
        validate_kind("iso8601", context.zone)
        form = self._definition.format
        if context.format not in (None, form.type):
            raise FormatError(
                f"The dataset {self.name} has the one format {form.type} that its TOML file describes; leave --format out."
            )
        if isinstance(form, NdjsonFormat):
            return NdjsonParser(self._definition, context.zone)
        if isinstance(form, CsvFormat):
            header = (state or {}).get("header") or header_of(head, self._definition)
            return DelimitedParser(self._definition, header, form.header is True, context.zone)
        return PatternParser(self._definition, context.zone)


def load_toml(path: Path) -> CustomDataset:
    """The dataset that a TOML file defines.

    Raises:
        DatasetError: the file cannot be read or has a mistake: names file, key, and what is allowed.
    """
    return CustomDataset(read_definition(path))
