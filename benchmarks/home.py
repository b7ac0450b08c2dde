"""Embedded lakehouses to measure in."""

from collections.abc import Mapping
from pathlib import Path

from lakehouse.settings import Settings, load_settings


def settings_of(folder: Path, more: Mapping[str, str] | None = None) -> Settings:
    """Settings of a lakehouse in a folder, with nothing of the user's own, and `more` variables."""
    return load_settings({"LAKEHOUSE_HOME": str(folder), "HOME": str(folder), **(more or {})})
