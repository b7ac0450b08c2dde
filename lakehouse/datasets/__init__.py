"""The datasets: built in, and the user's own TOML files."""

import difflib
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import DatasetError

if TYPE_CHECKING:
    from lakehouse.datasets.base import Dataset

BUILT_IN = ("access_logs", "api_logs")


def dataset_names(folder: Path) -> list[str]:
    """Names of all datasets: built in first, then those in a folder of TOML files."""
    own = sorted(path.stem for path in folder.glob("*.toml")) if folder.is_dir() else []
    return [*BUILT_IN, *(name for name in own if name not in BUILT_IN)]


def get_dataset(name: str, folder: Path) -> "Dataset":
    """A dataset by name.

    Args:
        name: built in, or the name of a TOML file without its ending.
        folder: with the user's own datasets.

    Raises:
        DatasetError: there is none of that name, or its file is wrong.
    """
    if name in BUILT_IN:
        return _built_in(name)
    if name in dataset_names(folder):
        from lakehouse.datasets.custom import load_toml

        return load_toml(folder / f"{name}.toml")
    known = dataset_names(folder)
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
    raise DatasetError(f"unknown dataset {name}: {hint} Own datasets are TOML files in {folder}")


@cache
def _built_in(name: str) -> "Dataset":
    dataset: Dataset = import_module(f"lakehouse.datasets.{name}").DATASET
    return dataset
