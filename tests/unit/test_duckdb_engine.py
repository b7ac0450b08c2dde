"""DuckDB as this package opens it."""

from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from lakehouse.engines import duckdb as engine
from lakehouse.settings import load_settings


def test_it_has_as_many_threads_as_the_process_has_cpus(tmp_path: Path) -> None:
    settings = load_settings({"LAKEHOUSE_HOME": str(tmp_path), "HOME": str(tmp_path)})
    with closing(engine.connect(settings, extensions=())) as connection:
        assert connection.execute("SELECT current_setting('threads')").fetchone() == (pl.thread_pool_size(),)


def test_what_does_not_fit_into_memory_goes_to_the_folder_of_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, temporary = tmp_path / "started", tmp_path / "temporary"
    started.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(started)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with closing(engine.connect(load_settings({"HOME": str(tmp_path)}), "40MB", extensions=())) as connection:
        distinct = "SELECT count(*) FROM (SELECT DISTINCT hash(range), hash(range + 1) FROM range(4_000_000))"
        assert engine.run(connection, distinct)[0].to_pylist() == [4_000_000]
        assert [path.name[:17] for path in temporary.iterdir()] == ["lakehouse-duckdb-"]
    assert list(temporary.iterdir()) == list(started.iterdir()) == []
