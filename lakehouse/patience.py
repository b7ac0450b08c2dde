"""Waiting for servers that are starting."""

from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from lakehouse.errors import CatalogError, EngineUnavailableError, StorageError

Answer = TypeVar("Answer")


def patiently(seconds: float, action: Callable[[], Answer]) -> Answer:
    """What an action answers, done again for so many seconds while catalog, object store or query engine are not there.

    Raises:
        LakehouseError: that of the last attempt.
    """
    waiting = Retrying(
        retry=retry_if_exception_type((CatalogError, StorageError, EngineUnavailableError)),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(2),
        reraise=True,
    )
    return waiting(action)
