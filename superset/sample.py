"""Print the folder of the tables, which has sample data of the last 20 days where the lakehouse was empty.

The lakehouse is that of LAKEHOUSE_HOME, else ./demo-lakehouse. Only tables that were filled here get new days later.
"""

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lakehouse.datasets import get_dataset
from lakehouse.errors import LakehouseError, UsageError
from lakehouse.inputs import find_inputs
from lakehouse.load import Loader, Request
from lakehouse.load_options import Options
from lakehouse.reading import Reader
from lakehouse.sample import write_sample
from lakehouse.settings import Settings, load_settings
from lakehouse.storage import is_s3

SITES = {"rennes": 3_000, "paris": 6_000, "lyon": 1_500}
"""Lines a day."""
DAYS = 20
FORMAT = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" '
    "$request_time"
)


def main() -> int:
    """Returns an exit code."""
    os.environ.setdefault("LAKEHOUSE_HOME", str(Path("demo-lakehouse").absolute()))
    try:
        settings = load_settings()
        if is_s3(settings.warehouse):
            raise UsageError(f"the warehouse is {settings.warehouse}: dashboards on this machine need one in a folder")
        _fill(settings)
    except LakehouseError as error:
        print(f"superset: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{settings.warehouse}/{settings['namespace']}")
    return 0


def _fill(settings: Settings) -> None:
    samples = settings.home / "samples"
    loaded = Reader(settings).days("access_logs")
    if loaded and not samples.is_dir():
        return
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    missing = min(DAYS, (yesterday - max(day for day, *_ in loaded)).days) if loaded else DAYS
    if missing < 1:
        return
    print(f"Writing and loading sample logs of {len(SITES)} sites and {missing} days", file=sys.stderr)
    folder = samples / f"dashboards-{yesterday:%Y%m%d}"
    for seed, (site, rows) in enumerate(SITES.items()):
        if not (folder / site).is_dir():
            write_sample(
                "access_logs", folder / site, missing, rows * missing, site, seed, yesterday, response_time=True
            )  # fmt: skip
    inputs = find_inputs([str(folder / "{site}" / "*")], settings)
    dataset = get_dataset("access_logs", settings.datasets_folder)
    Loader(settings, dataset).run(Request(inputs, Options(format=FORMAT)))


if __name__ == "__main__":
    sys.exit(main())
