"""`make demo`: sample logs of three sites and fourteen days, loaded, queried and explained."""

import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lakehouse.cli import run
from lakehouse.cli.output import print_table, write_result
from lakehouse.datasets import get_dataset
from lakehouse.inputs import find_inputs
from lakehouse.load import Loader, Request
from lakehouse.load_options import Options
from lakehouse.reading import Reader
from lakehouse.sample import write_sample
from lakehouse.settings import load_settings

SITES = {"rennes": 30_000, "paris": 60_000, "lyon": 15_000}
DAYS = 14
QUERIES = (
    (
        "Hits, visitors and errors by site",
        "select site, count(*) as hits, count(distinct visitor) as daily_visitors, "
        "sum(bytes) // 1000000 as megabytes, round(100.0 * avg(cast(status >= 500 as int)), 2) as error_percent "
        "from access_logs where not is_bot group by site order by hits desc",
    ),
    (
        "Busiest applications of the last three days",
        "select application, count(*) as hits, count(*) filter (where status >= 400) as errors from access_logs "
        "where date > (select max(date) from access_logs) - 3 group by application order by hits desc limit 5",
    ),
    (
        "Map layers asked for most",
        "select layer, count(*) as requests from (select unnest(layers) as layer from access_logs where service = 'WMS') "
        "group by layer order by requests desc, layer limit 5",
    ),
)


def main() -> int:
    """Make the demo in ./demo-lakehouse, anew each time; returns an exit code."""
    folder = Path("demo-lakehouse").absolute()
    if folder.exists() and not (folder / "samples").is_dir():
        print(f"{folder} exists and is not a demo: move it away first", file=sys.stderr)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    settings = load_settings({"LAKEHOUSE_HOME": str(folder)})
    end = (datetime.now(UTC) - timedelta(days=1)).date()
    print(f"1. Writing sample logs of {len(SITES)} sites and {DAYS} days to {folder / 'samples'}")
    for seed, (site, rows) in enumerate(SITES.items()):
        write_sample("access_logs", folder / "samples" / site, days=DAYS, rows=rows, site=site, seed=seed, end=end)
    print("2. Loading them, one Iceberg partition a day and site, in one commit")
    dataset = get_dataset("access_logs", settings.datasets_folder)
    inputs = find_inputs([str(folder / "samples" / "{site}" / "*")], settings)
    report = Loader(settings, dataset).run(Request(inputs, Options()))
    print("3. Loading them again: every input is known, nothing is read or added")
    again = Loader(settings, dataset).run(Request(inputs, Options()))
    assert not again.load_ids
    by_site = [
        (
            site,
            sum(1 for outcome in report.outcomes if outcome.site == site),
            sum(outcome.lines for outcome in report.outcomes if outcome.site == site),
            sum(outcome.rows for outcome in report.outcomes if outcome.site == site),
            sum(outcome.known_rejects + outcome.unknown_rejects for outcome in report.outcomes if outcome.site == site),
        )
        for site in SITES
    ]
    print()
    print_table(("site", "inputs", "lines", "rows", "rejects"), by_site, ("inputs", "lines", "rows", "rejects"))
    reader = Reader(settings)
    for title, sql in QUERIES:
        print(f"\n{title}\n\n  {sql}\n")
        write_result(reader.sql(sql), "table", None)
    print(
        f"""
Try next (in this folder):

  export PATH="{Path(sys.executable).parent}:$PATH" LAKEHOUSE_HOME="{folder}"
  lakehouse days access_logs
  lakehouse inputs access_logs
  lakehouse rejects access_logs
  lakehouse sql "select date, count(*) hits from access_logs group by 1 order by 1"
  lakehouse load access_logs /var/log/nginx/access.log.1 --site mine"""
    )
    return 0


if __name__ == "__main__":
    run(main)
