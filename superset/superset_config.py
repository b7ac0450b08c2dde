"""Superset's configuration, for the laptop and the cluster alike; what differs comes from the environment.

| variable (DASHBOARDS_...) | meaning |
|---|---|
| STATE | folder of what must survive a restart on the laptop, and of caches |
| TABLES | folder of the tables that DuckDB reads, or its address in S3 |
| S3_PROFILE | with `make superset`: profile of the standard chain that has keys for reading, instead of those of loads |
| S3_PATH_STYLE | `false`: an S3 server of one's own (`AWS_ENDPOINT_URL`) has the bucket in the host name |
| SECRET_KEY, GUEST_TOKEN_SECRET, ASYNC_QUERIES_SECRET | secrets; unless set, those of `secrets.json` in STATE |
| DATABASE | address of Superset's own database; unless set, a SQLite file in STATE |
| TRINO_URI, TRINO_PASSWORD, TRINO_AUTHORITY | user and address of Trino, password, and a PEM file with Trino's authority |
| TRINO_CATALOG, TRINO_SCHEMA | where Trino has the tables |
| REDIS, REDIS_PASSWORD | where several servers share their caches; unless set, they are in STATE |
| TLS | `true`: people come by a proxy that speaks TLS |
"""

import json
import os
from pathlib import Path
from typing import Any

import lakehouse_duckdb  # noqa: F401 registers the dialect
from kept import kept
from logins import logins
from readiness import readiness
from sqlalchemy.engine.url import URL, make_url
from superset.config import THEME_DARK, THEME_DEFAULT
from superset.utils.log import DBEventLogger
from theme import calm

STATE = Path(os.environ["DASHBOARDS_STATE"])
TLS = os.environ.get("DASHBOARDS_TLS") == "true"
ADMINISTRATOR = "admin"


def _secret(name: str) -> str:
    given = os.environ.get(f"DASHBOARDS_{name.upper()}")
    return given or str(json.loads((STATE / "secrets.json").read_text())[name])


SECRET_KEY = _secret("secret_key")
GUEST_TOKEN_JWT_SECRET = _secret("guest_token_secret")
GLOBAL_ASYNC_QUERIES_JWT_SECRET = _secret("async_queries_secret")
DATA_DIR = str(STATE)
SQLALCHEMY_DATABASE_URI = os.environ.get("DASHBOARDS_DATABASE") or f"sqlite:///{STATE}/superset.db?check_same_thread=false"
# A database that was away for a moment must cost no request.
SQLALCHEMY_ENGINE_OPTIONS = {"pool_pre_ping": True}


def _redis() -> str:
    """Address of the shared caches with its password; empty: there are none."""
    address, password = os.environ.get("DASHBOARDS_REDIS", ""), os.environ.get("DASHBOARDS_REDIS_PASSWORD", "")
    if not password:
        return address
    url = make_url(address)
    # A password without a user is left out of what SQLAlchemy renders.
    return url.set(username=url.username or "", password=password).render_as_string(hide_password=False)


def _cache(name: str, seconds: int) -> dict[str, Any]:
    if redis := _redis():
        return {
            "CACHE_TYPE": "RedisCache",
            "CACHE_REDIS_URL": redis,
            "CACHE_KEY_PREFIX": f"dashboards-{name}-",
            "CACHE_DEFAULT_TIMEOUT": seconds,
        }
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
RATELIMIT_STORAGE_URI = _redis() or "memory://"

FEATURE_FLAGS = {
    "EMBEDDED_SUPERSET": False,
    "ALERT_REPORTS": False,
    # Where Trino is asked in the name of a person, another one must not get the answer out of the cache.
    "CACHE_IMPERSONATION": True,
}


class Events(DBEventLogger):
    """Writes down what people do, but not the steps of a chart's question: they took a fifth of its time. Browsers tell them."""

    STEPS = frozenset(
        {
            "ChartDataRestApi.data",
            "ChartDataRestApi.json_dumps",
            "QueryObject.post_processing",
            "_get_data_response",
            "execute_sql",
            "load_into_dataframe",
        }
    )

    def log(self, user_id: int | None, action: str, *arguments: Any, **named: Any) -> None:
        """Write an event to Superset's database."""
        if action not in self.STEPS:
            super().log(user_id, action, *arguments, **named)


EVENT_LOGGER = Events()
BLUEPRINTS = [readiness, logins, kept]
PREVENT_UNSAFE_DB_CONNECTIONS = True
WTF_CSRF_ENABLED = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = TLS
ENABLE_PROXY_FIX = TLS
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
THEME_DEFAULT, THEME_DARK = calm(THEME_DEFAULT), calm(THEME_DARK)


def DB_SQLA_URI_VALIDATOR(uri: URL) -> None:
    """DuckDB would read any file of this machine: only the dialect that keeps it inside the lakehouse may be used."""
    if uri.get_backend_name() in ("duckdb", "motherduck") and uri.drivername != "duckdb+lakehouse":
        raise ValueError("DuckDB is reached as duckdb+lakehouse:// here, which reads the lakehouse and nothing else")


def DB_CONNECTION_MUTATOR(
    uri: URL, options: dict[str, Any], username: str | None, security_manager: object, source: object
) -> tuple[URL, dict[str, Any]]:
    """Give the connection to Trino what is in no file and no database: its password, and the authority of its certificate.

    Superset asks Trino in the name of who is logged in. Its administrator is nobody in particular and asks as Superset itself.
    """
    own = make_url(os.environ.get("DASHBOARDS_TRINO_URI", "trino://"))
    if (uri.drivername, uri.username, uri.host, uri.port) != (own.drivername, own.username, own.host, own.port) or not uri.host:
        return uri, options
    arguments = options.setdefault("connect_args", {})
    arguments |= {"http_scheme": "https", "verify": os.environ["DASHBOARDS_TRINO_AUTHORITY"]}
    if username == ADMINISTRATOR:
        arguments["user"] = uri.username
    return uri.set(password=os.environ["DASHBOARDS_TRINO_PASSWORD"]), options
