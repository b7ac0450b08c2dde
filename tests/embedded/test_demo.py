"""`make demo`: what a new user sees first."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.demo import QUERIES, SITES

pytestmark = pytest.mark.embedded


def test_the_demo_ends_with_what_was_loaded_three_answers_and_what_to_try(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LAKEHOUSE_", "AWS_"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "lakehouse.demo"],
        env={**environment, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.returncode, done.stderr) == (0, "")
    table, *answers, last = re.split("|".join(f"\n{title}\n" for title, _ in QUERIES), done.stdout)
    last_answer, try_next = last.split("\nTry next")
    loaded = re.findall(r"^(\w+) +14 +([\d,]+) +([\d,]+) +(\d+)$", table, re.MULTILINE)
    numbers = {site: [int(number.replace(",", "")) for number in found] for site, *found in loaded}
    assert {site: lines for site, (lines, _, _) in numbers.items()} == SITES
    assert all(lines == rows + rejects for lines, rows, rejects in numbers.values())
    for answer, (_, sql), rows in zip([*answers, last_answer], QUERIES, (3, 5, 5), strict=True):
        shown = answer.partition(f"  {sql}\n\n")[2].strip().splitlines()
        assert len(shown) == 1 + rows, answer
    assert "geoserver" in answers[1]
    commands = re.findall(r"^  lakehouse (\w+)", try_next, re.MULTILINE)
    assert commands == ["days", "inputs", "rejects", "sql", "load"]
