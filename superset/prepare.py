"""Bring Superset's own database up to date and import the dashboards: `prepare.py ASSETS`. May run again at any time.

DASHBOARDS_ENGINE names the query engine: `duckdb` (unless set) or `trino`; the import waits until it answers. Objects that come
from the files are known by their UUID and carry a mark; those with the mark whose file is gone are removed. What people made in
the browser has no mark and is left alone.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import backoff
import flask_migrate
from access import apply_access, read_users
from asset_files import AssetError, dump, for_engine, read_assets
from sqlalchemy import create_engine
from sqlalchemy.engine.url import make_url
from sqlalchemy.exc import DatabaseError
from superset.app import create_app

import superset

ENGINE_TIMEOUT = 900
"""Seconds to wait for the query engine."""
MARK = "lakehouse:"
"""Begins `external_url` of what comes from the files."""
FOLDERS = ("charts", "dashboards", "datasets", "databases")


def main() -> int:
    """Migrate, make the administrator, import; returns an exit code."""
    try:
        engine = os.environ.get("DASHBOARDS_ENGINE", "duckdb")
        users = read_users(os.environ.get("DASHBOARDS_USERS"))
        contents = {path: for_engine(content, engine) for path, content in read_assets(Path(sys.argv[1])).items()}
    except AssetError as error:
        print(f"superset: {error}", file=sys.stderr)
        return 1
    app = create_app()
    with app.app_context():
        from superset.connectors.sqla.models import SqlaTable
        from superset.models.core import Database

        from superset import appbuilder, db, security_manager

        flask_migrate.upgrade(directory=str(Path(superset.__file__).parent / "migrations"))
        appbuilder.add_permissions(update_perms=True)
        security_manager.sync_role_definitions()
        admin = security_manager.find_user("admin") or security_manager.add_user(
            "admin", "Lakehouse", "Administrator", "admin@localhost", security_manager.find_role("Admin"),
            os.environ["DASHBOARDS_ADMIN_PASSWORD"],
        )  # fmt: skip
        try:
            contents = _answerable(contents, engine, app.config["DB_CONNECTION_MUTATOR"])
        except DatabaseError as error:
            print(f"superset: the query engine does not answer: {error.orig}", file=sys.stderr)
            return 1
        imported, removed = import_assets(contents, admin)
        datasets, databases = (
            db.session.query(model).filter(model.external_url.startswith(MARK)).all() for model in (SqlaTable, Database)
        )
        try:
            apply_access(users, datasets, databases)
        except AssetError as error:
            print(f"superset: {error}", file=sys.stderr)
            return 1
        print(f"{imported} charts, dashboards and datasets imported, {removed} removed")
    return 0


def import_assets(contents: dict[str, Any], user: object) -> tuple[int, int]:
    """Import all contents, by path, all or nothing; returns how many objects were imported and removed."""
    from superset.commands.importers.v1.assets import ImportAssetsCommand
    from superset.connectors.sqla.models import SqlaTable
    from superset.models.core import Database
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice
    from superset.utils.core import override_user

    from superset import db

    command = ImportAssetsCommand({path: dump(_whole(content)) for path, content in contents.items()})
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
    return len(ours), removed


def _whole(content: Any) -> Any:
    """Give a dashboard what the import wants and the files leave out.

    These are numbers of its charts, which the import replaces (the files know charts by UUID only), and its title once more.
    """
    if "position" in content:
        content["position"]["HEADER_ID"] = {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": content["dashboard_title"]}}
    charts = [cell for cell in content.get("position", {}).values() if isinstance(cell, dict) and cell.get("type") == "CHART"]
    numbers = {cell["meta"]["uuid"]: number for number, cell in enumerate(charts, 1)}
    for cell in charts:
        cell["meta"]["chartId"] = numbers[cell["meta"]["uuid"]]
    for native_filter in content.get("metadata", {}).get("native_filter_configuration", []):
        native_filter["scope"]["excluded"] = [numbers[chart] for chart in native_filter["scope"]["excluded"]]
    return content


def _answerable(contents: dict[str, Any], engine: str, mutator: Any) -> dict[str, Any]:
    """What of the contents the query engine can answer: without tables of a lakehouse, the connection alone.

    Raises:
        DatabaseError: DuckDB cannot open the tables, or Trino has not answered for ENGINE_TIMEOUT seconds.
    """
    for path, content in contents.items():
        if path.startswith("databases/"):
            if engine == "trino":
                _wait_for(content, mutator)
                continue
            with _connected(content, mutator) as connection:
                has_tables = bool(connection.connection.session.lakehouse)
            if not has_tables:
                print(f"{os.environ['DASHBOARDS_TABLES']} has no tables of a lakehouse: the dashboards are left out")
                return {path: content for path, content in contents.items() if path.startswith(("databases/", "metadata."))}
    return contents


@backoff.on_exception(backoff.constant, Exception, max_time=ENGINE_TIMEOUT, interval=1, logger=None)
def _wait_for(database: dict[str, Any], mutator: Any) -> None:
    """Return when the query engine answers; raises its error after ENGINE_TIMEOUT seconds."""
    with _connected(database, mutator):
        pass


@contextmanager
def _connected(database: dict[str, Any], mutator: Any) -> Iterator[Any]:
    """A connection to the query engine, which has answered."""
    options = dict(database["extra"].get("engine_params", {}))
    uri, options = mutator(make_url(database["sqlalchemy_uri"]), options, None, None, None)
    with create_engine(uri, **options).connect() as connection:
        connection.exec_driver_sql("SELECT 1").fetchall()
        yield connection


if __name__ == "__main__":
    sys.exit(main())
