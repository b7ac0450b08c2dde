"""Fixtures for all tests, and the loud list of what was skipped."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.cluster.node.programs import VERSITYGW, GoMissingError, program
from tests.s3server import S3Server, running_server

# A busy machine is no defect of what is tested.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(trylast=True)  # hypothesis marks its tests in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Hundreds of examples run the lines that other tests run once: tracing them takes much time and tells nothing."""
    for item in items:
        if item.get_closest_marker("hypothesis"):
            item.add_marker("no_cover")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real log samples, named by LAKEHOUSE_TEST_DATA."""
    folder = os.environ.get("LAKEHOUSE_TEST_DATA")
    if not folder:
        pytest.skip("LAKEHOUSE_TEST_DATA is not set: point it at the folder of real log samples")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"LAKEHOUSE_TEST_DATA={folder} is not a folder: correct or unset it")
    return path


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server with one bucket; `s3.new_bucket()` makes one for a single test."""
    _skip_without_server()
    with running_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def s3_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The same behind TLS; only who knows `s3_tls.ca_file` trusts it."""
    _skip_without_server()
    with running_server(tmp_path_factory.mktemp("s3-tls"), tls=True) as server:
        yield server


def _skip_without_server() -> None:
    try:
        program(VERSITYGW)
    except GoMissingError as error:
        pytest.skip(str(error))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in capital letters, after everything else, what did not run and why."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason.removeprefix("Skipped: ")] += 1
    if not reasons:
        return
    terminalreporter.section("NOT EVERYTHING WAS TESTED", sep="!", red=True, bold=True)
    terminalreporter.write_line(f"{reasons.total()} SKIPPED:", red=True, bold=True)
    for reason, times in reasons.most_common():
        terminalreporter.write_line(f"  {times} x {reason.upper()}", red=True)
