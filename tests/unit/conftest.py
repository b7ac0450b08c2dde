"""What the tests of users' datasets share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lakehouse.datasets.custom import CustomDataset, load_toml

Define = Callable[[str], CustomDataset]


@pytest.fixture
def define(tmp_path: Path) -> Define:
    """Makes a dataset named `own` of the text of a TOML file."""

    def made(text: str) -> CustomDataset:
        (tmp_path / "own.toml").write_text(text, encoding="utf-8")
        return load_toml(tmp_path / "own.toml")

    return made
