"""The files of docs/rotation, run by the real logrotate: every line is loaded once, whatever its file is called."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Self

import pytest

from lakehouse.reading import Reader
from lakehouse.sample import write_sample
from lakehouse.settings import load_settings

pytestmark = pytest.mark.embedded

REPOSITORY = Path(__file__).parents[2]
ROTATION = REPOSITORY / "docs" / "rotation"
DIRECTIVES = dict(re.findall(r"^(\w+)='(.*)'$", (ROTATION / "load-access-logs").read_text(), re.MULTILINE))
FIRST_DAY = date(2026, 11, 16)
DAYS = 3
# Lines that a server still writes into the renamed file before it opens the new one.
LATE_LINES = 5


@dataclass(frozen=True)
class Lakehouse:
    """A lakehouse of its own: loaded by the command, as schedulers do, and asked in this process."""

    home: Path

    def load(self, pattern: Path, directive: str) -> None:
        """It must succeed."""
        settings = {name: value for name, value in os.environ.items() if not name.startswith("LAKEHOUSE_")}
        options = ("--site", "demo", "--format", directive, "--json")
        done = subprocess.run(
            [sys.executable, "-m", "lakehouse", "load", "access_logs", str(pattern), *options],
            env={**settings, "LAKEHOUSE_HOME": str(self.home), "PYTHONPATH": str(REPOSITORY)},
            cwd=self.home.parent,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def query(self, sql: str) -> list[list[Any]]:
        """Rows."""
        settings = load_settings({"HOME": str(self.home.parent), "LAKEHOUSE_HOME": str(self.home)})
        return [list(row.values()) for row in Reader(settings).sql(sql).to_pylist()]

    def rows(self) -> int:
        [[count]] = self.query("select count(*) from access_logs")
        return int(count)


class WebServer:
    """What a web server does to its log: it appends to the file that it has open, whatever that is called by now."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._file = log.open("ab", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, text: bytes) -> None:
        self._file.write(text)

    def reopen(self) -> None:
        self._file.close()
        self._file = self._log.open("ab", buffering=0)


@dataclass(frozen=True)
class Mode:
    """A way to rotate, as a change of the file that we ship."""

    name: str
    renames: bool
    options: tuple[str, ...]


MODES = (
    Mode("delaycompress", renames=True, options=("create",)),
    Mode("dateext", renames=True, options=("create", "dateext", "dateformat -%Y%m%d")),
    Mode("copytruncate", renames=False, options=("copytruncate",)),
)


class Rotation:
    """The real logrotate with the file that we ship for nginx, moved to another folder and without nginx' user."""

    def __init__(self, folder: Path, mode: Mode) -> None:
        binary = shutil.which("logrotate", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
        if binary is None:
            pytest.skip("logrotate is missing: apt-get install logrotate")
        shipped = (ROTATION / "nginx.logrotate").read_text()
        moved, logs = re.subn(r"^/var/log/nginx/", f"{folder}/", shipped, flags=re.MULTILINE)
        moved, pids = re.subn(r"/run/nginx\.pid", str(folder / "nginx.pid"), moved)
        moved, creates = re.subn(r"^( +)create .*$", "\n".join(rf"\1{o}" for o in mode.options), moved, flags=re.MULTILINE)
        assert (logs, pids, creates) == (1, 2, 1)
        self._folder = folder
        self._mode = mode
        self._config = folder / "logrotate.conf"
        self._config.write_text(moved)
        self._config.chmod(0o644)
        self._command = [binary, "--force", "--state", str(folder / "state"), str(self._config)]

    def rotate(self, day: date) -> None:
        before = set(self._folder.glob("access.log-*"))
        done = subprocess.run(self._command, capture_output=True, encoding="utf-8", check=False)
        assert (done.returncode, done.stderr) == (0, "")
        if self._mode.name == "dateext":
            # All rotations of this test happen today; the name is what it would have been on the day.
            (rotated,) = (path for path in self._folder.glob("access.log-*") if path not in before and path.suffix != ".gz")
            rotated.rename(self._folder / f"access.log-{day:%Y%m%d}")


def daily_lines(folder: Path) -> list[list[bytes]]:
    """Generated lines of some days, all of them records: what is no text is left out."""
    last = FIRST_DAY + timedelta(days=DAYS - 1)
    paths = write_sample("access_logs", folder, DAYS, 400, "demo", 5, last, response_time=True)
    return [[line for line in path.read_bytes().splitlines(keepends=True) if b"\0" not in line] for path in paths]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_every_line_is_loaded_once_over_several_rotations(mode: Mode, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    rotation = Rotation(folder, mode)
    lakehouse = Lakehouse(tmp_path / "lakehouse")
    days = daily_lines(tmp_path / "generated")
    complete = 0
    with WebServer(folder / "access.log") as server:
        for number, lines in enumerate(days):
            half = len(lines) // 2
            begun, rest = lines[half][:20], lines[half][20:]
            # Loaded at noon, with half a line at the end of the log.
            server.write(b"".join(lines[:half]) + begun)
            lakehouse.load(folder / "access.log*", DIRECTIVES["nginx"])

            server.write(rest + b"".join(lines[half + 1 : -LATE_LINES]))
            rotation.rotate(FIRST_DAY + timedelta(days=number))
            lakehouse.load(folder / "access.log*", DIRECTIVES["nginx"])
            assert lakehouse.rows() == complete + len(lines) - LATE_LINES, "after the rotation"

            server.write(b"".join(lines[-LATE_LINES:]))
            if mode.renames:
                server.reopen()
            complete += len(lines)
    lakehouse.load(folder / "access.log*", DIRECTIVES["nginx"])

    expected = [[FIRST_DAY + timedelta(days=number), len(lines)] for number, lines in enumerate(days)]
    assert lakehouse.query('select "date", count(*) from access_logs group by 1 order by 1') == expected
    assert len(list(folder.glob("access.log*.gz"))) == DAYS - 1, "all rotated files but yesterday's are compressed"


# Lines that nginx 1.22, Apache httpd 2.4 and HAProxy 2.6 (through rsyslog) wrote with the directives of docs/rotation.
WRITTEN = {
    "nginx": r"""
127.0.0.1 - - [22/Nov/2026:05:53:32 +0000] "\x16\x03\x01\x02\x00\x01 \x22x\x22" 400 157 "-" "-" 0.003
127.0.0.1 - alice [22/Nov/2026:05:55:06 +0000] "GET /p?b=%22x%22 HTTP/1.1" 200 6 "-" "curl/7.88.1" 0.000
""",
    "apache": r"""
127.0.0.1 - - [22/Nov/2026:05:54:19 +0000] "\x16\x03\x01\x02" 400 266 "-" "-" 3030
127.0.0.1 - alice [22/Nov/2026:05:55:06 +0000] "GET /p?b=%22x%22 HTTP/1.1" 200 6 "-" "curl/7.88.1" 912
""",
    "haproxy": r"""
127.0.0.1 - - [22/Nov/2026:05:55:06 +0000] "<BADREQ>" 400 0 "" "" 3
127.0.0.1 - alice [22/Nov/2026:05:55:06 +0000] "GET /p?b=%22x%22 HTTP/1.1" 200 203 "" "curl/7.88.1" 0
""",
}


@pytest.mark.parametrize("server", WRITTEN)
def test_shipped_formats_are_understood(server: str, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(WRITTEN[server].lstrip())
    lakehouse = Lakehouse(tmp_path / "lakehouse")
    lakehouse.load(log, DIRECTIVES[server])
    columns = "method, status, path, user_agent, cast(round(response_time_ms) as int)"
    milliseconds = 1 if server == "apache" else 0
    assert lakehouse.query(f"select {columns} from access_logs order by _line") == [
        [None, 400, None, None, 3],
        ["GET", 200, "/p", "curl/7.88.1", milliseconds],
    ]


@pytest.mark.parametrize(("server", "configuration"), [("nginx", "nginx-log-format.conf"), ("apache", "apache-log-format.conf")])
def test_the_scheduled_load_has_the_directive_of_the_server(server: str, configuration: str) -> None:
    assert DIRECTIVES[server] in (ROTATION / configuration).read_text()
    assert DIRECTIVES[server] in (REPOSITORY / "docs" / "log-rotation.md").read_text()
