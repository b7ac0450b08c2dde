"""DuckDB as this package opens it."""

from contextlib import closing
from pathlib import Path

import polars as pl

from lakehouse.engines import duckdb as engine
from lakehouse.settings import load_settings


def test_it_has_as_many_threads_as_the_process_has_cpus(tmp_path: Path) -> None:
    settings = load_settings({"LAKEHOUSE_HOME": str(tmp_path), "HOME": str(tmp_path)})
    with closing(engine.connect(settings, extensions=())) as connection:
        assert connection.execute("SELECT current_setting('threads')").fetchone() == (pl.thread_pool_size(),)
