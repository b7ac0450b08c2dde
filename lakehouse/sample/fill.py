"""Sample data of the last 20 days, for dashboards over a lakehouse that holds nothing else: `python -m lakehouse.sample.fill`.

May run again at any time: days are added as they pass, and none is loaded twice. Tables with inputs of other sources are left
alone.
"""

import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lakehouse.datasets import get_dataset
from lakehouse.errors import LakehouseError
from lakehouse.inputs import find_inputs
from lakehouse.load import Loader, Request
from lakehouse.load_options import Options
from lakehouse.patience import patiently
from lakehouse.reading import Reader
from lakehouse.sample import write_sample
from lakehouse.settings import Settings, load_settings

LINES = {
    "access_logs": {"rennes": 3_000, "paris": 6_000, "lyon": 1_500},
    "api_logs": {"paris": 1_200, "rennes": 400},
}
"""Lines a day, by dataset and site."""
DAYS = 20
GAP, DAYS_SINCE_GAP = ("access_logs", "lyon"), 6
"""Whose log of a day is missing, so that dashboards have a missing day to show."""
FORMAT = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" '
    "$request_time"
)
SOURCE = "sample"
"""Of all inputs that are loaded here, and of no others."""
WAIT_SECONDS = 900


def main() -> int:
    """Fill the lakehouse of the settings, once its servers are there; returns an exit code."""
    try:
        settings = load_settings()
        patiently(WAIT_SECONDS, lambda: fill(settings))
    except LakehouseError as error:
        print(f"lakehouse: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def fill(settings: Settings) -> None:
    """Load the days up to yesterday that are missing.

    Raises:
        LakehouseError: one of its kinds; what is missing stays missing.
    """
    for dataset in LINES:
        _fill(settings, dataset)


def _fill(settings: Settings, dataset: str) -> None:
    reader = Reader(settings)
    if any(record.source != SOURCE for record in reader.inputs(dataset)):
        return
    loader = Loader(settings, get_dataset(dataset, settings.datasets_folder))
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    loaded = reader.days(dataset)
    missing = min(DAYS, (yesterday - max(day for day, *_ in loaded)).days) if loaded else DAYS
    if missing < 1:
        loader.run(Request([]))  # rollups and reports, in case that the load that brought the days died before them
        return
    print(f"Writing and loading sample {dataset} of {len(LINES[dataset])} sites and {missing} days", file=sys.stderr)
    timed = dataset == "access_logs"
    with tempfile.TemporaryDirectory(prefix="lakehouse-") as folder:
        for seed, (site, rows) in enumerate(LINES[dataset].items()):
            files = write_sample(
                dataset, Path(folder) / site, missing, rows * missing, site, seed, yesterday, response_time=timed
            )  # fmt: skip
            if (dataset, site) == GAP and len(files) > DAYS_SINCE_GAP:
                files[-DAYS_SINCE_GAP].unlink()
        inputs = find_inputs([f"{folder}/{{site}}/*"], settings)
        options = Options(source=SOURCE, format=FORMAT if timed else None)
        loader.run(Request(inputs, options))


if __name__ == "__main__":
    sys.exit(main())
