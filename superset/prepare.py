"""Bring Superset's own database up to date and import the dashboards: `prepare.py ASSETS`. May run again at any time.

Objects that come from the files are known by their UUID and carry a mark; those with the mark whose file is gone are removed.
What people made in the browser has no mark and is left alone.
"""

import os
import sys
import time
from pathlib import Path

import flask_migrate
import yaml
from sqlalchemy import text
from superset.app import create_app

import superset

ENGINE_TIMEOUT = 120
"""Seconds to wait for the query engine."""
MARK = "lakehouse:"
"""Begins `external_url` of what comes from the files."""
FOLDERS = ("charts", "dashboards", "datasets", "databases")


def main() -> int:
    """Migrate, make the administrator, import; returns an exit code."""
    app = create_app()
    with app.app_context():
        from superset import appbuilder, security_manager

        flask_migrate.upgrade(directory=str(Path(superset.__file__).parent / "migrations"))
        appbuilder.add_permissions(update_perms=True)
        security_manager.sync_role_definitions()
        admin = security_manager.find_user("admin") or security_manager.add_user(
            "admin", "Lakehouse", "Administrator", "admin@localhost", security_manager.find_role("Admin"),
            os.environ["DASHBOARDS_ADMIN_PASSWORD"],
        )  # fmt: skip
        imported, removed = import_assets(Path(sys.argv[1]), admin)
        print(f"{imported} charts, dashboards and datasets imported, {removed} removed")
    return 0


def import_assets(folder: Path, user: object) -> tuple[int, int]:
    """Import all files, all or nothing; returns how many objects were imported and removed."""
    from superset.commands.importers.v1.assets import ImportAssetsCommand
    from superset.connectors.sqla.models import SqlaTable
    from superset.models.core import Database
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice
    from superset.utils.core import override_user

    from superset import db

    contents = {str(path.relative_to(folder)): _with_chart_ids(path.read_text()) for path in sorted(folder.rglob("*.yaml"))}
    command = ImportAssetsCommand(contents)
    with override_user(user):
        command.run()
        ours = {str(config["uuid"]) for name, config in command._configs.items() if name.split("/")[0] in FOLDERS}
        removed = 0
        for model in (Dashboard, Slice, SqlaTable, Database):
            for found in db.session.query(model).all():
                if str(found.uuid) in ours:
                    found.external_url = f"{MARK}{found.uuid}"
                elif (found.external_url or "").startswith(MARK):
                    db.session.delete(found)
                    removed += 1
        db.session.commit()
        for database in db.session.query(Database).filter(Database.external_url.startswith(MARK)):
            _wait_for(database)
    return len(ours), removed


def _with_chart_ids(text: str) -> str:
    """Give the charts of a dashboard the numbers that the import wants, and replaces: the files know charts by UUID only."""
    content = yaml.safe_load(text)
    charts = [cell for cell in content.get("position", {}).values() if isinstance(cell, dict) and cell.get("type") == "CHART"]
    for number, cell in enumerate(charts, 1):
        cell["meta"]["chartId"] = number
    return yaml.safe_dump(content) if charts else text


def _wait_for(database: object) -> None:
    """Return when the query engine answers; raises its error after ENGINE_TIMEOUT seconds."""
    end = time.monotonic() + ENGINE_TIMEOUT
    while True:
        try:
            with database.get_sqla_engine() as engine, engine.connect() as connection:
                connection.execute(text("SELECT 1"))
            return
        except Exception:
            if time.monotonic() > end:
                raise
            time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
