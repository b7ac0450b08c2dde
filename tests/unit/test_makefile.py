"""`make lint` with the Rust that there is: what cannot be checked is said, and fails nothing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
NO_COMMAND = 'case "$1" in fmt | clippy) echo "error: no such command" >&2; exit 101 ;; esac'
WRONG_STYLE = '[ "$2" = --version ]'
FITTING, OLD = "rustc 9.0.0 (abc 2026-01-01)", "rustc 1.63.0 (abc 2022-08-08)"


@pytest.mark.parametrize(
    ("cargo", "version", "code", "said"),
    [
        (NO_COMMAND, FITTING, 0, True),
        (WRONG_STYLE, OLD, 0, True),
        (WRONG_STYLE, FITTING, 2, False),
        ("exit 0", FITTING, 0, False),
    ],
    ids=["no rustfmt", "old Rust", "wrong style", "right style"],
)
def test_the_style_of_the_compiled_parser(tmp_path: Path, cargo: str, version: str, code: int, said: bool) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is missing")
    programs = tmp_path / "bin"
    programs.mkdir()
    scripts = {"cargo": cargo, "rustc": f"echo '{version}'", "python": "exit 0", "ruff": "exit 0", "mypy": "exit 0"}
    for name, script in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    for name in (".created", ".runtime", ".dev"):
        (tmp_path / name).touch()
    # A make of their own: this test may run under `make test`.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        [make, "lint", f"VENV={tmp_path}", f"NATIVE={tmp_path}/none.so"],
        env={**environment, "PATH": f"{programs}:{environment.get('PATH', os.defpath)}"},
        cwd=REPOSITORY,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == code, done.stderr
    assert ("STYLE WAS NOT CHECKED" in done.stderr) == said
