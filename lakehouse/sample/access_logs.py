"""Sample access logs in Apache's combined format (`LogFormat "%h %l %u %t \\"%r\\" %>s %b \\"%{Referer}i\\" ..."`)."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from ipaddress import IPv6Address

import polars as pl

from lakehouse.errors import UsageError
from lakehouse.sample.draws import Draws, Popularity, TimeSlice, Weighted, time_slices, times_of_day
from lakehouse.sample.urls import requests
from lakehouse.sample.user_agents import BOT_PERIOD, BOT_REMAINDER, user_agents

_BLOCK_ROWS = 200_000
# Requests by hour of the day, UTC: people in central Europe, and machines at night.
_HOURS = (9, 7, 6, 6, 7, 11, 24, 52, 78, 88, 86, 72, 66, 84, 88, 80, 66, 46, 34, 32, 30, 24, 18, 12)

_STATUSES = pl.Series(["200", "304", "404", "302", "206", "400", "403", "500", "401", "503"])
_STATUS_WEIGHTS = Weighted((880, 62, 24, 12, 6, 4, 4, 4, 2, 2))
_PROTOCOLS = pl.Series(["HTTP/2.0", "HTTP/1.1", "HTTP/1.0"])
_PROTOCOL_WEIGHTS = Weighted((70, 29, 1))
_REFERRERS = pl.Series(
    [
        "-",
        "https://{}/mapstore/",
        "https://{}/datahub/",
        "https://{}/",
        "https://www.google.com/",
        "https://duckduckgo.com/",
    ]
)
_REFERRER_WEIGHTS = Weighted((45, 30, 10, 8, 6, 1))
# Most visitors are anonymous; some proxies log `user|organisation|roles`.
_USERS = pl.Series(
    ["-", *(f"user{number}" for number in range(40))]
    + [f"user{number}|ORG_{number % 7}|ROLE_USER,ROLE_{('GN_EDITOR', 'MAPSTORE_ADMIN')[number % 2]}" for number in range(20)]
)
_USER_WEIGHTS = Weighted((940, *(1.0 for _ in range(60))))
# What scanners send, as servers write it: TLS to a plain port, no request at all, other protocols, an empty one.
_MALFORMED = pl.Series(
    [
        r"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03",
        "-",
        r"\x03\x00\x00/*\xE0\x00\x00\x00\x00\x00Cookie: mstshash=Administr",
        "SSH-2.0-Go",
        r"GET /cgi-bin/\xC0\xAE\xC0\xAE/ HTTP/1.1",
        "",
    ]
)
_MALFORMED_SHARE = 0.002
# A line that is no line: what a crash or a full disk leaves in a log. Not text, so it is put in after encoding.
_GARBAGE_SHARE = 0.0002
_GARBAGE_MARK = "\x01"
_GARBAGE = b"\x00\x00\x00\xff\xfe\x9c\x00HTTP\x00\xc3\x28"


class Traffic:
    """The traffic of one site: who comes, with what, for which URLs.

    Args are those of `write_sample`. Raises UsageError if a number of different values is impossible.
    """

    def __init__(
        self,
        rows: int,
        site: str,
        seed: int,
        *,
        unique_addresses: int | None = None,
        unique_agents: int | None = None,
        unique_urls: int | None = None,
        response_time: bool = False,
    ) -> None:
        self._draws = draws = Draws("access_logs", site, seed)
        addresses = _limited("addresses", unique_addresses, max(1, rows // 12), rows)
        agents = _limited("user agents", unique_agents, min(addresses, max(BOT_PERIOD, rows // 100)), addresses)
        urls = requests(_limited("URLs", unique_urls, max(1, rows // 6), rows), draws)
        self._addresses = _addresses(addresses)
        self._agents = pl.Series(user_agents(agents))
        self._agent_of_address = _agent_of_address(addresses, agents, draws)
        self._urls = pl.DataFrame(urls, schema=["method", "url", "size"], orient="row")
        self._visits = Popularity(addresses, rows, draws)
        self._targets = Popularity(len(urls), rows, draws)
        self._referrers = pl.Series([referrer.format(site) for referrer in _REFERRERS])
        self._response_time = response_time
        self._written = 0

    def blocks(self, day: date, rows: int) -> Iterator[bytes]:
        """The log of one day, in blocks of whole lines. Days must be asked for in order."""
        midnight = datetime.combine(day, time())
        for slices in time_slices(rows, _HOURS, _BLOCK_ROWS):
            yield self._lines(midnight, slices)

    def _lines(self, midnight: datetime, slices: Sequence[TimeSlice]) -> bytes:
        draws = self._draws
        milliseconds = times_of_day(draws, slices)
        rows = len(milliseconds)
        visits = self._visits.draw(draws, self._written, rows)
        targets = self._targets.draw(draws, self._written, rows)
        self._written += rows
        agent = self._agent_of_address.gather(visits["item"])
        spread = draws.uniform(rows)
        frame = self._urls[targets["item"]].with_columns(
            milliseconds=milliseconds,
            address=self._addresses.gather(visits["item"]),
            agent=self._agents.gather(agent),
            is_bot=agent % BOT_PERIOD == BOT_REMAINDER,
            protocol=_PROTOCOLS.gather(_PROTOCOL_WEIGHTS.draw(draws, rows)),
            status=_STATUSES.gather(_STATUS_WEIGHTS.draw(draws, rows)),
            bytes=pl.col.size + (spread * spread * spread * 4 * pl.col.size).cast(pl.Int64),
            referrer=self._referrers.gather(_REFERRER_WEIGHTS.draw(draws, rows)),
            user=_USERS.gather(_USER_WEIGHTS.draw(draws, rows)),
            malformed=_MALFORMED.gather(draws.below(rows, len(_MALFORMED))),
            # Answers grow slower with their size, and a few take seconds.
            response_ms=(2 + pl.col.size // 900 + (draws.uniform(rows) / (1.002 - spread) * 9).cast(pl.Int64)),
            chance=draws.uniform(rows),
            forced=visits["forced"] | targets["forced"],
        )
        lines = frame.select(self._format(midnight)).write_csv(include_header=False, quote_style="never")
        return lines.encode().replace(_GARBAGE_MARK.encode(), _GARBAGE)

    def _format(self, midnight: datetime) -> pl.Expr:
        # A row that must show an address, agent or URL stays as it is.
        is_malformed = ~pl.col.forced & (pl.col.chance < _MALFORMED_SHARE)
        is_garbage = ~pl.col.forced & (pl.col.chance > 1 - _GARBAGE_SHARE)
        nothing = is_malformed | pl.col.is_bot

        def unless(condition: pl.Expr, value: pl.Expr, other: str) -> pl.Expr:
            return pl.when(condition).then(pl.lit(other)).otherwise(value)

        status = unless(is_malformed, pl.col.status, "400")
        size = pl.when(is_malformed).then(pl.lit("157")).when(status == "304").then(pl.lit("-"))
        parts = [
            pl.col.address,
            pl.lit(" - "),
            unless(nothing, pl.col.user, "-"),
            (pl.lit(midnight) + pl.duration(milliseconds="milliseconds")).dt.strftime(' [%d/%b/%Y:%H:%M:%S +0000] "'),
            pl.when(is_malformed).then(pl.col.malformed).otherwise(pl.concat_str("method", "url", "protocol", separator=" ")),
            pl.lit('" '),
            status,
            pl.lit(" "),
            size.otherwise(pl.col.bytes.cast(pl.String)),
            pl.lit(' "'),
            unless(nothing, pl.col.referrer, "-"),
            pl.lit('" "'),
            unless(is_malformed, pl.col.agent, "-"),
            pl.lit('"'),
        ]
        if self._response_time:
            seconds, rest = pl.col.response_ms // 1000, pl.col.response_ms % 1000
            parts += [pl.lit(" "), seconds.cast(pl.String), pl.lit("."), rest.cast(pl.String).str.zfill(3)]
        return unless(is_garbage, pl.concat_str(parts), _GARBAGE_MARK)


def _limited(what: str, wanted: int | None, default: int, limit: int) -> int:
    if wanted is None:
        return default
    if not 1 <= wanted <= limit:
        raise UsageError(f"{wanted} different {what} are impossible here: give a number from 1 to {limit}.")
    return wanted


def _addresses(count: int) -> pl.Series:
    """Different addresses from ranges that belong to nobody: 10.0.0.0/8 and, one in eight, 2001:db8::/32."""
    number = pl.int_range(count, dtype=pl.Int64)
    # An odd factor visits every number below a power of two once.
    scattered = (number * 7_919_191) % 2**24
    version_4 = pl.concat_str(pl.lit("10"), scattered // 2**16, scattered // 2**8 % 2**8, scattered % 2**8, separator=".")
    addresses = pl.select(version_4).to_series()
    every_eighth = range(7, count, 8)
    return addresses.scatter(pl.Series(every_eighth, dtype=pl.Int64()), [_version_6(number) for number in every_eighth])


def _version_6(number: int) -> str:
    """An address of a network, a subnet and an interface that look as drawn; different for every number."""
    network, subnet = number * 7_919_191 % 2**16, number % 2**8
    return str(IPv6Address(0x2001_0DB8 << 96 | network << 80 | subnet << 64 | number * 0x9E37_79B9_7F4A_7C15 % 2**64))


def _agent_of_address(addresses: int, agents: int, draws: Draws) -> pl.Series:
    """The agent that each address uses: every agent once, then by popularity; an address is a bot's for good."""
    popular = Weighted([1.0 / (rank + 7) for rank in range(agents)]).draw(draws, addresses)
    number = pl.int_range(addresses, dtype=pl.Int64)
    is_bot = number % BOT_PERIOD == BOT_REMAINDER
    remainder = popular % BOT_PERIOD
    as_bot = popular - remainder + BOT_REMAINDER
    as_person = pl.when(pl.lit(remainder) == BOT_REMAINDER).then(popular + 1).otherwise(popular)
    chosen = pl.when(is_bot).then(as_bot).otherwise(as_person)
    return pl.select(pl.when(number < agents).then(number).otherwise(chosen).clip(0, agents - 1)).to_series()
