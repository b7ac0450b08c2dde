"""What differs between the files and Superset: `changes.py check ASSETS` says it, `changes.py export ASSETS` writes it down.

Only what came from the files counts, and charts that were put on a dashboard of the files since.
"""

import difflib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from asset_files import dump, read_assets
from merge import written_back
from superset.app import create_app


def main() -> int:
    """Returns an exit code: of `check` 1 when something differs."""
    command, folder = sys.argv[1], Path(sys.argv[2])
    engine = os.environ.get("DASHBOARDS_ENGINE", "duckdb")
    files = read_assets(folder)
    app = create_app()
    with app.app_context():
        from superset.utils.core import override_user

        from superset import security_manager

        with override_user(security_manager.find_user("admin")):
            changed = {path: content for path, content in _current(files, engine) if content != files.get(path)}
    for path, content in changed.items():
        if command == "export":
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
    return 1 if changed and command == "check" else 0


def _current(files: dict[str, Any], engine: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and content of every file as it would be if it were written from Superset now."""
    from superset.commands.chart.export import ExportChartsCommand
    from superset.commands.dashboard.export import ExportDashboardsCommand
    from superset.commands.dataset.export import ExportDatasetsCommand
    from superset.connectors.sqla.models import SqlaTable
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice

    from superset import db

    kinds = {
        "datasets": (SqlaTable, ExportDatasetsCommand),
        "charts": (Slice, ExportChartsCommand),
        "dashboards": (Dashboard, ExportDashboardsCommand),
    }
    known = {content.get("uuid") for content in files.values()}
    for path, content in files.items():
        model, command = kinds.get(path.split("/")[0], (None, None))
        found = model and db.session.query(model).filter_by(uuid=content["uuid"]).one_or_none()
        if not found:
            if model:
                print(f"{path} is not in Superset: the next import brings it back", file=sys.stderr)
            continue
        exported = yaml.safe_load(command._file_content(found))
        if path.startswith("datasets/") and exported["cache_timeout"] == found.database.cache_timeout:
            exported["cache_timeout"] = content["cache_timeout"]  # Superset exports the database's where a dataset has none
        if path.startswith("dashboards/"):
            exported["position"].pop("HEADER_ID", None)  # the title once more
            _charts_by_uuid(exported, {chart.id: str(chart.uuid) for chart in found.slices})
            for chart in sorted(found.slices, key=lambda chart: chart.id):
                if str(chart.uuid) not in known:
                    yield _new_chart(path, chart, yaml.safe_load(ExportChartsCommand._file_content(chart)), engine)
        yield path, written_back(content, exported, engine)


def _charts_by_uuid(dashboard: dict[str, Any], uuids: dict[int, str]) -> None:
    """Name the charts that a filter leaves out by UUID instead of by numbers that only this Superset knows."""
    for native_filter in dashboard.get("metadata", {}).get("native_filter_configuration", []):
        excluded = native_filter.get("scope", {}).get("excluded", [])
        native_filter.get("scope", {})["excluded"] = [uuids[number] for number in excluded if number in uuids]


def _new_chart(dashboard: str, chart: Any, exported: dict[str, Any], engine: str) -> tuple[str, dict[str, Any]]:
    name = re.sub(r"\W+", "_", chart.slice_name.lower()).strip("_") or "chart"
    keys = ("slice_name", "description", "viz_type", "params", "cache_timeout", "version", "dataset_uuid")
    content = {key: exported.get(key) for key in keys}
    folder = Path(dashboard).stem
    return f"charts/{folder}/{name}.yaml", written_back({**content, "params": {}, "uuid": str(chart.uuid)}, exported, engine)


if __name__ == "__main__":
    sys.exit(main())
