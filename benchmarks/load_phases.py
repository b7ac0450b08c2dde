"""CPU seconds of a load by phase. Usage: load_phases LOG JSON_FILE, with LAKEHOUSE_HOME set."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from time import process_time
from typing import Any

import lakehouse.cli
from lakehouse import identity, inputs, load, load_commit, stage
from lakehouse.datasets.access_logs import enrich, native, parser
from lakehouse.engines import duckdb  # noqa: F401  imported here so that it counts as a start, not as a rollup

STARTED = process_time()
_FUNCTIONS: tuple[tuple[Any, str, str], ...] = (
    (inputs.OpenInput, "read", "read"),
    (identity.Hasher, "update", "hash"),
    (native.NativeEncoder, "encode", "parse and enrich, compiled"),
    (parser.AccessLogParser, "parse_raw", "parse"),
    (enrich.Enricher, "enrich", "enrich: agents, modules, privacy"),
    (stage.PartitionWriter, "write", "write Parquet"),
    (stage.PartitionWriter, "write_encoded", "write Parquet"),
    (stage.PartitionWriter, "finish", "write Parquet"),
    (load_commit, "commit_with_ledger", "commit"),
    (load, "update_rollups", "rollups"),
)


class Phases:
    """Adds up CPU seconds; what an inner phase takes does not count for the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {"start and imports": STARTED, "rest": 0.0}
        self._open = ["rest"]
        self._since = STARTED

    def _switch(self) -> None:
        now = process_time()
        name = self._open[-1]
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what happens inside under `name`."""
        self._switch()
        self._open.append(name)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()

    def watch(self, owner: Any, attribute: str, name: str) -> None:
        """Count every call of a function or method under `name`."""
        original: Callable[..., Any] = getattr(owner, attribute)

        @wraps(original)
        def counted(*arguments: Any, **keywords: Any) -> Any:
            with self.phase(name):
                return original(*arguments, **keywords)

        setattr(owner, attribute, counted)


def main() -> int:
    """Load as the command does, and write the seconds of each phase to a file."""
    log, answer = sys.argv[1:]
    phases = Phases()
    for owner, attribute, name in _FUNCTIONS:
        phases.watch(owner, attribute, name)
    with phases.phase("rest"):
        code = lakehouse.cli.main(["load", "access_logs", log, "--site", "demo"])
    Path(answer).write_text(json.dumps(phases.seconds), encoding="utf-8")
    return code


sys.exit(main())
