"""The command line: arguments in, text or JSON out; no logic of its own."""

from lakehouse.cli.app import main, run

__all__ = ["main", "run"]
