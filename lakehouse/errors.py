"""The errors that a caller can act on. Each message says what was wrong, where, and what to do."""


class LakehouseError(Exception):
    """Base of all expected errors; the command line prints the message and exits with `exit_code`."""

    exit_code = 1


class UsageError(LakehouseError):
    """The command or its arguments make no sense as given; nothing was tried."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting is unknown, malformed or impossible."""


class DatasetError(UsageError):
    """A dataset is unknown, or its definition file is wrong."""


class InputError(LakehouseError):
    """An input cannot be read: missing, not permitted, damaged, or changed while it was being read."""


class FormatError(InputError):
    """The bytes of an input are not in the expected format, or in none that the dataset knows."""


class TooManyRejectsError(LakehouseError):
    """More lines did not parse than `--max-rejects` allows; nothing was committed."""


class StorageError(LakehouseError):
    """The object store or disk refused: full, read-only, credentials missing or expired, endpoint wrong."""


class CatalogError(LakehouseError):
    """The Iceberg catalog cannot be opened or written: locked, read-only, unreachable, newer than this code."""


class CommitConflictError(LakehouseError):
    """Other writers kept winning until the time for retries was over; nothing was committed."""


class CommitUnknownError(LakehouseError):
    """The answer to a commit was lost and the catalog could not be asked; running the load again is safe."""


class QueryError(LakehouseError):
    """A query engine refused a statement."""


class EngineUnavailableError(QueryError):
    """A query engine that is a server does not answer, or cannot work now; asking later may do."""
