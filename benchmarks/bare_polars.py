"""The least that a load could do: a regular expression, the timestamp, Parquet. Usage: bare_polars LOG PARQUET."""

import sys

import polars as pl

COMBINED = r'^(\S+) \S+ (\S+) \[([^\]]+)\] "([^"]*)" (\d{3}|-) (\d+|-) "([^"]*)" "([^"]*)"'


def main() -> None:
    """Stream a log through; of the ways to write this in polars it is the one with the least CPU and memory."""
    log, parquet = sys.argv[1:]
    lines = pl.scan_csv(
        log, has_header=False, separator="\x01", quote_char=None, new_columns=["line"], encoding="utf8-lossy"
    )  # fmt: skip
    groups = lines.select(pl.col("line").str.extract_groups(COMBINED).alias("groups")).unnest("groups")
    moment = pl.col("3").str.to_datetime("%d/%b/%Y:%H:%M:%S %z", strict=False)
    groups.with_columns(moment).sink_parquet(parquet, compression="zstd")


main()
