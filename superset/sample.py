"""Print the folder of the tables, which has sample data of the last 20 days where the lakehouse was empty.

The lakehouse is that of LAKEHOUSE_HOME, else ./demo-lakehouse. Only tables that were filled here get new days later.
"""

import os
import sys
from pathlib import Path

from lakehouse.errors import LakehouseError, UsageError
from lakehouse.sample.fill import fill
from lakehouse.settings import load_settings
from lakehouse.storage import is_s3


def main() -> int:
    """Returns an exit code."""
    os.environ.setdefault("LAKEHOUSE_HOME", str(Path("demo-lakehouse").absolute()))
    try:
        settings = load_settings()
        if is_s3(settings.warehouse):
            raise UsageError(f"the warehouse is {settings.warehouse}: dashboards on this machine need one in a folder")
        fill(settings)
    except LakehouseError as error:
        print(f"superset: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{settings.warehouse}/{settings['namespace']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
