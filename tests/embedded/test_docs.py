"""Every command in README.md and docs/*.md is run, and what the page shows of its output is what it prints.

What a page may hold:

- A `console` block: lines behind `$ ` are commands, those below them output, where a line `...` stands for any lines and
  `...` in a line for any text. Output with a line that begins with `lakehouse: ` or `{"error": ` is that of a command that
  fails; all others must succeed. A command without output shown only has to succeed.
- A `sh` or `bash` block, and indented lines that begin with `lakehouse`: commands.
- A block with a title, such as ```` ```toml title="lakehouse.toml" ````: a file with this content.
- `<!-- test: COMMAND -->`: a command that prepares what the reader has at this point.

A page is run from top to bottom in one new home folder. Folders such as /var/log lie below a temporary one. Compared are
words: widths of columns, ids, times of day, sizes of files and visitor numbers are another on every machine. A page that
names S3 is run a second time, with a real server; the first time its commands with `s3://` are left out.
"""

import gzip
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from lakehouse import errors
from lakehouse.catalog import table_columns
from lakehouse.cli import main
from lakehouse.cli.app import app
from lakehouse.datasets import get_dataset
from lakehouse.datasets.access_logs.formats import FORMATS, detected_format
from lakehouse.datasets.base import ParseContext
from tests.s3server import S3Server

pytestmark = pytest.mark.embedded

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.glob("*.md"))]
COMMANDS: Mapping[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]

_LOG = "lakehouse sample access_logs --days 1 --rows 100 --end 2026-11-21 --site rennes --out /var/log"
PREPARATIONS: Mapping[str, tuple[str, ...]] = {
    "log-rotation.md": tuple(
        command
        for server, seed, duration in (("nginx", 1, "0.034"), ("apache2", 2, "34000"), ("haproxy", 3, "34"))
        for command in (f"{_LOG}/{server} --seed {seed}", f"sed -i 's/$/ {duration}/' /var/log/{server}/access.log-20261121")
    ),
    "s3.md": (
        "lakehouse sample api_logs --out api --days 2 --rows 20 --site api --end 2026-11-21",
        "lakehouse load api_logs api --site api",
    ),
    "own-datasets.md": (
        f"mkdir -p lakehouse/datasets && cp {DOCS}/examples/incidents.toml lakehouse/datasets/",
        "printf 'Jira_Key,Creation\\nA-1,30 june 2020 09:56\\n' > export.csv",
    ),
}
"""What is there before a page begins, for pages that anyone may copy from without hidden lines."""

_FENCE = re.compile(r'^```(?P<language>\w+)?(?: title="(?P<title>[^"]+)")?\s*$')
_PREPARATION = re.compile(r"^<!-- test: (?P<command>.+?) -->$")
_ROOTS = re.compile(r"(?<![\w.*}/])/(?=(?:backup|data|logs|mnt|srv|var)/)")
_SHELL = re.compile(r"[|<>&;`]|\$\(")
_VARIABLES = re.compile(r"^(?:[A-Z_0-9]+=\S+ +)+(?=lakehouse )")
_OURS = re.compile(r"^(?:[A-Z_0-9]+=\S+ +)*lakehouse(?: |$)")
_DIFFERENT_EVERYWHERE = (
    (r"\b\d{8}T\d{6}-[0-9a-f]{12}\b", "LOAD"),
    (r"\b(?:[0-9a-f]{16}){1,2}\b", "ID"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?= [\d,]+ rows)", "TIME"),
    (r"\b\d+(?:\.\d)? (?:B|KB|MB)\b", "SIZE"),
    (r"\b\d{1,3}(?:,\d{3}){5,}\b|\b\d{17,}\b", "VISITOR"),
    (r"\s+", " "),
)


@dataclass(frozen=True)
class Command:
    """A command of a page.

    Args:
        text: as one types it, on one line.
        line: of the page, from 1.
        output: what is shown below it; None: nothing.
    """

    text: str
    line: int
    output: tuple[str, ...] | None = None

    @property
    def needs_s3(self) -> bool:
        return "s3://" in self.text


@dataclass(frozen=True)
class File:
    """A file that a page shows."""

    name: str
    content: str


def steps(page: Path) -> Iterator[Command | File]:
    """What a reader does, in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        text = lines[number]
        number += 1
        if preparation := _PREPARATION.match(text):
            yield Command(preparation["command"], number)
        elif fence := _FENCE.match(text):
            end = lines.index("```", number)
            block, first = lines[number:end], number + 1
            number = end + 1
            if fence["title"]:
                yield File(fence["title"], "\n".join(block) + "\n")
            elif fence["language"] in ("console", "sh", "bash"):
                yield from _commands(block, first, fence["language"] == "console")
        elif text.startswith("    lakehouse "):
            yield Command(text.strip(), number)


def _commands(block: list[str], first: int, prompted: bool) -> Iterator[Command]:
    index = 0
    while index < len(block):
        text = block[index]
        line = first + index
        index += 1
        if prompted:
            assert text.startswith("$ "), f"line {line}: output without a command"
            text = text.removeprefix("$ ")
        elif not text.strip() or text.startswith("#"):
            continue
        while text.endswith("\\"):
            text = text[:-1] + block[index].lstrip()
            index += 1
        begin = index
        while prompted and index < len(block) and not block[index].startswith("$ "):
            index += 1
        yield Command(text, line, tuple(block[begin:index]) or None)


def named(page: Path) -> list[Command]:
    return [step for step in steps(page) if isinstance(step, Command)]


def ours(command: Command) -> bool:
    """Whether this package answers a command."""
    return bool(_OURS.match(command.text))


class EndAfterRound(threading.Event):
    """An event that is waited for only once: then the signal comes that ends a watch."""

    def wait(self, timeout: float | None = None) -> bool:
        signal.raise_signal(signal.SIGTERM)
        return self.is_set()


class Reader:
    """Someone who types what a page says.

    Args:
        root: folder that stands for the machine's own.
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        self._root, self._patch, self._capsys = root, patch, capsys
        self.home = root / "home" / "ann"
        tools = root / "tools"
        for folder in (self.home, tools):
            folder.mkdir(parents=True)
        (tools / "lakehouse").write_text(f'#!/bin/sh\nexec {sys.executable} -m lakehouse "$@"\n')
        (tools / "lakehouse").chmod(0o755)
        for name in [name for name in os.environ if name.startswith(("LAKEHOUSE_", "AWS_"))]:
            patch.delenv(name)
        patch.setenv("HOME", str(self.home))
        patch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
        patch.setenv("PYTHONPATH", str(REPOSITORY))
        patch.chdir(self.home)
        patch.setattr("lakehouse.watch.threading", SimpleNamespace(Event=EndAfterRound))
        # Pages show what is printed where nothing takes long, which a busy machine is not.
        patch.setattr("lakehouse.cli.progress.PLAIN_LINE_SECONDS", math.inf)

    def write(self, file: File) -> None:
        path = Path(_ROOTS.sub(f"{self._root}/", file.name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.content, encoding="utf-8")

    def run(self, command: Command) -> tuple[int, str]:
        """Exit code and output of a command."""
        text = _ROOTS.sub(f"{self._root}/", command.text)
        if match := re.match(r"export ([A-Z_0-9]+)=(.*)$", text):
            self._patch.setenv(match[1], os.path.expandvars(shlex.split(match[2])[0]))
            return 0, ""
        # A process each would take seconds: our own commands are called.
        code, output = self._call(text) if ours(command) and not _SHELL.search(_unquoted(text)) else self._shell(text)
        return code, output.replace(str(self._root), "")

    def _call(self, text: str) -> tuple[int, str]:
        variables = _VARIABLES.match(text)
        with pytest.MonkeyPatch.context() as patch:
            for assignment in shlex.split(variables[0]) if variables else ():
                patch.setenv(*assignment.split("=", 1))
            code = main(shlex.split(text[variables.end() :] if variables else text)[1:])
        printed = self._capsys.readouterr()
        return code, printed.out + printed.err

    def _shell(self, text: str) -> tuple[int, str]:
        done = subprocess.run(["bash", "-c", text], capture_output=True, encoding="utf-8", check=False)
        return done.returncode, done.stdout + done.stderr


def _unquoted(text: str) -> str:
    return re.sub(r"'[^']*'|\"[^\"]*\"", "", text)


def _comparable(line: str) -> str:
    for pattern, replacement in _DIFFERENT_EVERYWHERE:
        line = re.sub(pattern, replacement, line)
    return line.strip()


def _is_shown(shown: tuple[str, ...], printed: str) -> bool:
    expression = "".join("(?:.*\n)*?" if line == "..." else _expression(_comparable(line)) + "\n" for line in shown)
    return bool(re.fullmatch(expression, "".join(f"{_comparable(line)}\n" for line in printed.splitlines())))


def _expression(line: str) -> str:
    return ".*".join(re.escape(part) for part in line.split("..."))


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose name is too short for a table's lines to be wrapped."""
    with tempfile.TemporaryDirectory(prefix="") as folder:
        yield Path(folder)


def follow(page: Path, reader: Reader, with_s3: bool) -> None:
    """Do what a page says, from top to bottom."""
    for preparation in PREPARATIONS.get(page.name, ()):
        assert reader.run(Command(preparation, 0))[0] == 0, preparation
    for step in steps(page):
        if isinstance(step, File):
            reader.write(step)
        elif with_s3 or not step.needs_s3:
            code, printed = reader.run(step)
            place = f"{page.name}, line {step.line}: {step.text}\n{printed}"
            fails = any(line.startswith(("lakehouse: ", '{"error": ')) for line in step.output or ())
            assert code in (1, 2) if fails else code == 0, place
            assert step.output is None or _is_shown(step.output, printed), place


@pytest.mark.parametrize("page", [page for page in PAGES if any(steps(page))], ids=lambda page: page.name)
def test_the_commands_of_a_page(
    page: Path, short_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    follow(page, Reader(short_path, monkeypatch, capsys), with_s3=False)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(command.needs_s3 for command in named(page))], ids=lambda page: page.name
)
def test_the_commands_of_a_page_that_names_s3(
    page: Path, short_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], s3: S3Server
) -> None:
    reader = Reader(short_path, monkeypatch, capsys)
    client = s3.client()
    there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for bucket in {"bucket", "dashboards", "lakehouse", "logs"} - there:
        client.create_bucket(Bucket=bucket)
    log = b'192.0.2.7 - - [21/Nov/2026:06:25:24 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8.0"\n'
    client.put_object(Bucket="logs", Key="rennes/web1/2026/access.log.gz", Body=gzip.compress(log))
    for name, value in {"ENDPOINT": s3.endpoint, "ACCESS_KEY_ID": s3.access_key, "SECRET_ACCESS_KEY": s3.secret_key}.items():
        monkeypatch.setenv(f"LAKEHOUSE_S3_{name}", value)
    follow(page, reader, with_s3=True)


def test_make_has_the_targets_that_pages_name() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named_targets = {
        target
        for page in PAGES
        for targets_of_command in re.findall(r"(?:^    |`)make ((?:[a-z-]+ ?)+)", page.read_text(), re.MULTILINE)
        for target in targets_of_command.split()
    }
    assert {"demo", "test"} <= named_targets
    assert named_targets <= targets


def test_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (REPOSITORY / "README.md").read_text())
    assert links
    assert [link for link in links if not (REPOSITORY / link).exists()] == []


def test_every_command_and_option_is_told_of() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    assert [name for name in COMMANDS if f"lakehouse {name}" not in text] == []
    untold = [
        (name, parameter.opts)
        for name, command in COMMANDS.items()
        for parameter in command.params
        if parameter.param_type_name == "option" and not any(option in text for option in parameter.opts)
    ]
    assert untold == []


def test_every_format_is_shown_with_a_line_that_is_detected() -> None:
    samples = {
        Path(step.name).stem: step.content.encode()
        for step in steps(DOCS / "formats.md")
        if isinstance(step, File) and step.name.startswith("samples/")
    }
    assert samples.keys() == FORMATS.keys()
    # Four formats are one parser's, under names that people know.
    one = dict.fromkeys(("combined", "common", "vhost-combined", "traefik"), "combined")
    for name, content in samples.items():
        found = detected_format(content, ParseContext("s"))
        assert found is not None and found.name == one.get(name, name)


@pytest.mark.parametrize("dataset", ["access_logs", "api_logs"])
def test_tables_of_columns_views_and_rollups_are_complete(dataset: str) -> None:
    def table(what: str) -> list[list[str]]:
        (text,) = re.findall(rf"^<!-- {what}: {dataset} -->\n\|.*\n\|.*\n((?:\|.*\n)+)", pages, re.MULTILINE)
        return [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in text.splitlines()]

    pages = (DOCS / "formats.md").read_text() + (DOCS / "rollups.md").read_text()
    known = get_dataset(dataset, Path())
    loaders = {"date", "site", "_input", "_line"}
    assert table("columns") == [
        [column.name, column.type, "yes" if column.private else "", column.doc]
        for column in table_columns(known.columns)
        if column.name not in loaders
    ]
    assert table("views") == [[view.name, view.doc] for view in known.views]
    assert table("rollups") == [[rollup.name, rollup.doc] for rollup in known.rollups]


def test_every_error_is_listed_with_its_exit_code() -> None:
    text = (DOCS / "errors.md").read_text()
    listed = {name: int(code) for name, code in re.findall(r"^\| `(\w+Error)` \| (\d) \|", text, re.MULTILINE)}
    kinds = {name: kind for name, kind in vars(errors).items() if name.endswith("Error") and name != "LakehouseError"}
    assert listed == {name: kind.exit_code for name, kind in kinds.items()}
