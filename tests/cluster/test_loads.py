"""The loader's schedule loads real logs from the landing bucket; Trino and pyiceberg count the same."""

from functools import partial
from typing import Any

import pytest

from tests.cluster.outside import metastore
from tests.cluster.tables import Installed, TableTests
from tests.cluster.tools import Release

pytestmark = pytest.mark.cluster


@pytest.fixture
def installed(configured: Release, landing: Any) -> Installed:
    """What is installed with no values but its sources."""
    return Installed(configured, landing, partial(metastore, configured))


class TestInstalledWithNoValues(TableTests):
    """The metastore, MinIO and PostgreSQL of the chart."""
