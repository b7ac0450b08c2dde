"""What differs between the files and Superset: `changes.py check ASSETS` says it, `changes.py export ASSETS` writes it down.

Only what came from the files counts, and charts that were put on a dashboard of the files since. What was deleted in Superset is
told, and its file is left: an import brings it back. The exit code is 0, 1 when a check finds something, and 2 when it could not
be told what differs.
"""

import difflib
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from asset_files import AssetError, dump, for_engine, read_assets
from merge import named_in, new_chart, with_charts, written_back

DIFFERENT, UNKNOWN = 1, 2


def main() -> int:
    """Returns an exit code."""
    logging.disable(logging.CRITICAL)  # what Superset says at each start
    try:
        return _compare(sys.argv[1], Path(sys.argv[2]))
    except AssetError as error:
        print(f"superset: {error}", file=sys.stderr)
    except Exception as error:  # Python's exit code would be that of a difference
        while cause := error.__cause__ or error.__context__:
            error = cause
        said = f"superset: what differs cannot be told: {type(error).__name__}: {error}"
        print(said.splitlines()[0], file=sys.stderr)
    return UNKNOWN


def _compare(command: str, folder: Path) -> int:
    files = read_assets(folder)
    with redirect_stdout(StringIO()):  # Superset names its configuration
        from superset.app import create_app

        app = create_app()
    with app.app_context():
        from sqlalchemy import inspect
        from superset.utils.core import override_user

        from superset import db, security_manager

        if not inspect(db.engine).has_table("dashboards"):
            raise AssetError("Superset's own database has no dashboards yet: start Superset once, which imports them")
        with override_user(security_manager.find_user("admin")):
            current = dict(_current(files, os.environ.get("DASHBOARDS_ENGINE", "duckdb")))
    changed = {path: content for path, content in current.items() if content != files.get(path)}
    for path, content in changed.items():
        if content is None:
            print(f"{path} is not in Superset: the next import brings it back, unless you remove the file")
        elif command == "export":
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(dump(content))
            print(path)
        else:
            before = dump(files[path]) if path in files else ""
            lines = difflib.unified_diff(
                before.splitlines(), dump(content).splitlines(), f"files/{path}", f"superset/{path}", "", "", 1
            )
            print("\n".join(line.rstrip() for line in lines))
    if not changed:
        print("The files and Superset are the same.")
    return DIFFERENT if changed and command == "check" else 0


def _current(files: dict[str, Any], engine: str) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Path and content of every file as it would be if it were written from Superset now; None where Superset has no such object.

    Raises:
        AssetError: a new chart stands on a dataset without a file, or the files do not fit the environment.
    """
    from superset.commands.chart.export import ExportChartsCommand
    from superset.commands.dashboard.export import ExportDashboardsCommand
    from superset.commands.database.export import ExportDatabasesCommand
    from superset.commands.dataset.export import ExportDatasetsCommand
    from superset.connectors.sqla.models import SqlaTable
    from superset.models.core import Database
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice

    from superset import db

    kinds = {
        "databases": (Database, ExportDatabasesCommand),
        "datasets": (SqlaTable, ExportDatasetsCommand),
        "charts": (Slice, ExportChartsCommand),
        "dashboards": (Dashboard, ExportDashboardsCommand),
    }
    paths = {content["uuid"]: path for path, content in files.items() if "uuid" in content}
    for path, content in files.items():
        kind = path.split("/")[0]
        if kind not in kinds:
            continue
        model, command = kinds[kind]
        found = db.session.query(model).filter_by(uuid=content["uuid"]).one_or_none()
        if not found:
            yield path, None
            continue
        exported = yaml.safe_load(command._file_content(found))
        if kind == "databases":
            exported = named_in(for_engine(content, engine), exported)  # the rest may be secret
        if kind == "datasets" and exported["cache_timeout"] == found.database.cache_timeout:
            exported["cache_timeout"] = content["cache_timeout"]  # Superset exports the database's where a dataset has none
        if kind == "dashboards":
            charts = sorted(found.slices, key=lambda chart: chart.id)
            exported["position"] = with_charts(json.loads(found.position_json), [str(chart.uuid) for chart in charts])
            exported["position"].pop("HEADER_ID", None)  # the title once more
            _charts_by_uuid(exported, {chart.id: str(chart.uuid) for chart in charts})
            for chart in charts:
                if str(chart.uuid) not in paths:
                    chart_path, made = new_chart(yaml.safe_load(ExportChartsCommand._file_content(chart)), path, paths)
                    paths[made["uuid"]] = chart_path
                    yield chart_path, made
        yield path, written_back(content, exported, engine)


def _charts_by_uuid(dashboard: dict[str, Any], uuids: dict[int, str]) -> None:
    """Name the charts that a filter leaves out by UUID instead of by numbers that only this Superset knows."""
    for native_filter in dashboard.get("metadata", {}).get("native_filter_configuration", []):
        excluded = native_filter.get("scope", {}).get("excluded", [])
        native_filter.get("scope", {})["excluded"] = [uuids[number] for number in excluded if number in uuids]


if __name__ == "__main__":
    sys.exit(main())
