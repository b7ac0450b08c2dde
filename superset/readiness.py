"""`/ready`: whether this server can work, which Superset's `/health` does not tell: its database answers and has its tables."""

from flask import Blueprint
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

readiness = Blueprint("readiness", __name__)


@readiness.route("/ready")
def ready() -> tuple[str, int]:
    """200 or 503, with the reason."""
    from superset import db

    try:
        versions = db.session.execute(text("SELECT version_num FROM alembic_version")).fetchall()
    except SQLAlchemyError as error:
        db.session.rollback()
        return f"the database does not answer: {type(error).__name__}", 503
    return ("ready", 200) if versions else ("the database has no tables yet", 503)
