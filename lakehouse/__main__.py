"""`python -m lakehouse`."""

from lakehouse.cli import run

run()
