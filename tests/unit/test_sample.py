"""Sample logs: the same bytes everywhere, as many lines as asked for, and what real logs are made of."""

import ast
import hashlib
import re
from datetime import date, datetime
from pathlib import Path

import pytest

from lakehouse.errors import DatasetError, LakehouseError, StorageError, UsageError
from lakehouse.sample import write_sample
from lakehouse.sample.draws import allocate
from lakehouse.sample.user_agents import user_agents

END = date(2026, 11, 22)  # a Sunday
COMBINED = re.compile(
    r'(?P<address>\S+) - (?P<user>\S+) \[(?P<time>[^]]+)\] "(?P<request>[^"]*)" (?P<status>\d{3}) (?P<bytes>\d+|-)'
    r' "(?P<referrer>[^"]*)" "(?P<agent>[^"]*)"(?P<more>.*)'
)
BOT = re.compile(r"bot|curl|python-requests|Go-http", re.IGNORECASE)


def matches(paths: list[Path]) -> list[re.Match[str]]:
    found = (
        COMBINED.fullmatch(line.decode()) for path in paths for line in path.read_bytes().split(b"\n")[:-1] if b"\0" not in line
    )
    return [match for match in found if match]


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_sample("access_logs", tmp_path_factory.mktemp("week"), 7, 30_000, "demo", 1, END)


@pytest.mark.parametrize(
    ("dataset", "digest"),
    [
        ("access_logs", "5d91b58a628ba5ad21a6f4d555d2efb28414623d8bdf22ec3dc98264ea1f0b81"),
        ("api_logs", "3ff743d49c3fe1e6c3c771ff28b0736473efd7a8b2530cd039db895284a3f410"),
    ],
)
def test_bytes_are_the_same_on_every_machine(dataset: str, digest: str, tmp_path: Path) -> None:
    written = b"".join(path.read_bytes() for path in write_sample(dataset, tmp_path, 3, 5000, "demo", 7, END))
    assert hashlib.sha256(written).hexdigest() == digest


def test_site_and_seed_change_the_traffic(tmp_path: Path) -> None:
    contents = {
        write_sample("access_logs", tmp_path / f"{site}{seed}", 1, 100, site, seed, END)[0].read_bytes()
        for site in ("paris", "rennes")
        for seed in (1, 2)
    }
    assert len(contents) == 4


def test_there_is_a_file_a_day_with_all_rows_in_order_of_time(week: list[Path]) -> None:
    assert [path.name for path in week] == [f"access.log-202611{day}" for day in range(16, 23)]
    assert sum(path.read_bytes().count(b"\n") for path in week) == 30_000
    for path in week:
        times = [datetime.strptime(match["time"], "%d/%b/%Y:%H:%M:%S %z") for match in matches([path])]
        assert times == sorted(times)
        assert {f"{time:%Y%m%d}" for time in times} == {path.name.removeprefix("access.log-")}


def test_traffic_follows_the_week_and_the_day(week: list[Path]) -> None:
    lines = [path.read_bytes().count(b"\n") for path in week]
    assert max(lines[5:]) < 0.6 * min(lines[:5])
    hours = [int(match["time"][12:14]) for match in matches(week)]
    assert hours.count(3) * 5 < hours.count(10)


def test_traffic_has_what_real_logs_have(week: list[Path]) -> None:
    found = matches(week)
    assert 0.05 < sum(bool(BOT.search(match["agent"])) for match in found) / len(found) < 0.10
    assert {match["status"] for match in found} >= {
        "200",
        "206",
        "302",
        "304",
        "400",
        "401",
        "403",
        "404",
        "500",
        "503",
    }
    assert any(re.fullmatch(r"user\d+\|ORG_\d\|ROLE_USER,ROLE_\w+", match["user"]) for match in found)
    assert any(match["request"].startswith(r"\x16\x03") for match in found)
    assert any(match["request"] == "-" for match in found)
    urls = [match["request"].split(" ")[1] for match in found if match["request"].endswith(("HTTP/2.0", "HTTP/1.1"))]
    for part in ("REQUEST=GetMap", "GetFeature", "GetTile", "/geonetwork/srv/", "/mapstore/", "/data/ogcapi/"):
        assert any(part in url for url in urls)
    popular = max(urls.count("/"), 1)
    assert popular > 10 * len(urls) / len(set(urls))


def test_a_few_lines_are_no_text(week: list[Path]) -> None:
    garbage = [line for path in week for line in path.read_bytes().split(b"\n") if b"\0" in line]
    assert 0 < len(garbage) < 30
    with pytest.raises(UnicodeDecodeError):
        garbage[0].decode()


def test_asked_numbers_of_different_values_appear(tmp_path: Path) -> None:
    paths = write_sample(
        "access_logs", tmp_path, 2, 10_000, "demo", 3, END, unique_addresses=2000, unique_agents=700, unique_urls=3000
    )
    found = matches(paths)
    assert len({match["address"] for match in found}) == 2000
    assert len({match["agent"] for match in found} - {"-"}) == 700
    urls = {match["request"].split(" ")[1] for match in found if " /" in match["request"] and match["agent"] != "-"}
    assert len(urls) == 3000


def test_response_time_is_appended_in_seconds(tmp_path: Path) -> None:
    found = matches(write_sample("access_logs", tmp_path, 1, 500, "demo", 3, END, response_time=True))
    assert found
    assert all(re.fullmatch(r" \d+\.\d{3}", match["more"]) for match in found)


@pytest.mark.parametrize("dataset", ["access_logs", "api_logs"])
def test_days_without_rows_have_no_file(dataset: str, tmp_path: Path) -> None:
    paths = write_sample(dataset, tmp_path, 7, 1, "demo", 1, END)
    assert paths == sorted(tmp_path.iterdir())
    assert [path.read_bytes().count(b"\n") for path in paths] == [1]


def test_calls_are_python_literals_with_ranked_answers(tmp_path: Path) -> None:
    (path,) = write_sample("api_logs", tmp_path, 1, 2000, "demo", 1, END)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2000
    certain = 0
    for line in lines:
        stamp, level, text = line.split(" - ", 2)
        assert f"{datetime.strptime(stamp, '%Y-%m-%d %H:%M:%S,%f'):%Y-%m-%d}" == "2026-11-22"
        assert level == "INFO"
        record = ast.literal_eval(text)
        answers = [record["Response"][str(rank)] for rank in range(1, 6)]
        shares = [answer["probabilite"] for answer in answers]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 1
        assert record["Response"]["IC"] == pytest.approx(shares[0] - shares[1])
        assert all(re.fullmatch(r"\d{4}[A-Z]", answer["code"]) for answer in answers)
        assert record["Query"]["text_description"]
        certain += record["Response"]["IC"] > 0.8
    assert 0.4 < certain / 2000 < 0.9


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"dataset": "views"}, DatasetError, "no sample of 'views': choose one of access_logs, api_logs"),
        ({"rows": 0}, UsageError, "0 rows in 1 days is impossible"),
        ({"days": 0}, UsageError, "in 0 days is impossible"),
        ({"days": 800_000}, UsageError, "before the first year"),
        ({"unique_urls": 101}, UsageError, "101 different URLs are impossible here: give a number from 1 to 100"),
        ({"unique_addresses": 0}, UsageError, "0 different addresses are impossible"),
        ({"unique_agents": 20, "unique_addresses": 10}, UsageError, "20 different user agents are impossible"),
        ({"dataset": "api_logs", "unique_urls": 5}, UsageError, "api_logs has no addresses, agents, URLs"),
    ],
)
def test_impossible_samples_are_refused(
    change: dict[str, object], error: type[LakehouseError], message: str, tmp_path: Path
) -> None:
    arguments = {"dataset": "access_logs", "days": 1, "rows": 100, "site": "demo", "seed": 1, "end": END, **change}
    with pytest.raises(error, match=message):
        write_sample(out=tmp_path / "new", **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "access.log-20261122").write_text("precious")
    with pytest.raises(UsageError, match="already there"):
        write_sample("access_logs", tmp_path, 2, 100, "demo", 1, END)
    assert [path.name for path in tmp_path.iterdir()] == ["access.log-20261122"]
    assert (tmp_path / "access.log-20261122").read_text() == "precious"


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written to"):
        write_sample("access_logs", tmp_path / "file" / "folder", 1, 10, "demo", 1, END)


def test_user_agents_are_all_different() -> None:
    assert len(set(user_agents(20_000))) == 20_000


def test_allocate_gives_away_everything_in_proportion() -> None:
    assert allocate(10, [1, 1, 1]) == [4, 3, 3]
    assert allocate(0, [1, 2]) == [0, 0]
    assert allocate(7, [0, 1, 0]) == [0, 7, 0]
