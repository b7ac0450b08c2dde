"""What may be chosen about publishing; imports nothing heavy, because the command line's help shows it."""

from dataclasses import dataclass
from enum import StrEnum

FILE_NAME = "daily_logs_0.parquet"


class Names(StrEnum):
    """Names of the published columns: as in the table, or as in the logs (`Response.1.code`)."""

    snake = "snake"
    original = "original"


@dataclass(frozen=True)
class PublishOptions:
    """What is published, and how.

    Args:
        names: of the columns.
        site: only this site's rows; None: all sites in one file a day.
        last: only so many of the newest days that hold rows; None: all.
        file_name: of each day's file.
        private: columns with personal data too.
    """

    names: Names = Names.snake
    site: str | None = None
    last: int | None = None
    file_name: str = FILE_NAME
    private: bool = False
