"""Superset's configuration, for the laptop and the cluster alike; what differs comes from the environment.

DASHBOARDS_STATE is the folder of what must survive a restart, DASHBOARDS_TABLES that of the tables DuckDB reads.
"""

import json
import os
from pathlib import Path
from typing import Any

import lakehouse_duckdb  # noqa: F401 registers the dialect
from sqlalchemy.engine.url import URL

STATE = Path(os.environ["DASHBOARDS_STATE"])
_SECRETS = json.loads((STATE / "secrets.json").read_text())

SECRET_KEY = _SECRETS["secret_key"]
GUEST_TOKEN_JWT_SECRET = _SECRETS["guest_token_secret"]
GLOBAL_ASYNC_QUERIES_JWT_SECRET = _SECRETS["async_queries_secret"]
DATA_DIR = str(STATE)
SQLALCHEMY_DATABASE_URI = f"sqlite:///{STATE}/superset.db?check_same_thread=false"


def _cache(name: str, seconds: int) -> dict[str, Any]:
    return {
        "CACHE_TYPE": "FileSystemCache",
        "CACHE_DIR": str(STATE / "cache" / name),
        "CACHE_DEFAULT_TIMEOUT": seconds,
        "CACHE_THRESHOLD": 2000,
    }


CACHE_CONFIG = _cache("metadata", 86_400)
# Loads come every few minutes at most; a tile may be that old.
DATA_CACHE_CONFIG = _cache("data", 60)
FILTER_STATE_CACHE_CONFIG = _cache("filters", 90 * 86_400)
EXPLORE_FORM_DATA_CACHE_CONFIG = _cache("explore", 7 * 86_400)
RATELIMIT_STORAGE_URI = "memory://"

FEATURE_FLAGS = {"EMBEDDED_SUPERSET": False, "ALERT_REPORTS": False}
PREVENT_UNSAFE_DB_CONNECTIONS = True
WTF_CSRF_ENABLED = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = os.environ.get("DASHBOARDS_TLS") == "true"
TALISMAN_ENABLED = True
# Nothing from elsewhere: no maps, no avatars, no telemetry.
TALISMAN_CONFIG = {
    "content_security_policy": {
        "base-uri": ["'self'"],
        "default-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:"],
        "worker-src": ["'self'", "blob:"],
        "connect-src": ["'self'"],
        "object-src": "'none'",
        "style-src": ["'self'", "'unsafe-inline'"],
        "script-src": ["'self'", "'strict-dynamic'"],
        "frame-ancestors": ["'none'"],
    },
    "content_security_policy_nonce_in": ["script-src"],
    "force_https": False,
    "session_cookie_secure": SESSION_COOKIE_SECURE,
}

SUPERSET_WEBSERVER_TIMEOUT = 120
SQLLAB_TIMEOUT = 60
ROW_LIMIT = 10_000
SQL_MAX_ROW = 100_000
APP_NAME = "Lakehouse"


def DB_SQLA_URI_VALIDATOR(uri: URL) -> None:
    """DuckDB would read any file of this machine: only the dialect that keeps it inside the lakehouse may be used."""
    if uri.get_backend_name() in ("duckdb", "motherduck") and uri.drivername != "duckdb+lakehouse":
        raise ValueError("DuckDB is reached as duckdb+lakehouse:// here, which reads the lakehouse and nothing else")
