"""What a metastore says that cannot work becomes one sentence."""

from types import TracebackType
from typing import Any

import pytest
from hive_metastore.ttypes import MetaException
from thrift.Thrift import TApplicationException
from thrift.transport.TTransport import TTransportException

from lakehouse.catalog import catalog_errors, explain_catalog_error
from lakehouse.errors import CatalogError
from lakehouse.hive import _Connections


class Failing:
    """Connections to a metastore whose every answer is an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __enter__(self) -> "Failing":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def get_table(self, **_: Any) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MetaException(message="no JDBC connection"), "the metastore failed: no JDBC connection"),
        (TApplicationException(TApplicationException.INTERNAL_ERROR, "processing get_table"), "the metastore failed: processing"),
        (TTransportException(message="read 0 bytes"), "the metastore broke off: read 0 bytes"),
    ],
)
def test_a_failing_metastore_is_one_sentence(error: Exception, said: str) -> None:
    refused = pytest.raises(CatalogError, match=f"^table events: .*{said}")
    with refused, catalog_errors("table events"), _Connections(Failing(error)) as client:
        client.get_table(dbname="lakehouse", tbl_name="events")


def test_a_metastore_that_fails_in_a_commit_is_no_object_store() -> None:
    failed = ConnectionError("the metastore failed: no connection.\nRoot cause: refused")
    assert explain_catalog_error(failed) == "check catalog.uri (the metastore failed: no connection. Root cause: refused)"
