"""Plain Parquet for tools without Iceberg: the queries of an existing dashboard, and what is written and deleted when."""

import json
import os
import shutil
import signal
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from lakehouse.cli import main
from lakehouse.datasets.api_logs import DATASET as API_LOGS
from lakehouse.engines import duckdb as engine
from lakehouse.errors import LakehouseError, StorageError, UsageError
from lakehouse.publish import STATE, Published, Publisher
from lakehouse.publish_options import FILE_NAME, Names, PublishOptions
from lakehouse.settings import Settings
from tests.s3server import S3Server
from tests.support import processes
from tests.support.home import Home
from tests.support.tiny import lines

pytestmark = pytest.mark.embedded

COUNT = "SELECT count(*) FROM read_parquet('{}/*/daily_logs_0.parquet', HIVE_PARTITIONING = 1)"
LAST_DAYS = (
    "SELECT * FROM read_parquet('{0}/*/daily_logs_0.parquet', HIVE_PARTITIONING = 1) WHERE date IN (SELECT DISTINCT(date) "
    "FROM read_parquet('{0}/*/daily_logs_0.parquet', HIVE_PARTITIONING = 1) ORDER BY date desc LIMIT 20)"
)
"""The two queries of a dashboard that reads plain Parquet, unchanged but for the address."""


class Site(Home):
    """A lakehouse of which a dataset is published."""

    def publish(self, destination: Path | str, **options: Any) -> Published:
        return Publisher(self.settings, self.dataset.name, str(destination), PublishOptions(**options)).run()


@pytest.fixture
def own_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the tiny dataset known under its name."""
    from tests.support.tiny import TINY

    monkeypatch.setattr("lakehouse.publish.get_dataset", lambda name, folder: TINY)
    monkeypatch.setattr("lakehouse.reading.get_dataset", lambda name, folder: TINY)


@pytest.fixture
def home(tmp_path: Path, own_datasets: None) -> Site:
    return Site(tmp_path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "dashboard"


def on_s3(folder: Path, s3: S3Server, dataset: Any = None) -> Site:
    """A lakehouse whose settings know the server."""
    environment = {
        "LAKEHOUSE_S3_ENDPOINT": s3.endpoint,
        "LAKEHOUSE_S3_ACCESS_KEY_ID": s3.access_key,
        "LAKEHOUSE_S3_SECRET_ACCESS_KEY": s3.secret_key,
    }
    return Site(folder, dataset, **environment) if dataset else Site(folder, **environment)


def days(*numbers: int) -> tuple[date, ...]:
    return tuple(date.fromordinal(date(1970, 1, 1).toordinal() + number) for number in numbers)


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder but the lock, with numbers that change when it is written."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != "_lakehouse.lock")
    return {path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def texts(folder: Path) -> list[str]:
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT text FROM ({LAST_DAYS.format(folder)}) ORDER BY ts").fetchall()
    return [row[0] for row in rows]


def api_log(number_of_days: int) -> bytes:
    answer = "{'Query': {'text_description': 'boulanger', 'nature': 'x'}, 'Response': {'1': {'code': '10.71C', 'libelle': 'L', "
    return b"".join(
        f"2026-11-{day:02} 23:59:{second:02},999 - INFO - {answer}'probabilite': 0.9}}, 'IC': 0.8}}}}\n".encode()
        for day in range(1, number_of_days + 1)
        for second in (1, 59)
    )


def test_the_dashboards_queries_on_a_folder(tmp_path: Path, out: Path) -> None:
    home = Site(tmp_path, API_LOGS)
    home.load(home.write("api.log", api_log(25)))
    home.publish(out, names=Names.original)
    with duckdb.connect() as connection:
        assert connection.execute(COUNT.format(out)).fetchone() == (50,)
        last = connection.sql(LAST_DAYS.format(out))
        columns = dict(zip(last.columns, map(str, last.types), strict=True))
        assert columns["date"] == "DATE"
        found = connection.execute(
            f'SELECT min(date), max(date), count(*), min("Response.1.code"), min("Response.IC"), max("Timestamp"::VARCHAR) '
            f"FROM ({LAST_DAYS.format(out)})"
        ).fetchone()
    assert found is not None
    assert found[:5] == (date(2026, 11, 6), date(2026, 11, 25), 40, "10.71C", 0.8)
    assert found[5].startswith("2026-11-25 23:59:59.999")
    assert "Query.text_description" not in columns, "personal data is published only when asked for"
    assert not {"_input", "_line"} & columns.keys()
    home.publish(out, names=Names.original, private=True)
    with duckdb.connect() as connection:
        assert "Query.text_description" in connection.sql(LAST_DAYS.format(out)).columns


def test_the_dashboards_queries_on_s3(tmp_path: Path, s3: S3Server) -> None:
    home = on_s3(tmp_path, s3, API_LOGS)
    home.load(home.write("api.log", api_log(3)))
    address = f"s3://{s3.new_bucket()}/log_files/dashboard"
    home.publish(f"{address}/", names=Names.original)
    with engine.connect(home.settings) as connection:
        assert connection.execute(COUNT.format(address)).fetchone() == (6,)
        assert len(connection.sql(LAST_DAYS.format(address)).to_arrow_table()) == 6


def test_a_day_is_one_sorted_file_of_all_sites_without_the_day_in_it(home: Site, out: Path) -> None:
    home.load(home.write("a.log", b"20 c\n10 a\n"), site="a")
    home.load(home.write("b.log", b"15 b\n"), site="b")
    home.publish(out)
    table = pq.ParquetFile(out / "date=1970-01-01" / FILE_NAME).read()
    assert table.column_names == ["site", "ts", "text"]
    assert table.select(["site", "text"]).to_pylist() == [
        {"site": "a", "text": "a"},
        {"site": "b", "text": "b"},
        {"site": "a", "text": "c"},
    ]
    assert home.publish(out, site="b").written == days(0)
    assert texts(out) == ["b"]


def test_only_days_that_changed_are_written_again_and_days_that_are_gone_are_deleted(home: Site, out: Path) -> None:
    first = home.write("first.log", lines(72))
    home.load(first)
    assert home.publish(out) == Published(str(out), written=days(0, 1, 2))
    before = files(out)
    assert home.publish(out) == Published(str(out), unchanged=3)
    assert files(out) == before
    home.load(home.write("second.log", b"86401 late\n400000 new day\n"))
    assert home.publish(out) == Published(str(out), written=days(1, 4), unchanged=2)
    changed = {name for name, number in files(out).items() if before.get(name) != number}
    assert changed == {f"date=1970-01-02/{FILE_NAME}", f"date=1970-01-05/{FILE_NAME}", STATE}
    home.unload(*(record.id for record in home.ledger().inputs.values() if record.location == str(first)))
    assert home.publish(out) == Published(str(out), written=days(1), deleted=days(0, 2), unchanged=1)
    assert texts(out) == ["late", "new day"]
    assert not (out / "date=1970-01-01").exists()


def test_on_s3_too_only_the_reloaded_day_is_put(tmp_path: Path, s3: S3Server, own_datasets: None) -> None:
    home = on_s3(tmp_path, s3)
    bucket = s3.new_bucket()
    log = home.write("a.log", lines(72))
    home.load(log)
    home.publish(f"s3://{bucket}/out")
    puts = len(s3.requests(bucket, "PutObject"))
    home.load(home.write("b.log", b"86400 reloaded\n"), replace_day=date(1970, 1, 2))
    assert home.publish(f"s3://{bucket}/out").written == days(1)
    written = [request.key for request in s3.requests(bucket, "PutObject")[puts:]]
    assert written == [f"out/{STATE}", f"out/date=1970-01-02/{FILE_NAME}", f"out/{STATE}"]
    home.unload(*home.ledger().inputs)
    assert home.publish(f"s3://{bucket}/out").deleted == days(0, 1, 2)
    keys = [item["Key"] for item in s3.client().list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == [f"out/{STATE}"]


def test_the_last_days_only(home: Site, out: Path) -> None:
    home.load(home.write("a.log", lines(72)))
    home.publish(out)
    assert home.publish(out, last=2) == Published(str(out), deleted=days(0), unchanged=2)


def test_files_that_others_changed_or_deleted_are_made_anew(home: Site, out: Path) -> None:
    home.load(home.write("a.log", lines(72)))
    home.publish(out)
    (out / "date=1970-01-01" / FILE_NAME).write_bytes(b"damaged")
    (out / "date=1970-01-03" / FILE_NAME).unlink()
    assert home.publish(out).written == days(0, 2)
    assert len(texts(out)) == 72


def test_another_file_name_leaves_none_of_the_old_ones(home: Site, out: Path) -> None:
    home.load(home.write("a.log", lines(24)))
    home.publish(out)
    assert home.publish(out, file_name="part.parquet") == Published(str(out), written=days(0))
    assert set(files(out)) == {STATE, "date=1970-01-01/part.parquet"}


def test_a_killed_publish_leaves_whole_files_and_the_next_one_does_the_rest(tmp_path: Path, out: Path) -> None:
    home = Site(tmp_path, API_LOGS)
    home.load(home.write("api.log", api_log(5)))
    for day in (1, 3):
        assert processes.wait(processes.start(_publish_and_die, home.settings, out, day)) == -signal.SIGKILL
        whole = list(out.glob(f"*/{FILE_NAME}"))
        assert [pq.read_metadata(path).num_rows for path in whole] == [2] * day
        shutil.copy(whole[0], whole[0].with_name(f".{FILE_NAME}.tmp"))
    home.publish(out)
    with duckdb.connect() as connection:
        assert connection.execute(COUNT.format(out)).fetchone() == (10,)
    assert set(files(out)) == {STATE, *(f"date=2026-11-0{day}/{FILE_NAME}" for day in range(1, 6))}


def _publish_and_die(settings: Settings, out: Path, after: int) -> None:
    def die(day: str, done: int, total: int) -> None:
        if len(list(out.glob(f"*/{FILE_NAME}"))) == after:
            os.kill(os.getpid(), signal.SIGKILL)

    Publisher(settings, "api_logs", str(out), PublishOptions(), die).run()


def test_a_day_of_a_killed_publish_that_is_unloaded_meanwhile_goes(home: Site, out: Path) -> None:
    home.load(home.write("a.log", lines(24)))
    with pytest.raises(RuntimeError):
        Publisher(home.settings, "tiny", str(out), PublishOptions(), _fail).run()
    home.unload(*home.ledger().inputs)
    home.publish(out)
    assert set(files(out)) == {STATE}


def _fail(day: str, done: int, total: int) -> None:
    raise RuntimeError("stopped")


def test_a_slow_publish_does_not_leave_older_rows_than_a_fast_one(tmp_path: Path, s3: S3Server, own_datasets: None) -> None:
    home = on_s3(tmp_path, s3)
    address = f"s3://{s3.new_bucket()}/out"
    home.load(home.write("a.log", lines(48)))
    fast: list[Published] = []

    def overtake(day: str, done: int, total: int) -> None:
        if not fast:
            home.load(home.write("b.log", b"1 newer\n86401 newer\n"))
            fast.append(home.publish(address))

    slow = Publisher(home.settings, "tiny", address, PublishOptions(), overtake).run()
    assert fast[0].written == slow.written == days(0, 1)
    with engine.connect(home.settings) as connection:
        assert connection.execute(f"{COUNT.format(address)} WHERE text = 'newer'").fetchone() == (2,)
    home.publish(address)
    assert home.publish(address) == Published(address, unchanged=2)


def test_two_publishes_to_a_folder_at_once(tmp_path: Path, out: Path) -> None:
    home = Site(tmp_path, API_LOGS)
    home.load(home.write("api.log", api_log(3)))
    started = [processes.start(_publish, home.settings, out) for _ in range(2)]
    assert [processes.wait(process) for process in started] == [0, 0]
    assert home.publish(out) == Published(str(out), unchanged=3)


def _publish(settings: Settings, out: Path) -> None:
    Publisher(settings, "api_logs", str(out)).run()


def refusal(home: Site, destination: Path | str, **options: Any) -> str:
    with pytest.raises(LakehouseError) as caught:
        home.publish(destination, **options)
    assert isinstance(caught.value, (UsageError, StorageError))
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_what_cannot_be_published_is_refused_in_a_sentence(home: Site, out: Path, tmp_path: Path) -> None:
    assert "nothing is loaded into tiny yet: lakehouse load tiny" in refusal(home, out)
    home.load(home.write("a.log", lines(2)))
    assert "have no original names" in refusal(home, out, names=Names.original)
    assert "must end in .parquet" in refusal(home, out, file_name="../x.parquet")
    assert "neither a folder nor an s3:// address" in refusal(home, "gs://bucket/x")
    assert "lies in the warehouse" in refusal(home, f"{home.settings.warehouse}/x")
    assert "File exists" in refusal(home, home.write("file", b""))
    foreign = home.write("foreign/date=2020-01-01/daily_logs_0.parquet", b"someone's")
    assert "already holds files that no publish has written" in refusal(home, foreign.parent.parent)
    assert foreign.read_bytes() == b"someone's"
    home.publish(out)
    state = json.loads((out / STATE).read_bytes())
    (out / STATE).write_text(json.dumps(state | {"dataset": "other"}))
    assert "holds what was published of other" in refusal(home, out)
    (out / STATE).write_text("{")
    assert "is damaged or from a newer lakehouse" in refusal(home, out)


def test_the_command(tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    home = Site(tmp_path, API_LOGS)
    home.load(home.write("api.log", api_log(2)))
    monkeypatch.setenv("LAKEHOUSE_HOME", str(home.settings.home))
    assert main(["publish", "api_logs", str(out), "--names", "original", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == ["2026-11-01", "2026-11-02"]
    assert main(["publish", "api_logs", str(out), "--names", "original", "--last", "1"]) == 0
    assert capsys.readouterr().out == f"{out}: days written: 0, deleted: 1, unchanged: 1\n"
    assert main(["publish", "api_logs", str(out), "--file-name", "x"]) == 2
