"""The fields of some records, by path, and what no column took of them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import polars as pl

from lakehouse.datasets.json_records import JsonPath, dotted_paths, leftovers, values_at, without_nulls


class Fields(Protocol):
    """Fields of records; every series has one value a record."""

    def text(self, path: str) -> pl.Series:
        """The field at a path as text, null where it is missing or empty."""
        ...

    def extra(self, taken: Mapping[str, pl.Series]) -> pl.Series:
        """The other fields as JSON, null where there is none.

        Args:
            taken: for each path that `text` was asked for, in which rows its value is in a column.
        """
        ...


class TableFields:
    """Fields of records that are split already.

    Args:
        frame: a text column a field.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def text(self, path: str) -> pl.Series:
        """See `Fields.text`."""
        if path in self._frame.columns:
            return self._frame[path]
        return pl.repeat(None, self._frame.height, dtype=pl.String, eager=True)

    def extra(self, taken: Mapping[str, pl.Series]) -> pl.Series:
        """See `Fields.extra`."""
        rest = self._frame.with_columns(
            self._frame[path].set(flags, None) for path, flags in taken.items() if path in self._frame.columns
        )
        rest = rest.select(column for column in rest if column.null_count() < len(column))
        if not rest.width:
            return pl.repeat(None, self._frame.height, dtype=pl.String, eager=True)
        return without_nulls(rest.select(pl.struct(pl.all()).struct.json_encode()).to_series())


class JsonFields:
    """Fields of JSON objects, by dotted paths.

    Args:
        objects: from `json_records.read_objects`, without nulls.
        paths: all that `text` will be asked for.
    """

    def __init__(self, objects: pl.Series, paths: Sequence[str]) -> None:
        self._objects = objects
        self._places = {path: dotted_paths(path) for path in paths}
        every = list(dict.fromkeys(place for places in self._places.values() for place in places))
        found = values_at(objects, every)
        self._found = {place: found[str(index)] for index, place in enumerate(every)}

    def text(self, path: str) -> pl.Series:
        """See `Fields.text`; a path is nested, or one key with dots in it."""
        first, *others = (self._found[place] for place in self._places[path])
        for other in others:
            first = first.zip_with(first.is_not_null(), other)
        return first.set(first == "", None)

    def extra(self, taken: Mapping[str, pl.Series]) -> pl.Series:
        """See `Fields.extra`."""
        flags: dict[JsonPath, pl.Series] = {}
        for path, rows in taken.items():
            free = pl.repeat(True, len(rows), eager=True)
            for place in self._places[path]:
                # Only the place whose value counted is taken, and places without a value.
                filled = self._found[place].is_not_null()
                flags[place] = (rows & free) | ~filled
                free = free & ~filled
        return leftovers(self._objects, flags)
