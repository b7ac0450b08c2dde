"""Keeps somebody who logs in from being logged out by their own browser.

The login page reports what it does, and the answer to such a report from nobody sets a cookie: it takes the place of the one that
the login has just set, if it comes later. The more processes answer, the more often it does.
"""

from flask import Blueprint, request
from flask_login import current_user

logins = Blueprint("logins", __name__)
REPORTS = "/superset/log/"


@logins.before_app_request
def refuse_reports_of_nobody() -> tuple[str, int] | None:
    """401 and no cookie."""
    return ("", 401) if request.path == REPORTS and current_user.is_anonymous else None
