"""The Hive metastore as a catalog, with commits that are a compare-and-set instead of holding a lock.

A lock outlives a writer that was killed and then blocks all others, and one that expires lets a writer that was only paused
overwrite what was committed meanwhile. Since Hive 4.0 the metastore changes a table only if a parameter of it still has the
expected value (HIVE-26882), so a commit says which metadata file it replaces. Trino does the same where
`iceberg.hive-catalog.locking-enabled` is false; writers that lock and writers that do not must never share a table.
"""

import logging
from types import TracebackType
from typing import Any

from hive_metastore.ttypes import EnvironmentContext, LockResponse, LockState, MetaException, Table, UnlockRequest
from pyiceberg.catalog import METADATA_LOCATION, PREVIOUS_METADATA_LOCATION
from pyiceberg.catalog.hive import HiveCatalog
from pyiceberg.exceptions import CommitFailedException
from thrift.Thrift import TApplicationException, TException
from thrift.transport.TTransport import TTransportException

# It would write to standard error what the errors say that are raised.
logging.getLogger("thrift").addHandler(logging.NullHandler())

_CHANGED = "has been modified"
"""What the metastore says when the parameter has another value: the commit lost against another writer."""


class CompareAndSetCatalog(HiveCatalog):
    """pyiceberg's catalog of a Hive metastore, without locks."""

    def __init__(self, name: str, **properties: str) -> None:
        super().__init__(name, **properties)
        self._client: Any = _Connections(self._client)

    def _create_lock_request(self, database_name: str, table_name: str) -> None:
        """Nothing, as no lock is taken; pyiceberg's asks for the user's name, and in a container there may be none."""


class _Connections:
    """Opens connections whose client commits by compare-and-set; they are used as pyiceberg uses its own."""

    def __init__(self, connections: Any) -> None:
        self._connections = connections

    def __enter__(self) -> "_Client":
        try:
            return _Client(self._connections.__enter__())
        except TTransportException as error:
            raise ConnectionError(f"no metastore answers: {error.message}") from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connections.__exit__(kind, error, trace)
        if isinstance(error, TTransportException):
            raise ConnectionError(f"the metastore broke off: {error.message}") from error
        # The first of them cannot even be carried through a context manager: it lets nobody set its traceback.
        if isinstance(error, (MetaException, TApplicationException)):
            raise ConnectionError(f"the metastore failed: {error.message}") from error


class _Client:
    """The thrift client, but for the three calls of a commit."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def lock(self, request: None) -> LockResponse:
        return LockResponse(lockid=0, state=LockState.ACQUIRED)

    def unlock(self, request: UnlockRequest) -> None:
        pass

    def alter_table_with_environment_context(
        self, dbname: str, tbl_name: str, new_tbl: Table, environment_context: EnvironmentContext
    ) -> None:
        environment_context.properties |= {
            "expected_parameter_key": METADATA_LOCATION,
            "expected_parameter_value": new_tbl.parameters[PREVIOUS_METADATA_LOCATION],
        }
        try:
            self._client.alter_table_with_environment_context(
                dbname=dbname, tbl_name=tbl_name, new_tbl=new_tbl, environment_context=environment_context
            )
        except TException as error:
            if _CHANGED in str(error):
                raise CommitFailedException(f"{dbname}.{tbl_name} {_CHANGED} since it was looked at") from error
            raise
