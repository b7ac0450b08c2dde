"""Run a program of the dashboards over the lakehouse of the settings: `start.py PROGRAM ARGUMENT...`.

The lakehouse is that of LAKEHOUSE_HOME, else ./demo-lakehouse. Where it is empty it gets sample data of the last 20 days; only
tables that were filled here get new days later. A comparison (the last argument is `check` or `export`) needs no data.
Where the tables are, and how to log in to S3, the program finds in its environment. Whoever has set DASHBOARDS_TABLES wants
that folder or address, whatever it holds, and no lakehouse.
"""

import os
import sys
from pathlib import Path

from lakehouse.errors import LakehouseError
from lakehouse.sample.fill import fill
from lakehouse.settings import Settings, load_settings
from lakehouse.storage import is_s3, region


def main() -> int:
    """Returns an exit code, where it does not become the program."""
    os.environ.setdefault("LAKEHOUSE_HOME", str(Path("demo-lakehouse").absolute()))
    try:
        settings = load_settings()
        os.environ.setdefault("DASHBOARDS_STATE", str(settings.home / "superset"))
        if "DASHBOARDS_TABLES" not in os.environ:
            if sys.argv[-1] not in ("check", "export"):
                fill(settings)
            os.environ["DASHBOARDS_TABLES"] = f"{settings.warehouse}/{settings['namespace']}"
            if is_s3(settings.warehouse):
                _log_in(settings)
    except LakehouseError as error:
        print(f"superset: {error}", file=sys.stderr)
        return error.exit_code
    os.execvp(sys.argv[1], sys.argv[1:])


def _log_in(settings: Settings) -> None:
    """Say in the variables of the standard chain what the settings say of S3; keys that are in none come from the chain.

    With DASHBOARDS_S3_PROFILE, that profile of the chain has the keys, and the program is told no others.
    """
    told = {
        "AWS_ENDPOINT_URL_S3": settings["s3.endpoint"],
        "AWS_REGION": region(settings),
        "AWS_CA_BUNDLE": settings["s3.ca_file"],
    }
    os.environ.update({name: value for name, value in told.items() if value})
    os.environ["DASHBOARDS_S3_PATH_STYLE"] = str(settings["s3.path_style"]).lower()
    if profile := os.environ.get("DASHBOARDS_S3_PROFILE"):
        for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
            # A key in a variable would win over the profile.
            os.environ.pop(f"AWS_{name}", None)
            os.environ.pop(f"LAKEHOUSE_S3_{name}", None)
        os.environ["AWS_PROFILE"] = profile
    elif settings["s3.access_key_id"]:
        os.environ["AWS_ACCESS_KEY_ID"] = settings["s3.access_key_id"]
        os.environ["AWS_SECRET_ACCESS_KEY"] = settings["s3.secret_access_key"]
        os.environ["AWS_SESSION_TOKEN"] = settings["s3.session_token"]


if __name__ == "__main__":
    sys.exit(main())
