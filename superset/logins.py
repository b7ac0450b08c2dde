"""Keeps somebody who logs in from being logged out by their own browser.

The login page reports what it does, and the answer to such a report from nobody sets a cookie: it takes the place of the one that
the login has just set, if it comes later. The more processes answer, the more often it does.
"""

from flask import Blueprint, request, session

logins = Blueprint("logins", __name__)
REPORTS = "/superset/log/"


@logins.before_app_request
def refuse_reports_of_nobody() -> tuple[str, int] | None:
    """401 and no cookie."""
    # To ask who the user is would mark the session, which sets the cookie.
    return ("", 401) if request.path == REPORTS and "_user_id" not in session else None
