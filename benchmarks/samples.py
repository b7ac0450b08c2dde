"""Logs to measure with: made once, kept in the cache folder, the same bytes everywhere."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import polars as pl

from lakehouse.sample import write_sample

END = date(2026, 11, 20)
SEED = 1
VERSION = 2
"""Part of the cache's names: raise it when the sample's bytes change."""


def cache_folder() -> Path:
    """Folder of the samples: in `LAKEHOUSE_CACHE`, or in ~/.cache/lakehouse. Deleting it is safe."""
    return Path(os.environ.get("LAKEHOUSE_CACHE") or Path.home() / ".cache" / "lakehouse") / f"benchmarks-{VERSION}"


def combined_log(rows: int, days: int = 1) -> Path:
    """One log of so many lines in Apache's combined format.

    A fifth as many addresses, a fiftieth as many agents and three tenths as many URLs as lines appear in it, but not
    more than in one million lines.
    """
    path = cache_folder() / f"combined-{rows}-{days}.log"
    if not path.exists():
        share = min(rows, 1_000_000)
        with _folder_beside(path) as folder:
            files = write_sample(
                "access_logs", folder, days, rows, "demo", SEED, END,
                unique_addresses=share // 5, unique_agents=share // 50, unique_urls=share * 3 // 10,
            )  # fmt: skip
            _join(files, folder / path.name)
            (folder / path.name).replace(path)
    return path


def shuffled_logs(rows: int, days: int, sites: int) -> Path:
    """A folder with `SITE/access.log` for so many sites; together `rows` lines at random moments of `days` days."""
    path = cache_folder() / f"shuffled-{rows}-{days}-{sites}"
    if not path.exists():
        lines = _lines(combined_log(min(rows, 1_000_000)))
        with _folder_beside(path) as folder:
            for number in range(sites):
                target = folder / path.name / f"site{number:02}" / "access.log"
                target.parent.mkdir(parents=True)
                chosen = lines.sample(rows // sites, with_replacement=True, shuffle=True, seed=SEED + number)
                with target.open("wb") as file:
                    for block in chosen.iter_slices(100_000):
                        file.write(_at_random(block, days, SEED + number + file.tell()))
            (folder / path.name).replace(path)
    return path


def _lines(path: Path) -> pl.DataFrame:
    """Lines cut into what stands before the timestamp and behind it; those without one are left out."""
    raw = pl.read_csv(
        path, has_header=False, separator="\x01", quote_char=None, new_columns=["line"], encoding="utf8-lossy"
    )  # fmt: skip
    return raw.select(
        pl.col("line").str.extract(r"^([^\[]*\[)").alias("before"),
        pl.col("line").str.extract(r"^[^\[]*\[[^\]]*(\].*)$").alias("behind"),
    ).drop_nulls()


def _at_random(block: pl.DataFrame, days: int, seed: int) -> bytes:
    first = pl.lit(END).cast(pl.Datetime("us")) - pl.duration(days=days - 1)
    seconds = pl.int_range(pl.len()).hash(seed) % (days * 86_400)
    moment = (first + pl.duration(seconds=seconds.cast(pl.Int64))).dt.strftime("%d/%b/%Y:%H:%M:%S +0000")
    text = block.select(pl.concat_str("before", moment, "behind")).write_csv(include_header=False, quote_style="never")
    return text.encode()


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """A folder for what is moved to `path` once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=path.parent) as folder:
        yield Path(folder)


def _join(files: Iterable[Path], target: Path) -> None:
    with target.open("wb") as out:
        for path in files:
            with path.open("rb") as file:
                shutil.copyfileobj(file, out, 2**20)
            path.unlink()
