"""Browser, operating system and automation of a User-Agent header, by ua-parser's maintained rules."""

from collections.abc import Callable
from functools import cache

import numpy as np
import polars as pl
from ua_parser import Device, load_lazy_builtins
from ua_parser.core import Matcher
from ua_parser.lazy import DeviceMatcher
from ua_parser.regex import Resolver

from lakehouse.datasets.access_logs.encoded import Encoded
from lakehouse.datasets.access_logs.siphash import Words

MAX_REMEMBERED = 50_000
"""Agents whose answer is kept in the process, over blocks and inputs."""

MAX_CHARACTERS = 1_000
"""Characters of an agent that are looked at: real ones are shorter, and the header is the client's to choose."""

# What no person sits in front of, besides ua-parser's spiders: the words that crawlers, monitors and scanners call
# themselves by, browsers run by programs, command-line tools and bare HTTP libraries. A contact address is what
# crawlers are asked to send, and what no browser sends.
_AUTOMATED = (
    r"(?i)https?://|[a-z0-9]@[a-z0-9]|bot\b|crawl|spider|scrape|scanner|harvest|feedfetcher"
    r"|uptime|monitor|health-?check|kube-probe|blackbox|check_http|zabbix|nagios|prometheus"
    r"|nikto|nmap|sqlmap|zgrab|nuclei|headless|phantomjs|selenium|puppeteer|playwright|lighthouse"
    r"|^(?:curl|wget|python|libcurl|libwww|lwp|go-http-client|apache-httpclient|okhttp|axios|node|undici|got|ruby|php"
    r"|guzzlehttp|aiohttp|httpx|httpie|postman|insomnia|k6|apachebench|jmeter|gatling|vegeta|hey|perl|restsharp|aria2"
    r"|rclone)\b"
)

# ua-parser's spider rules are read here without the device rules that come before the last of them, which otherwise
# answer first for these two: Amazon's browser (`silk` is also a crawler) and the phone maker whose name ends in "bot".
_DEVICES_NAMED_LIKE_SPIDERS = r"(?i)\bsilk/|\bcubot\b|cubot_"


def describe(agents: pl.Series) -> pl.DataFrame:
    """Parse distinct User-Agent headers.

    Args:
        agents: distinct texts; null where there is none.

    Returns:
        In the order of `agents`: `agent_family` and `agent_os` (ua-parser's family names, null where none of its
        rules fits) and `is_bot`: never null; true for crawlers, monitors, scanners, command-line tools and HTTP
        libraries, that is, for what makes requests with no person in front of it; false without an agent.
    """
    heads = agents.str.slice(0, MAX_CHARACTERS)
    answers = _answers(heads.to_list())
    spider = pl.Series([spider for _, _, spider in answers], dtype=pl.Boolean())
    device = heads.str.contains(_DEVICES_NAMED_LIKE_SPIDERS)
    return pl.DataFrame(
        {
            "agent_family": pl.Series([family for family, _, _ in answers], dtype=pl.String()),
            "agent_os": pl.Series([system for _, system, _ in answers], dtype=pl.String()),
            "is_bot": ((spider | heads.str.contains(_AUTOMATED)) & ~device).fill_null(False),
        }
    )


class KnownAgents:
    """Describes the agents of block after block, each of them once.

    Args:
        word: a number to be kept with each distinct agent.
    """

    def __init__(self, word: Callable[[pl.Series], Words]) -> None:
        self._word = word
        self._forget()

    def _forget(self) -> None:
        nothing = pl.Series([None], dtype=pl.String())
        self._numbers: dict[str | None, int] = {None: 0}
        self._described = describe(nothing)
        self._words = self._word(nothing)

    def of(self, agent: Encoded) -> tuple[pl.DataFrame, Words]:
        """What `describe` says, and the word, of each row; a row may be without an agent."""
        texts = agent.values.to_list()
        if len(self._numbers) + len(texts) > MAX_REMEMBERED:
            self._forget()
        numbers = list(map(self._numbers.get, texts))
        if None in numbers:
            new = [text for text, number in zip(texts, numbers, strict=True) if number is None]
            series = pl.Series(new, dtype=pl.String())
            self._numbers.update(zip(new, range(len(self._numbers), len(self._numbers) + len(new)), strict=True))
            self._described = pl.concat([self._described, describe(series)], rechunk=True)
            self._words = np.concatenate([self._words, self._word(series)])
            numbers = list(map(self._numbers.get, texts))
        # The last one stands for rows without an agent.
        of_row = np.array([*numbers, 0], np.uint32)[agent.positions.fill_null(len(texts)).to_numpy()]
        return self._described.select(pl.all().gather(of_row)), self._words[of_row]


_Answer = tuple[str | None, str | None, bool]
"""Family of the agent, family of its system, and whether it is one of ua-parser's spiders."""
_NOTHING: _Answer = (None, None, False)
_remembered: dict[str, _Answer] = {}
"""Answers of the process, begun anew when there are too many."""


def _answers(agents: list[str | None]) -> list[_Answer]:
    """What ua-parser says of agents, each of which is parsed once for many inputs."""
    if len(_remembered) + len(agents) > MAX_REMEMBERED:
        _remembered.clear()
    new = [agent for agent in agents if agent is not None and agent not in _remembered]
    if new:
        rules = _rules()
        browsers = [found.family if found else None for found in map(rules.ua.extract, new)]
        systems = [found.family if found else None for found in map(rules.os.extract, new)]
        spiders = [found is not None for found in map(rules.de.extract, new)]
        _remembered.update(zip(new, zip(browsers, systems, spiders, strict=True), strict=True))
    return [_NOTHING if agent is None else _remembered[agent] for agent in agents]


@cache
def _rules() -> Resolver:
    browsers, systems, devices = load_lazy_builtins()
    # All 633 device rules would take more time than the others together, and only the spiders are asked for.
    spiders: list[Matcher[Device]] = [rule for rule in devices if isinstance(rule, DeviceMatcher) and rule.family == "Spider"]
    return Resolver((browsers, systems, spiders))
