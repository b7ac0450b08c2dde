"""What the command line loads before it knows what is wanted, and what it leaves running when it ends."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lakehouse.cli import main

HEAVY = ("polars", "pyarrow", "duckdb", "pyiceberg", "sqlalchemy", "rich", "boto3", "sqlglot", "numpy")


def test_help_imports_nothing_heavy() -> None:
    program = f"""
import sys
from lakehouse.cli import main
assert main(["--help"]) == 0
print(sorted(set({HEAVY!r}) & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Usage" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "[]"


def test_no_command_starts_the_threads_of_arrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends just after it has started them is aborted by them, with exit code 134."""
    calls = set()

    def without_threads(name: str, read: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            assert options.get("use_threads") is False, name
            calls.add(name)
            return read(*arguments, **options)

        return call

    for owner, name in (
        (pq, "read_table"), (pq.ParquetFile, "read"), (pq.ParquetFile, "read_row_group"), (pq.ParquetFile, "iter_batches"),
    ):  # fmt: skip
        monkeypatch.setattr(owner, name, without_threads(name, getattr(owner, name)))
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path / "home"))
    log = tmp_path / "access.log"
    line = '192.0.2.1 - - [21/Nov/2026:06:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "-"\n'
    log.write_text(line * 3 + "noise\n")
    load = ["load", "access_logs", str(log), "--site", "rennes"]
    for arguments in (
        load, load, ["rejects", "access_logs"], ["inputs", "access_logs"], [*load, "--reparse"],
        ["unload", "access_logs", str(log)],
    ):  # fmt: skip
        assert main(arguments) == 0
    assert calls == {"read_table", "read", "read_row_group", "iter_batches"}
