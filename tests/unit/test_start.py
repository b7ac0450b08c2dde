"""How the command line begins and ends as a process."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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


def end_of(program: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A program that ends with `run`."""
    code = f"import atexit, sys\nfrom lakehouse.cli import run\n{program}"
    return subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, check=False, **options)


def test_nothing_can_change_the_exit_code_of_a_command_that_is_done() -> None:
    program = "atexit.register(print, 'Python is taken down')\nprint('answer', end='')\nrun(lambda: 2)"
    ended = end_of(program, stdout=subprocess.PIPE)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "answer", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_an_answer_that_cannot_be_written_is_a_failure() -> None:
    with open("/dev/full", "w") as full:
        ended = end_of("run(lambda: print('answer') or 0)", stdout=full)
    assert (ended.returncode, ended.stderr) == (1, "lakehouse: standard output cannot be written: No space left on device\n")


def test_an_answer_that_nobody_reads_is_a_failure_without_a_word() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = end_of("run(lambda: print('answer') or 0)", stdout=writer)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")
