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
# Lines that a server still writes into the renamed file before it opens the new one.
LATE_LINES = 5


@dataclass(frozen=True)
class Lakehouse:
    """A lakehouse of its own: loaded by the command, as schedulers do, and asked in this process."""

    home: Path

    def load(self, pattern: Path, directive: str) -> None:
        """It must succeed."""
        # Neither with settings of the machine, nor traced: other tests run the same lines.
        settings = {name: value for name, value in os.environ.items() if not name.startswith(("LAKEHOUSE_", "COVERAGE_"))}
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


DELAYCOMPRESS = Mode("delaycompress", renames=True, options=("create",))
DATEEXT = Mode("dateext", renames=True, options=("create", "dateext", "dateformat -%Y%m%d"))
COPYTRUNCATE = Mode("copytruncate", renames=False, options=("copytruncate",))


class Rotation:
    """The real logrotate with the file that we ship for a server, moved to another folder and without the server's user."""

    def __init__(self, folder: Path, server: str, mode: Mode) -> None:
        binary = shutil.which("logrotate", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
        if binary is None:
            pytest.skip("logrotate is missing: apt-get install logrotate")
        shipped = (ROTATION / f"{server}.logrotate").read_text()
        moved, logs = re.subn(r"^/var/log/\w+/", f"{folder}/", shipped, flags=re.MULTILINE)
        moved, pids = re.subn(r"/run/[\w/]+\.pid", str(folder / "server.pid"), moved)
        moved, creates = re.subn(r"^( +)create .*$", "\n".join(rf"\1{o}" for o in mode.options), moved, flags=re.MULTILINE)
        assert (logs, creates) == (1, 1)
        assert pids >= 1
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


def daily_lines(folder: Path, server: str, days: int) -> list[list[bytes]]:
    """Generated lines of some days as a server writes them, all of them records: what is no text is left out."""
    last = FIRST_DAY + timedelta(days=days - 1)
    paths = write_sample("access_logs", folder, days, 400, "demo", 5, last, response_time=True)
    written = [[line for line in path.read_bytes().splitlines(keepends=True) if b"\0" not in line] for path in paths]
    return [[in_microseconds(line) for line in lines] for lines in written] if server == "apache" else written


def in_microseconds(line: bytes) -> bytes:
    """A line that ends with seconds, as Apache writes it."""
    begin, _, seconds = line.rpartition(b" ")
    return b"%s %d\n" % (begin, round(float(seconds) * 1_000_000))


@pytest.mark.parametrize(
    ("server", "mode", "count"),
    # The third rotation gives a new name to what is compressed.
    [("nginx", DELAYCOMPRESS, 3), ("nginx", DATEEXT, 2), ("nginx", COPYTRUNCATE, 2), ("apache", DELAYCOMPRESS, 2)],
    ids=lambda value: value.name if isinstance(value, Mode) else value,
)
def test_every_line_is_loaded_once_over_several_rotations(server: str, mode: Mode, count: int, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    rotation = Rotation(folder, server, mode)
    lakehouse = Lakehouse(tmp_path / "lakehouse")
    days = daily_lines(tmp_path / "generated", server, count)
    complete = 0
    with WebServer(folder / "access.log") as log:
        for number, lines in enumerate(days):
            half = len(lines) // 2
            begun, rest = lines[half][:20], lines[half][20:]
            # Loaded at noon, with half a line at the end of the log.
            log.write(b"".join(lines[:half]) + begun)
            lakehouse.load(folder / "access.log*", DIRECTIVES[server])

            log.write(rest + b"".join(lines[half + 1 : -LATE_LINES]))
            rotation.rotate(FIRST_DAY + timedelta(days=number))
            lakehouse.load(folder / "access.log*", DIRECTIVES[server])
            assert lakehouse.rows() == complete + len(lines) - LATE_LINES, "after the rotation"

            log.write(b"".join(lines[-LATE_LINES:]))
            if mode.renames:
                log.reopen()
            complete += len(lines)
    lakehouse.load(folder / "access.log*", DIRECTIVES[server])

    expected = [[FIRST_DAY + timedelta(days=number), len(lines)] for number, lines in enumerate(days)]
    assert lakehouse.query('select "date", count(*) from access_logs group by 1 order by 1') == expected
    seconds = sum(float(line.rpartition(b" ")[2]) for lines in days for line in lines) / (1e6 if server == "apache" else 1)
    assert lakehouse.query("select sum(response_time_ms) / 1000 from access_logs") == [[pytest.approx(seconds)]]
    assert len(list(folder.glob("access.log*.gz"))) == count - 1, "all rotated files but yesterday's are compressed"


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


AS_APACHE = {
    "%ci": "%h",
    "-": "%l",
    "%[var(txn.user)]": "%u",
    "[%trg]": "%t",
    "%{+Q}r": r"\"%r\"",
    "%ST": "%>s",
    "%B": "%b",
    "%Ta": "%{ms}T",
}
"""Fields of HAProxy's log-format, and what Apache calls what they write."""


def test_the_directive_for_haproxy_means_what_its_log_format_writes() -> None:
    configuration = (ROTATION / "haproxy-log-format.cfg").read_text()
    headers = re.findall(r"capture request header (\S+)", configuration)
    fields = AS_APACHE | {f"%{{+Q,+E}}[capture.req.hdr({index})]": rf"\"%{{{name}}}i\"" for index, name in enumerate(headers)}
    (written,) = re.findall(r'log-format "(.*)"$', configuration, re.MULTILINE)
    assert " ".join(fields[field] for field in written.split()) == DIRECTIVES["haproxy"]
    assert DIRECTIVES["haproxy"] in (REPOSITORY / "docs" / "log-rotation.md").read_text()
