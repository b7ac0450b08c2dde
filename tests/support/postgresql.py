"""A PostgreSQL server of its own for a test, and a proxy in front of it that can swallow the answer to a COMMIT."""

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import glob
from pathlib import Path

from tests.support.machine import free_port
from tests.support.stops import PATIENCE


class PostgresqlMissingError(Exception):
    """There is no PostgreSQL on this machine."""


def _binaries() -> Path:
    found = sorted(glob("/usr/lib/postgresql/*/bin")) or [str(Path(path).parent) for path in [shutil.which("postgres")] if path]
    if not found:
        raise PostgresqlMissingError("there is no PostgreSQL here: install the Debian package postgresql")
    return Path(found[-1])


@contextmanager
def running_postgresql() -> Iterator[int]:
    """A server on a free port of this machine, database and user `lakehouse`, no password; yields the port.

    Raises:
        PostgresqlMissingError: not installed.
    """
    binaries = _binaries()
    with tempfile.TemporaryDirectory(prefix="lakehouse-postgresql-", ignore_cleanup_errors=True) as folder:
        # PostgreSQL refuses to run as root.
        user = "postgres" if os.getuid() == 0 else getpass.getuser()
        if os.getuid() == 0:
            owner = pwd.getpwnam(user)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        prefix = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if os.getuid() == 0 else []

        def run(*command: str) -> None:
            subprocess.run([*prefix, *command], check=True, cwd=folder, capture_output=True, timeout=PATIENCE)

        data = f"{folder}/data"
        run(str(binaries / "initdb"), "-D", data, "-U", "lakehouse", "-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8")
        port = free_port()
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
        run(str(binaries / "pg_ctl"), "-D", data, "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            run(str(binaries / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "lakehouse", "lakehouse")
            yield port
        finally:
            run(str(binaries / "pg_ctl"), "-D", data, "-w", "-m", "immediate", "stop")


class Proxy:
    """Hands bytes to and fro; when armed, it hands over the next COMMIT and closes the connection instead of the answer.

    Args:
        port: of the server on this machine.
    """

    def __init__(self, port: int):
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._armed = threading.Event()
        self.swallowed = 0

    def arm(self) -> None:
        self._armed.set()

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                swallow = threading.Event()
                for source, target, to_server in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._hand_over, args=(source, target, to_server, swallow), daemon=True).start()

    def _hand_over(self, source: socket.socket, target: socket.socket, to_server: bool, swallow: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if to_server and self._armed.is_set() and b"COMMIT" in data:
                    self._armed.clear()
                    swallow.set()
                elif not to_server and swallow.is_set():
                    self.swallowed += 1  # the server has answered, so it has committed
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
