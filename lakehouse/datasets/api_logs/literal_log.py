"""The log that Python's logging writes: `timestamp - LEVEL - {'Query': {...}, 'Response': {...}}`."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from lakehouse.datasets.api_logs.columns import fields, split_rows
from lakehouse.datasets.api_logs.lines import count_lines, offset_of_line, reject_lines, rejects, split_lines
from lakehouse.datasets.api_logs.literals import to_json
from lakehouse.datasets.base import Parsed

FORMAT = "python-literal"

BEGINNING = (
    r"^(?P<timestamp>[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?"
    r"(?: ?(?:Z|[+-][0-9]{2}:?[0-9]{2}))?)"
    r" - (?P<level>[A-Za-z]+) - (?P<message>.*)$"
)
"""How a record's first line begins; `%(asctime)s - %(levelname)s - %(message)s` in the terms of Python's logging."""

_MOST_ENDINGS = 16
"""A record over several lines ends at one of this many lines that end in a brace."""
_MOST_BYTES = 1_000_000
"""What has not become a record after this many bytes is none."""

_HALF_WRITTEN, _NO_LITERAL = "half-written", "not a Python literal"


class LiteralLogParser:
    """Parser of the log. A record is complete when it can be read, or when the next one begins.

    Args:
        zone: IANA time zone of the log's timestamps.
        in_message: the lines before the first block belong to a message that is no request, such as a traceback.
    """

    def __init__(self, zone: str, in_message: bool = False) -> None:
        self._zone = zone
        self._in_message = in_message

    def state(self) -> Mapping[str, Any]:
        """The format, and whether a message without a request was the last that began."""
        return {"format": FORMAT, "in_message": self._in_message}

    def parse(self, block: bytes, first_line: int, final: bool) -> Parsed:
        """See `Parser.parse`; the lines of a last record that is not complete are left unconsumed."""
        lines = _grouped(split_lines(block, first_line))
        lines = lines.join(_objects(lines.filter(pl.col("kind") == "record")), on="group", how="left", maintain_order="left")
        consumed, line_count = len(block), count_lines(block)
        open_line = None if final else _open_line(lines)
        if open_line is not None:
            offset = offset_of_line(block, open_line - first_line)
            if len(block) - offset < _MOST_BYTES:
                lines = lines.filter(pl.col("_line") < open_line)
                consumed, line_count = offset, open_line - first_line
        answer = Parsed(*self._read(lines, final), consumed, line_count)
        if lines.height and lines["group"][-1] > 0:
            self._in_message = lines["kind"][-1] == "message"
        return answer

    def _read(self, lines: pl.DataFrame, final: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
        is_record, is_read = pl.col("kind") == "record", pl.col("object").is_not_null()
        records = lines.filter(is_record & is_read & (pl.col("position") == 0))
        rows, refused = split_rows(
            records.select("_line", text="whole"),
            fields(records["object"], self._zone, records["timestamp"], records["level"]),
        )
        # The whole of a failed record is one reject; lines that are in no record are one each.
        failed = lines.filter(is_record & ~is_read).group_by("group", maintain_order=True)
        last_group = lines["group"][-1] if final and lines.height else -1
        cut = pl.col("cut") | (pl.col("group").cast(pl.Int64) == last_group)
        broken = rejects(
            failed.agg(pl.col("_line").first(), pl.col("whole").str.join("\n").alias("text"), pl.col("cut").first()),
            pl.when(cut).then(pl.lit(_HALF_WRITTEN)).otherwise(pl.lit(_NO_LITERAL)),
            pl.lit(False),
        )
        loose = lines.filter(~is_record | (is_read & (pl.col("position") >= pl.col("used"))))
        in_message = (pl.col("kind") == "message") | ((pl.col("group") == 0) & pl.lit(self._in_message))
        others = reject_lines(loose.with_columns(text="whole"), in_message)
        return rows, pl.concat([refused, broken, others]).sort("_line", maintain_order=True)


def _grouped(lines: pl.DataFrame) -> pl.DataFrame:
    """Lines with the `group` that one beginning opens (0: what stands before the first), and their place in it.

    `kind` is what the group begins with: a "record", another "message", or "stray" lines. `text` has lost what stands
    before a record, `whole` has not. `cut` says that NULs end the group.
    """
    parts = lines["text"].str.extract_groups(BEGINNING).struct.unnest()
    begins = pl.col("timestamp").is_not_null()
    frame = pl.concat([lines, parts], how="horizontal").with_columns(
        whole=pl.col("text"),
        text=pl.when(begins).then(pl.col("message")).otherwise(pl.col("text")),
        kind=pl.when(begins & pl.col("message").str.starts_with("{"))
        .then(pl.lit("record"))
        .when(begins)
        .then(pl.lit("message"))
        .otherwise(pl.lit("stray")),
        group=(begins | pl.col("after_nul")).cum_sum(),
        cut=pl.col("after_nul").shift(-1, fill_value=False),
    )
    return frame.with_columns(
        kind=pl.col("kind").first().over("group"),
        position=pl.int_range(pl.len()).over("group"),
        cut=pl.col("cut").last().over("group"),
    )


def _objects(lines: pl.DataFrame) -> pl.DataFrame:
    """For each `group` that can be read: its JSON `object` and how many of its lines were `used`."""
    heads = lines.filter(pl.col("position") == 0)
    found = [heads.select("group", object=to_json(heads["text"]), used=pl.lit(1, dtype=pl.UInt32))]
    ending = pl.col("text").str.strip_chars_end().str.ends_with("}")
    rest = lines.with_columns(ending=ending).with_columns(endings=pl.col("ending").cum_sum().over("group"))
    for number in range(1, _MOST_ENDINGS + 1):
        rest = rest.join(found[-1].filter(pl.col("object").is_not_null()), on="group", how="anti", maintain_order="left")
        rest = rest.filter(pl.col("endings").max().over("group") >= number)
        if rest.is_empty():
            break
        begun = (pl.col("endings") < number) | ((pl.col("endings") == number) & pl.col("ending"))
        texts = rest.filter(begun).group_by("group", maintain_order=True)
        tried = texts.agg(pl.col("text").str.join("\n"), used=pl.len())
        tried = tried.filter((pl.col("used") > 1) & (pl.col("text").str.len_bytes() <= _MOST_BYTES))
        found.append(tried.select("group", object=to_json(tried["text"]), used="used"))
    return pl.concat(found).filter(pl.col("object").is_not_null())


def _open_line(lines: pl.DataFrame) -> int | None:
    """The first line that must wait for what follows; None: every record is complete."""
    if not lines.height or lines["kind"][-1] != "record" or lines["object"][-1] is not None:
        return None
    spans = lines.group_by("group", maintain_order=True).agg(first=pl.col("_line").first(), last=pl.col("_line").last())
    first, last = spans["first"].to_list(), spans["last"].to_list()
    index = len(first) - 1
    # Groups may share a line where NULs part them; a line is given again as a whole.
    while index > 0 and last[index - 1] == first[index]:
        index -= 1
    open_line: int = first[index]
    return open_line
