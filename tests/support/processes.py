"""Loads in processes of their own, forked from one that has imported everything and used nothing: a start costs milliseconds."""

import functools
import inspect
import itertools
import multiprocessing
import os
import resource
import sys
import traceback
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from pyiceberg.io.pyarrow import PyArrowFile
from pytest import MonkeyPatch

from lakehouse.errors import LakehouseError
from lakehouse.observer import SilentObserver
from lakehouse.sqlite_catalog import SqliteCatalog
from lakehouse.storage import Store
from tests.support.home import Home
from tests.support.stops import EXIT_CODE, PATIENCE, ExitAt
from tests.support.tiny import TINY

_context = multiprocessing.get_context("forkserver")
# What loads import, some of it at its first use, and what the modules of tests do that a started function may be of.
_context.set_forkserver_preload(
    [
        "tests.support.processes", "tests.support.rollups", "tests.support.state", "tests.s3server", "hypothesis",
        "lakehouse.cli", "lakehouse.datasets.api_logs", "lakehouse.publish", "lakehouse.sqlite_catalog",
        "duckdb", "numpy.ma", "pyiceberg.avro.decoder_fast", "pyiceberg.io.pyarrow", "ua_parser_builtins.lazy",
    ]
)  # fmt: skip
FAILED = 3


def start(target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Run a function of a module in a process of its own."""
    process = _context.Process(target=_run, args=(target, arguments), daemon=True)
    with MonkeyPatch.context() as patch:
        # Hundreds of processes run the lines that other tests run once: to trace them takes as long as the loads.
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        forkserver.ensure_running()
    process.start()
    return process


def _run(target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    try:
        target(*arguments)
    except LakehouseError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def wait(process: ForkServerProcess) -> int:
    """The exit code of a process; negative: killed by that signal."""
    process.join(PATIENCE)
    code = process.exitcode
    if code is None:
        process.kill()
        raise AssertionError("the process never ended")
    process.close()
    return code


def load(folder: Path, paths: list[str], options: dict[str, Any], exit_at: str | None = None, dataset: Any = TINY) -> None:
    """Load in this process, which ends at a step."""
    Home(folder, dataset).load(*paths, observer=ExitAt(exit_at) if exit_at else SilentObserver(), **options)


def at_each_effect(call: Callable[[], None]) -> None:
    """From now on, call before and after this process changes something that outlives it: a file, the catalog's database."""

    def told(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def change(*arguments: Any, **named: Any) -> Any:
            call()
            result = function(*arguments, **named)
            call()
            return result

        return change

    for owner, name in (
        (Store, "write"), (Store, "delete"), (PyArrowFile, "create"),
        (SqliteCatalog, "_write_metadata"), (SqliteCatalog, "_change"),
    ):  # fmt: skip
        change = told(getattr(owner, name))
        setattr(owner, name, staticmethod(change) if isinstance(inspect.getattr_static(owner, name), staticmethod) else change)


def load_until_effect(folder: Path, paths: list[str], options: dict[str, Any], number: int, dataset: Any = TINY) -> None:
    """Load in this process, which ends before or after it has changed something that outlives it, the number-th time."""
    effects = itertools.count()

    def die_in_time() -> None:
        if next(effects) == number:
            os._exit(EXIT_CODE)

    at_each_effect(die_in_time)
    Home(folder, dataset).load(*paths, **options)


def queue() -> Any:
    """To bring answers back."""
    return _context.Queue()


def barrier(parties: int) -> Any:
    """To let processes begin at once."""
    return _context.Barrier(parties)


def load_together(folder: Path, path: str, options: dict[str, Any], begin: Any, answers: Any, dataset: Any = TINY) -> None:
    """Load at the same moment as others, and tell what came of it."""
    home = Home(folder, dataset)
    begin.wait(PATIENCE)
    try:
        answers.put((path, [outcome.status for outcome in home.load(path, **options).outcomes]))
    except LakehouseError as error:
        answers.put((path, str(error)))
        raise


def pipe() -> tuple[Any, Any]:
    """To hear from a process; its end is the second, which the parent closes."""
    return _context.Pipe()


def load_with_small_files(folder: Path, path: str, limit: int, answers: Any) -> None:
    """Load in a process whose files may not grow beyond `limit` bytes, and tell the error: a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        Home(folder).load(path)
        answers.send("loaded")
    except LakehouseError as error:
        answers.send(str(error))
