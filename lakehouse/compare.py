"""Is this input an old copy of a longer one? Decided by bytes where they are still there, else by the rows they gave."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import polars as pl
from pyiceberg.table import Table

from lakehouse.datasets.base import Dataset, FileParser, ParseContext
from lakehouse.engines import duckdb as engine
from lakehouse.errors import InputError
from lakehouse.identity import Hasher
from lakehouse.inputs import HEAD_BYTES, InputFile, behind_nuls, find_inputs, open_input
from lakehouse.ledger import InputRecord, Ledger
from lakehouse.load_options import Options
from lakehouse.parse import LineParse, is_final, with_origin
from lakehouse.rejects import read_rejects
from lakehouse.settings import Settings


@dataclass
class RowComparer:
    """Decides for inputs that agree with a longer record at every checkpoint.

    The checkpoints leave up to half of the shorter input unproven. If the record's own file is still where it was, its
    bytes decide. Else the input is parsed, and it is an old copy only if every row and every reject of it is stored for
    the same line of the record.
    """

    settings: Settings
    dataset: Dataset
    table: Table
    ledger: Ledger
    key: bytes
    dataset_options: Mapping[str, Any]

    def __call__(self, found: InputFile, hasher: Hasher, record: InputRecord, parser_options: Options) -> bool:
        by_bytes = self._prefix_digest(record, hasher.length)
        if by_bytes is not None:
            return by_bytes == hasher.digest
        if record.id not in self.ledger.inputs:
            return False
        return self._same_rows(found, record, parser_options)

    def _prefix_digest(self, record: InputRecord, length: int) -> str | None:
        """Digest of the first `length` bytes of the record's file, or None when that file has gone or changed."""
        try:
            (found,) = find_inputs([record.location], self.settings)
            hasher = Hasher((length, record.length))
            with open_input(found, self.settings) as opened:
                for block in opened.blocks():
                    hasher.update(block)
                    if hasher.length >= record.length:
                        break
        except (InputError, ValueError):
            return None
        return hasher.digest_at.get(length) if hasher.digest_at.get(record.length) == record.digest else None

    def _same_rows(self, found: InputFile, record: InputRecord, options: Options) -> bool:
        with engine.connect(self.settings) as connection:
            days = ", ".join(f"DATE '{day}'" for day in record.days) or "NULL"
            connection.execute(
                f"CREATE VIEW stored AS SELECT * FROM ({engine.scan_sql(self.table)}) "
                f"WHERE date IN ({days}) AND _input = {engine.quote(record.id)}"
            )
            rejects = read_rejects(self.ledger, self.table.io, [record.id]).select("_line", "reason", "text")
            for rows, rejected, first, last in self._parsed(found, record, options):
                if record.rows_replaced:  # a later command took whole days of it: those that are left must agree
                    rows = rows.filter(pl.col("date").cast(pl.String).is_in(list(record.days)))
                connection.register("parsed", rows.to_arrow())
                within = f"_line BETWEEN {first} AND {last}"
                missing = f"SELECT * FROM parsed EXCEPT ALL SELECT {_names(rows)} FROM stored WHERE {within}"
                surplus = f"SELECT {_names(rows)} FROM stored WHERE {within} EXCEPT ALL SELECT * FROM parsed"
                for difference in (missing, surplus):
                    if engine.run(connection, f"SELECT count(*) FROM ({difference})").column(0)[0].as_py():
                        return False
                stored_rejects = rejects.filter(pl.col("_line").is_between(first, last))
                if not stored_rejects.equals(rejected.select("_line", "reason", "text").sort("_line")):
                    return False
        return True

    def _parsed(
        self, found: InputFile, record: InputRecord, options: Options
    ) -> Iterator[tuple[pl.DataFrame, pl.DataFrame, int, int]]:
        """The input's rows as they would be stored under the record's id, its rejects, and the lines they cover."""
        context = ParseContext(
            record.site,
            options.format,
            self.settings["input_zone"],
            found.modified,
            self.dataset_options,
            self.key,
        )
        with open_input(found, self.settings) as opened:
            head = opened.read(HEAD_BYTES)
            parser = self.dataset.open_parser(behind_nuls(found, head, self.settings), context, None)
            if isinstance(parser, FileParser):
                return
            line = 1
            lines = LineParse(self.dataset, parser.parse, Hasher(), line, is_final(opened, options))
            for parsed in lines.parsed(chain((head,), opened.blocks())):
                rows = with_origin(parsed.rows, self.dataset, record.site, record.id)
                yield rows, parsed.rejects, line, line + parsed.lines - 1
                line += parsed.lines


def _names(rows: pl.DataFrame) -> str:
    return ", ".join(engine.identifier(name) for name in rows.columns)
