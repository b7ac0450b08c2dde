"""What the command line loads before it knows what is wanted."""

import subprocess
import sys

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
