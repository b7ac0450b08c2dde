"""Who may see what, as code: roles, users and row-level security by site. May run again at any time.

DASHBOARDS_USERS names a YAML file with a list of users:

    - name: anna
      role: viewer        # sees the dashboards, and the rows of these sites
      sites: [rennes]
    - name: otto
      role: analyst       # sees all rows, makes charts, asks in SQL Lab

Their passwords are in the JSON file DASHBOARDS_PASSWORDS, by name. Whoever is not in the list any more cannot log in any more;
users that somebody made in the browser are left alone. Nobody but administrators and analysts sees a row of a dataset that came
from the files unless a rule here says so.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from asset_files import AssetError

ROLES = ("analyst", "viewer")
ANALYST, VIEWER = "Analyst", "Viewer"
MARK = "@users.lakehouse"
"""Ends the address of users that come from the file."""
RULE = "lakehouse: "
"""Begins the names of rules, and of the roles that hold somebody's sites."""
SEEN_BY_VIEWERS = {
    ("can_log", "Superset"),
    ("can_recent_activity", "Log"),
    ("can_read", "SecurityRestApi"),
    ("can_userinfo", "UserDBModelView"),
    ("menu_access", "Dashboards"),
    ("menu_access", "Home"),
}
"""What viewers may do besides what Superset would let the public do, had it the right to any dataset."""


@dataclass(frozen=True)
class User:
    """Somebody who may log in: `role` is one of `ROLES`, `sites` are those of a viewer."""

    name: str
    role: str
    sites: tuple[str, ...] = ()


def read_users(path: str | None) -> list[User]:
    """Users of a file; none without a file.

    Raises:
        AssetError: it cannot be read, or an entry is not as it must be.
    """
    if not path:
        return []
    try:
        entries = yaml.safe_load(Path(path).read_text()) or []
        users = [User(entry["name"], entry["role"], tuple(entry.get("sites", ()))) for entry in entries]
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise AssetError(f"{path} must be a list of users, each with name, role and, for a viewer, sites: {error!r}") from error
    for user in users:
        if user.role not in ROLES:
            raise AssetError(f"{path}: {user.name} has the role {user.role!r}: choose one of {', '.join(ROLES)}")
        if (user.role == "viewer") != bool(user.sites):
            raise AssetError(f"{path}: {user.name}: a viewer has sites, and nobody else has")
    if len({user.name for user in users} | {"admin"}) <= len(users):
        raise AssetError(f"{path}: every name must be there once, and admin is taken")
    return users


def apply_access(users: list[User], datasets: list[Any], databases: list[Any]) -> None:
    """Bring roles, rules and users up to date.

    Args:
        users: those who may log in, the administrator aside.
        datasets, databases: those that came from the files.

    Raises:
        AssetError: a user has no password.
    """
    passwords = json.loads(Path(os.environ["DASHBOARDS_PASSWORDS"]).read_text()) if users else {}
    for user in users:
        if not passwords.get(user.name):
            raise AssetError(f"{user.name} has no password in {os.environ['DASHBOARDS_PASSWORDS']}")
    from superset import db

    _set_roles(datasets, databases)
    _set_rules({site for user in users for site in user.sites}, datasets)
    _set_users(users, passwords)
    db.session.commit()


def _set_roles(datasets: list[Any], databases: list[Any]) -> None:
    from superset import security_manager as manager

    everything = manager._get_all_pvms()
    access = [manager.add_permission_view_menu("datasource_access", dataset.perm) for dataset in datasets]
    seen = manager.PUBLIC_ROLE_PERMISSIONS | SEEN_BY_VIEWERS
    viewer = [found for found in everything if (found.permission.name, found.view_menu.name) in seen]
    manager.add_role(VIEWER).permissions = [*viewer, *access]
    analyst = {*manager.find_role("Gamma").permissions, *manager.find_role("sql_lab").permissions}
    analyst |= {manager.add_permission_view_menu("database_access", database.perm) for database in databases}
    manager.add_role(ANALYST).permissions = list(analyst)


def _set_rules(sites: set[str], datasets: list[Any]) -> None:
    """A rule for each site, which hold together with OR, and one that shows nothing to whoever has none."""
    from superset.connectors.sqla.models import RowLevelSecurityFilter

    from superset import db
    from superset import security_manager as manager

    rules = {}
    for site in sorted(sites):
        clause = "site = '" + site.replace("'", "''") + "'"
        rules[f"{RULE}site {site}"] = ("Regular", clause, [manager.add_role(f"{RULE}site {site}")])
    everybody_else = [manager.find_role("Admin"), manager.find_role(ANALYST), *(role for *_, (role,) in rules.values())]
    rules[f"{RULE}nothing without a site"] = ("Base", "1 = 0", everybody_else)
    known = {rule.name: rule for rule in db.session.query(RowLevelSecurityFilter) if rule.name.startswith(RULE)}
    for name, (kind, clause, roles) in rules.items():
        rule = known.pop(name, None) or RowLevelSecurityFilter(name=name)
        rule.filter_type, rule.clause, rule.group_key, rule.roles, rule.tables = kind, clause, f"{kind} site", roles, datasets
        rule.description = "Comes from the code; changes here are lost."
        db.session.add(rule)
    for rule in known.values():
        db.session.delete(rule)


def _set_users(users: list[User], passwords: dict[str, str]) -> None:
    from werkzeug.security import generate_password_hash

    from superset import db
    from superset import security_manager as manager

    for user in users:
        role = {"analyst": ANALYST, "viewer": VIEWER}[user.role]
        roles = [manager.find_role(role), *(manager.find_role(f"{RULE}site {site}") for site in user.sites)]
        found = manager.find_user(user.name)
        if found is None:
            found = manager.add_user(user.name, user.name, "", f"{user.name}{MARK}", roles, passwords[user.name])
        elif not found.email.endswith(MARK):
            raise AssetError(f"{user.name} was made in the browser: give the user in the file another name")
        found.roles, found.active, found.password = roles, True, generate_password_hash(passwords[user.name])
    names = {user.name for user in users}
    for found in db.session.query(manager.user_model).filter(manager.user_model.email.endswith(MARK)):
        if found.username not in names:
            found.active, found.roles = False, []
