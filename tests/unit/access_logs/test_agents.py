"""Browser, operating system and automation of user agents."""

import polars as pl
import pytest

from lakehouse.datasets.access_logs import agents

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1"
    " Mobile/15E148 Safari/604.1"
)
KINDLE = "Mozilla/5.0 (Linux; U; en-us; KFAPWI Build/JDQ39) AppleWebKit/535.19 (KHTML, like Gecko) Silk/3.13 Safari/535.19"
CUBOT = (
    "Mozilla/5.0 (Linux; Android 9; CUBOT_P30) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0.4430.91 Mobile Safari/537.36"
)
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@pytest.mark.parametrize(
    ("agent", "family", "system", "is_bot"),
    [
        (CHROME, "Chrome", "Windows", False),
        (SAFARI, "Mobile Safari", "iOS", False),
        ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0", "Firefox", "Ubuntu", False),
        ("Mozilla/5.0 QGIS/33404/Windows 10 (10.0)", "QGIS", "Windows", False),
        (KINDLE, "Amazon Silk", "Linux", False),
        (CUBOT, "Chrome Mobile", "Android", False),
        (GOOGLEBOT, "Googlebot", None, True),
        ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "bingbot", None, True),
        ("Feedly/1.0 (+http://www.feedly.com/fetcher.html; like FeedFetcher-Google)", None, None, True),
        ("Mozilla/5.0 (compatible; Ezooms/1.0; help@moz.com)", None, None, True),
        ("kube-probe/1.29", None, None, True),
        ("Nikto", None, None, True),
        ("curl/7.68.0", "curl", None, True),
        ("python-requests/2.31.0", "Python Requests", None, True),
        ("Go-http-client/1.1", "Go-http-client", None, True),
        ("Java/17.0.2", "Java", None, True),
        ("", None, None, False),
        (None, None, None, False),
    ],
)
def test_an_agent(agent: str | None, family: str | None, system: str | None, is_bot: bool) -> None:
    answer = agents.describe(pl.Series([agent], dtype=pl.String()))
    assert answer.row(0, named=True) == {"agent_family": family, "agent_os": system, "is_bot": is_bot}


def test_answers_stand_in_the_order_of_the_agents() -> None:
    families = agents.describe(pl.Series([GOOGLEBOT, CHROME, "", GOOGLEBOT]))["agent_family"]
    assert families.to_list() == ["Googlebot", "Chrome", None, "Googlebot"]


def test_no_agents_make_no_rows() -> None:
    answer = agents.describe(pl.Series([], dtype=pl.String()))
    assert answer.schema == {"agent_family": pl.String, "agent_os": pl.String, "is_bot": pl.Boolean}


def test_an_agent_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    agents.describe(pl.Series([CHROME, GOOGLEBOT]))
    monkeypatch.setitem(agents._remembered, CHROME, ("as remembered", None, False))
    assert agents.describe(pl.Series([GOOGLEBOT, CHROME]))["agent_family"].to_list() == ["Googlebot", "as remembered"]


def test_few_agents_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "MAX_REMEMBERED", 3)
    for number in range(4):
        answer = agents.describe(pl.Series([f"curl/{number}", None, CHROME]))
        assert answer["agent_family"].to_list() == ["curl", None, "Chrome"]
        assert len(agents._remembered) <= 3


def test_what_is_behind_the_limit_is_not_looked_at() -> None:
    answer = agents.describe(pl.Series(["x" * agents.MAX_CHARACTERS + " Googlebot/2.1"]))
    assert answer.row(0) == (None, None, False)
