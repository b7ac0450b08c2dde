"""Superset on DuckDB over the tables of DASHBOARDS_TABLES, on this machine: prepares what has changed, then serves until Ctrl-C.

What must survive lies in DASHBOARDS_STATE: Superset's own database, caches, and `secrets.json` and `passwords.json`, which only
their owner can read and which are made once. `serve.py check` and `serve.py export` compare with the files instead of serving.
"""

import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import backoff
from access import read_users
from asset_files import AssetError

HERE = Path(__file__).parent
PYTHON = sys.executable
START_TIMEOUT = 120


def main() -> int:
    """Returns an exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the server ends with this program
    state = Path(os.environ["DASHBOARDS_STATE"]).resolve()
    if sys.argv[1:] and not (state / "prepared").exists():
        print(f"superset: there are no dashboards in {state} yet: make superset imports them", file=sys.stderr)
        return 2
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    port = os.environ.get("DASHBOARDS_PORT", "8088")
    keys = _secrets(state / "secrets.json")
    environment = {
        **os.environ,
        "DASHBOARDS_STATE": str(state),
        "SUPERSET_CONFIG_PATH": str(HERE / "superset_config.py"),
        "PYTHONPATH": str(HERE),
        "SCARF_ANALYTICS": "false",
        # Spills and uploads; the system's folder cannot be written to.
        "TMPDIR": str(state / "tmp"),
    }
    environment.pop("FLASK_APP", None)
    (state / "tmp").mkdir(exist_ok=True)
    if sys.argv[1:]:
        command = [PYTHON, str(HERE / "changes.py"), sys.argv[1], str(HERE / "assets")]
        return subprocess.run(command, env=environment, cwd=state).returncode
    users = os.environ.get("DASHBOARDS_USERS", "")
    try:
        _add_passwords(state / "passwords.json", [user.name for user in read_users(users)])
    except AssetError as error:
        print(f"superset: {error}", file=sys.stderr)
        return 1
    environment |= {
        "DASHBOARDS_USERS": users and str(Path(users).resolve()),
        "DASHBOARDS_PASSWORDS": str(state / "passwords.json"),
    }
    confined = [PYTHON, str(HERE / "confine.py"), f"{state}:/dev/shm"]
    if not _prepare(state, confined, {**environment, "DASHBOARDS_ADMIN_PASSWORD": keys["admin_password"]}):
        return 1
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [
            *confined, PYTHON, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "8",
            "--timeout", "120", "--worker-tmp-dir", "/dev/shm", "--no-control-socket", "--log-level", "warning",
            "superset.app:create_app()",
        ],
        env=environment,
        cwd=state,
    )  # fmt: skip
    try:
        if not _wait(server, f"{address}/login/"):
            print(f"superset: it did not start within {START_TIMEOUT} s: see the messages above", file=sys.stderr)
            return 1
        print(
            f"\nDashboards: {address}/superset/dashboard/web-traffic/\nSQL: {address}/sqllab/\n"
            f"User admin, password: admin_password in {state / 'secrets.json'}\nCtrl-C ends it.",
            flush=True,
        )
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        server.terminate()
        server.wait()


def _secrets(path: Path) -> dict[str, str]:
    """The secrets of this installation, made when there are none yet; raises OSError."""
    if not path.exists():
        names = ("secret_key", "guest_token_secret", "async_queries_secret", "admin_password")
        _keep(path, {name: secrets.token_urlsafe(18 if name == "admin_password" else 42) for name in names})
    found: dict[str, str] = json.loads(path.read_text())
    return found


def _add_passwords(path: Path, names: list[str]) -> None:
    """Give users a password who have none yet; raises OSError."""
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    new = {name: secrets.token_urlsafe(18) for name in names if name not in known}
    if new:
        _keep(path, known | new)


def _keep(path: Path, content: dict[str, str]) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump(content, stream, indent=1)
    partial.replace(path)


def _prepare(state: Path, confined: list[str], environment: dict[str, str]) -> bool:
    """Migrate and import when versions or files have changed since the last time that it was done."""
    digest = hashlib.sha256()
    for path in sorted([HERE / "requirements.lock", *HERE.glob("*.py"), *(HERE / "assets").rglob("*.yaml")]):
        digest.update(f"{path.relative_to(HERE)}\0".encode() + path.read_bytes())
    digest.update(environment["DASHBOARDS_TABLES"].encode())
    if environment["DASHBOARDS_USERS"]:
        digest.update(Path(environment["DASHBOARDS_USERS"]).read_bytes())
    stamp = state / "prepared"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return True
    print("Preparing Superset's database and importing the dashboards (a minute)", flush=True)
    with open(state / "prepare.log", "w") as log:
        command = [*confined, PYTHON, str(HERE / "prepare.py"), str(HERE / "assets")]
        code = subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=state).returncode
    if code:
        print(f"superset: preparing failed: see {state / 'prepare.log'}", file=sys.stderr)
        return False
    stamp.write_text(digest.hexdigest())
    return True


def _wait(server: "subprocess.Popen[bytes]", address: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    patiently = backoff.on_exception(
        backoff.constant,
        OSError,
        max_time=START_TIMEOUT,
        giveup=lambda _: server.poll() is not None,
        interval=0.2,
        jitter=None,
        logger=None,
    )
    try:
        patiently(opener.open)(address, timeout=30).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
