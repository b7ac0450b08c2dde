"""The mistakes that people make: each is one sentence that names the thing and the way out, and nothing is half done."""

import bz2
import gzip
import json
import lzma
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest

from lakehouse import errors
from lakehouse.cli import main
from lakehouse.reading import Reader
from lakehouse.sample import write_sample
from lakehouse.settings import load_settings

pytestmark = pytest.mark.embedded

LOG = "logs/access.log-20261121"
GOOD = ("load", "access_logs", LOG, "--site", "rennes")


@dataclass(frozen=True)
class Mistake:
    """A wrong command.

    Args:
        name: of the test.
        arguments: of the command.
        code: exit code.
        says: what the message must hold: the thing that is wrong, and the way out.
        environment: variables besides those of a correct set-up.
        settings: content of lakehouse.toml.
    """

    name: str
    arguments: tuple[str, ...]
    code: int
    says: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: str = ""


def load(name: str, path: str, code: int, *says: str) -> Mistake:
    """A load of a wrong input."""
    return Mistake(name, ("load", "access_logs", path, "--site", "rennes"), code, says)


def option(name: str, *arguments: str, says: tuple[str, ...]) -> Mistake:
    """A wrong option of an otherwise good load of what is not loaded yet."""
    return Mistake(name, (*GOOD[:2], "bad/good.log", *GOOD[3:], *arguments), 2, says)


def setting(name: str, toml: str, *says: str) -> Mistake:
    """A wrong lakehouse.toml."""
    return Mistake(name, GOOD, 2, says, settings=toml)


def variable(name: str, value: str, *says: str) -> Mistake:
    """A wrong variable."""
    return Mistake(f"variable {name}={value}", GOOD, 2, says, environment={name: value})


COMMANDS = [
    Mistake("no such command", ("laod", "access_logs", LOG), 2, ("laod", "load")),
    Mistake("no such dataset", ("load", "acess_logs", LOG, "--site", "rennes"), 2, ("acess_logs", "did you mean access_logs")),
    Mistake("a path as dataset", ("load", "../x", LOG, "--site", "rennes"), 2, ("../x", "known are access_logs, api_logs")),
    Mistake("no inputs", ("load", "access_logs"), 2, ("Missing argument 'inputs'", "see lakehouse load --help")),
    Mistake("no such option", (*GOOD[:-2], "--sit", "rennes"), 2, ("--sit", "--site")),
    Mistake("no site", GOOD[:-2], 2, (LOG, "--site NAME", "{site}")),
    Mistake("blank site", (*GOOD[:-1], " "), 2, ("--site",)),
    Mistake("one site's bytes for another", (*GOOD[:-1], "paris"), 2, ("rennes", "lakehouse unload access_logs")),
    Mistake("days of no dataset", ("days", "views"), 2, ("views", "known are access_logs, api_logs")),
    Mistake("unload nothing", ("unload", "access_logs", "access.log-20261120"), 2, ("did you mean access.log-20261121",)),
    Mistake("watch all the time", ("watch", "access_logs", LOG, "--site", "rennes", "--every", "0s"), 2, ("--every 0s", "1s")),
    Mistake("watch every 5", ("watch", "access_logs", LOG, "--every", "5"), 2, ("'5'", "30s, 5m, 24h or 2d")),
    Mistake("sample of what is none", ("sample", "views", "--out", "samples"), 2, ("views", "access_logs, api_logs")),
    Mistake("sample over logs", ("sample", "access_logs", "--out", "logs", "--end", "2026-11-21"), 2, (LOG, "another folder")),
    Mistake("sample into a file", ("sample", "access_logs", "--out", LOG), 1, (LOG,)),
]

OPTIONS = [
    option("format misspelt", "--format", "combind", says=("'combind'", "did you mean 'combined'")),
    option("directive without time", "--format", "$remote_addr $request", says=("timestamp", "$time_iso8601")),
    option("broken expression", "--format", "(?P<ts>[", says=("regular expression", "unclosed")),
    option("too many rejects allowed", "--max-rejects", "5", says=("--max-rejects", "1")),
    option("rejects in words", "--max-rejects", "few", says=("--max-rejects", "number")),
    option("no commit ever", "--commit-every", "0", says=("--commit-every", "1")),
    option("replace nothing", "--replace", "old.log", says=("old.log", "lakehouse inputs access_logs")),
    option("replace a day in words", "--replace-day", "yesterday", says=("'yesterday'", "2026-11-21")),
]

INPUTS = [
    load("missing file", "logs/nope.log", 1, "logs/nope.log", "check the path"),
    load("pattern without match", "logs/*.nope", 1, "logs/*.nope", "check the path"),
    load("folder without files", "empty", 1, "empty", "no file in this folder"),
    load("binary file", "bad/binary.log", 1, "bad/binary.log", "--format"),
    load("nothing but NULs", "bad/nul.log", 1, "bad/nul.log", "--format"),
    load("other text", "bad/table.csv", 1, "bad/table.csv", "a,b,c", "--format"),
    load("UTF-16", "bad/utf16.log", 1, "bad/utf16.log", "--format"),
    load("a .gz that is none", "bad/text.gz", 1, "bad/text.gz", "--format"),
    load("a gzip cut off", "bad/cut.gz", 1, "bad/cut.gz", "gzip", "copy it again"),
    load("a bzip2 cut off", "bad/cut.bz2", 1, "bad/cut.bz2", "bzip2", "copy it again"),
    load("a zstd that is none", "bad/cut.zst", 1, "bad/cut.zst", "zstd", "copy it again"),
    load("a tar archive", "bad/logs.tar.gz", 1, "bad/logs.tar.gz", "tar archive", "unpack it"),
    load("a tar archive of GNU's", "bad/gnu.tar", 1, "bad/gnu.tar", "tar archive", "unpack it"),
    load("a zip archive", "bad/logs.zip", 1, "bad/logs.zip", "zip archive", "unpack it"),
    load("xz", "bad/good.log.xz", 1, "bad/good.log.xz", "xz", "unpack it"),
    load("many broken lines", "bad/broken.log", 1, "60 of ", "--max-rejects", "line 1 (timestamp)", "nothing was loaded"),
    load("a pipe", "bad/pipe", 1, "bad/pipe", "write its content to a file"),
    load("an address of the web", "https://example.org/access.log", 2, "https://example.org/access.log", "download it first"),
    load("S3 without bucket", "s3://", 2, "s3://BUCKET/KEY"),
    load("unknown field in a pattern", "logs/{host}/*", 2, "{host}", "{site} and {source}"),
    Mistake(
        "another format", (*GOOD[:2], "bad/good.log", *GOOD[3:], "--format", "haproxy"), 1, ("not in format haproxy", "--format")
    ),
    Mistake("another dataset", ("load", "api_logs", LOG, "--site", "rennes"), 1, (LOG, "python-literal", "--format")),
    Mistake("good and bad together", (*GOOD[:2], "bad/good.log", "bad/table.csv", *GOOD[3:]), 1, ("bad/table.csv",)),
]

QUERIES = [
    Mistake("no query", ("sql",), 2, ("give a query", "-f")),
    Mistake("two queries", ("sql", "select 1", "-f", "query.sql"), 2, ("not both",)),
    Mistake("empty query", ("sql", " "), 2, ("empty",)),
    Mistake("query in no file", ("sql", "-f", "nope.sql"), 2, ("nope.sql", "No such file")),
    Mistake("syntax", ("sql", "selct 1"), 1, ("syntax error", "selct")),
    Mistake("no such table", ("sql", "select * from acess_logs"), 1, ("acess_logs", 'Did you mean "access_logs"')),
    Mistake("no such column", ("sql", "select hits from access_logs"), 1, ('"hits"', "Candidate bindings")),
    Mistake(
        "no query but a change", ("sql", "delete from access_logs"), 1, ("only reads", "SELECT", "lakehouse load and unload")
    ),
    Mistake("several queries", ("sql", "select 1; select 2"), 1, ("one query",)),
    Mistake("no such format", ("sql", "select 1", "--format", "xml"), 2, ("--format", "'csv'")),
    Mistake("output in no format", ("sql", "select 1", "-o", "hits.txt"), 2, ("hits.txt", "--format csv")),
    Mistake("output in no folder", ("sql", "select 1", "-o", "nope/hits.csv"), 1, ("nope/hits.csv", "name another file")),
]

SETTINGS = [
    setting("misspelt setting", 'zoen = "UTC"', "lakehouse.toml", "zoen", "did you mean zone"),
    setting("misspelt section", '[dataset.acess_logs]\nclient_ip = "keep"', "acess_logs", "did you mean access_logs"),
    setting("misspelt option", '[dataset.access_logs]\nclient_ipp = "keep"', "client_ipp", "did you mean 'client_ip'"),
    setting("misspelt choice", '[dataset.access_logs]\nclient_ip = "kep"', "'kep'", "did you mean 'keep'"),
    setting("misspelt module", '[dataset.access_logs.applications]\ngeo = "geosrver"', "geosrver", "did you mean 'geoserver'"),
    setting("option without section", "[dataset]\naccess_logs = 5", "access_logs", "[dataset.NAME]"),
    setting("section without dataset", '[access_logs]\nclient_ip = "keep"', "access_logs.client_ip", "[dataset.NAME]"),
    setting("number as text", "zone = 5", "lakehouse.toml, zone: 5", "in quotes"),
    setting("no TOML", "zone: UTC", "lakehouse.toml", "TOML"),
    variable("LAKEHOUSE_HOME", "", "home is empty", "~/lakehouse"),
    variable("LAKEHOUSE_ZONE", "Paris", "LAKEHOUSE_ZONE", "'Paris'", "Europe/Paris"),
    variable("LAKEHOUSE_INPUT_ZONE", "CETX", "LAKEHOUSE_INPUT_ZONE", "'CETX'", "Europe/Paris"),
    variable("LAKEHOUSE_ZOEN", "UTC", "LAKEHOUSE_ZOEN", "did you mean LAKEHOUSE_ZONE"),
    variable("LAKEHOUSE_MAX_REJECTS", "5", "LAKEHOUSE_MAX_REJECTS", "0 to 1"),
    variable("LAKEHOUSE_MAX_REJECTS", "few", "LAKEHOUSE_MAX_REJECTS", "a number"),
    variable("LAKEHOUSE_COMMIT_TIMEOUT", "0", "LAKEHOUSE_COMMIT_TIMEOUT", "more than 0"),
    variable("LAKEHOUSE_KEY", "secret", "LAKEHOUSE_KEY", "16 characters"),
    variable("LAKEHOUSE_CATALOG_TYPE", "mysql", "'mysql'", "sqlite, postgresql, hive, rest"),
    variable("LAKEHOUSE_CATALOG_TYPE", "hive", "catalog.type hive", "catalog.uri"),
    variable("LAKEHOUSE_WAREHOUSE", "s4://bucket/x", "s4://bucket/x", "s3://"),
    variable("LAKEHOUSE_CONFIG", "nope.toml", "nope.toml", "correct or unset"),
    variable("LAKEHOUSE_S3_ACCESS_KEY_ID", "key", "s3.secret_access_key", "set both"),
    # A folder that cannot be written to, for whoever runs the tests: a file stands in its way.
    Mistake("home in a file", GOOD, 1, (f"{LOG}/home", "set `home`"), environment={"LAKEHOUSE_HOME": f"{LOG}/home"}),
    Mistake(
        "warehouse in a file",
        GOOD,
        1,
        (f"{LOG}/warehouse",),
        environment={"LAKEHOUSE_HOME": "other", "LAKEHOUSE_WAREHOUSE": f"{LOG}/warehouse"},
    ),
    Mistake("damaged catalog", GOOD, 1, ("damaged", "backup"), environment={"LAKEHOUSE_HOME": "damaged"}),
]
MISTAKES = [*COMMANDS, *OPTIONS, *INPUTS, *QUERIES, *SETTINGS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with good and bad logs and a lakehouse that holds one of them."""
    folder = tmp_path_factory.mktemp("bad")
    write_sample("access_logs", folder / "logs", days=1, rows=100, site="rennes", seed=1, end=date(2026, 11, 21))
    good = (folder / LOG).read_bytes()
    for name, content in {
        "bad/good.log": good.replace(b"/Nov/", b"/Oct/"),
        "bad/binary.log": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10,
        "bad/nul.log": bytes(1000),
        "bad/table.csv": b"a,b,c\n1,2,3\n",
        "bad/utf16.log": good.decode().encode("utf-16"),
        "bad/text.gz": b"this is no gzip\n",
        "bad/cut.gz": gzip.compress(good)[:500],
        "bad/good.log.xz": lzma.compress(good),
        "bad/cut.bz2": bz2.compress(good)[:500],
        "bad/cut.zst": b"\x28\xb5\x2f\xfdxx",
        "bad/broken.log": good.replace(b"/Nov/", b"/Xxx/", 60),
        "bad/empty.log": b"",
        "damaged/catalog.db": b"no database" * 500,
        "empty/.hidden": b"x",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "bad/pipe")
    shutil.make_archive(f"{folder}/bad/logs", "gztar", folder / "logs")
    shutil.make_archive(f"{folder}/bad/logs", "zip", folder / "logs")
    with tarfile.open(folder / "bad/gnu.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(folder / "logs", "logs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        set_up(patch, folder)
        assert main(GOOD) == 0
    yield folder


def set_up(patch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("LAKEHOUSE_", "AWS_"))]:
        patch.delenv(name)
    patch.setenv("HOME", str(folder))
    patch.setenv("LAKEHOUSE_HOME", "home")


def stored(folder: Path) -> tuple[dict[str, str], set[Path]]:
    """The version of each table that holds rows, and all files of the lakehouse but the catalog's own."""
    reader = Reader(load_settings({"LAKEHOUSE_HOME": str(folder / "home")}))
    filled = {name for name, rows, *_ in reader.totals() if rows}
    versions = {name: table.metadata_location for name, table in reader.tables().items() if name in filled}
    return versions, {path for name in versions for path in (folder / "home/warehouse/lakehouse" / name).rglob("*")}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_one_sentence_and_changes_nothing(
    mistake: Mistake, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    set_up(monkeypatch, folder)
    before = stored(folder)
    for name, value in mistake.environment.items():
        monkeypatch.setenv(name, value)
    (folder / "lakehouse.toml").write_text(mistake.settings)

    assert main(mistake.arguments) == mistake.code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("lakehouse: ")
    message = printed.err.removeprefix("lakehouse: ").removesuffix("\n")
    assert [part for part in mistake.says if part not in message] == []
    assert "Traceback" not in message and "Errno" not in message
    # Only the query engine's own words, which point at a place in the statement, need more lines.
    assert "\n" not in message or mistake in QUERIES

    assert main((*mistake.arguments, "--json")) == mistake.code
    printed = capsys.readouterr()
    assert printed.err == ""
    error = json.loads(printed.out)["error"]
    assert error["message"] == message
    assert getattr(errors, error["kind"]).exit_code == mistake.code

    (folder / "lakehouse.toml").unlink()
    assert stored(folder) == before


def test_an_empty_log_is_no_error_but_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    set_up(monkeypatch, folder)
    before = stored(folder)
    assert main(("load", "access_logs", "bad/empty.log", "--site", "rennes")) == 0
    assert "there is nothing in it yet" in capsys.readouterr().out
    assert stored(folder) == before


def test_a_log_without_permission(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(path: str, mode: str, buffering: int) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.chdir(folder)
    set_up(monkeypatch, folder)
    # The superuser, who may run the tests, is refused nothing.
    monkeypatch.setattr("lakehouse.inputs.open", refuse, raising=False)
    assert main(("load", "access_logs", "bad/good.log", "--site", "rennes")) == 1
    assert capsys.readouterr().err.startswith(f"lakehouse: {folder}/bad/good.log: permission denied")
