"""The fast path of `combined`: cut regular lines at positions that numpy finds, without a regular expression.

A line is regular if its quotes, blanks, brackets and digits are exactly where the general path would find them.
Whatever is doubtful (a backslash before a quote, an unusual method, an ident, an impossible date) is left to the
general path; what clients send that is no HTTP is not doubtful, as long as it cannot be taken for a request line.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.datasets.access_logs.columns import RAW_SCHEMA
from lakehouse.datasets.access_logs.fields import extra_json, without_port
from lakehouse.datasets.access_logs.lines import Block, Flags, Positions

_BLANK, _BACKSLASH, _COMMA, _DASH, _ZERO = (ord(character) for character in " \\,-0")

METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT")
PROTOCOLS = ("HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/3.0")
_METHOD_LENGTHS = np.array([len(name) for name in (*METHODS, "")])
_METHOD_NAMES, _PROTOCOL_NAMES = (pl.Series([*names, None]) for names in (METHODS, PROTOCOLS))
"""With null behind the last one: for what is no request."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FIRST_YEAR, _LAST_YEAR = 1970, 2199

_MONTH_CODES = np.array([int.from_bytes(month.encode()) for month in _MONTHS])
_MONTHS_BY_CODE = np.argsort(_MONTH_CODES)
_MONTHS_SINCE_1970 = np.arange((_LAST_YEAR + 1 - _FIRST_YEAR) * 12 + 1)
_MONTH_BEGINS = _MONTHS_SINCE_1970.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
"""Days since 1970 on which the months begin, up to the one behind the last."""

_BEFORE_REQUEST = ' [17/May/2015:10:05:03 +0000] "'
_TO_TIME = len(_BEFORE_REQUEST) - 1
_SHORTEST_HEAD = len("a - ") + _TO_TIME
_SHORTEST_NUMBERS = len(" 200 0")

# The same byte eight times, to look at eight bytes at once.
_LOWEST_BITS, _HIGHEST_BITS, _BLANKS, _ZEROS, _TO_HIGHEST_BIT = (
    np.uint64(byte * 0x0101010101010101) for byte in (0x01, 0x80, _BLANK, _ZERO, 0x80 - 10)
)
_HIGHEST_BYTES = np.array([2**64 - 2 ** (64 - 8 * count) for count in range(9)], dtype=np.uint64)
"""Masks of the last `count` bytes of a word."""
_TEN, _HUNDRED, _TEN_THOUSAND = (np.uint64(power) for power in (10, 100, 10_000))


Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Cuts:
    """Where lines are to be cut, a position for each line.

    Args:
        number: of the line in the input.
        begin: of the line.
        end: of its text.
        quotes: of the request, and of referrer and user agent if the lines have them: opening, closing, opening, ...
    """

    number: Positions
    begin: Positions
    end: Positions
    quotes: tuple[Positions, ...]

    def at(self, chosen: Flags) -> "Cuts":
        """Those of some lines."""
        if chosen.all():
            return self
        return Cuts(
            self.number[chosen],
            self.begin[chosen],
            self.end[chosen],
            tuple(quote[chosen] for quote in self.quotes),
        )


def regular_rows(text: Block, cuts: Cuts) -> pl.DataFrame:
    """Raw rows of those lines that are regular; the others are missing.

    Args:
        text: the block.
        cuts: lines with 2 quotes (common) or 6 (combined), all alike.
    """
    cuts = cuts.at(_is_long_enough(cuts))
    found: dict[str, Values] = {}
    found["ts"], regular = _times(text, cuts.quotes[0] - _TO_TIME)
    found["status"], is_status = _statuses(text, cuts.quotes[1])
    found["bytes"], found["has_bytes"], is_dash = _sizes(text, cuts)
    found["method"] = _methods(text, cuts.quotes[0] + 1)
    found["protocol"] = _protocols(text, cuts.quotes[1])
    regular &= is_status & (found["has_bytes"] | is_dash) & _are_quotes_plain(text, cuts)
    has_target = found["is_request"] = _has_target(text, cuts, found["method"], found["protocol"])
    if not has_target.all():
        regular &= has_target | _is_no_request(text, cuts, regular & ~has_target)
    cuts, found = cuts.at(regular), _at(found, regular)
    # Only now is it certain that a blank ends what is looked for there.
    head = _Head.of(text, cuts)
    return _frame(text, cuts.at(head.regular), head.at(head.regular), _at(found, head.regular))


def _at(found: dict[str, Values], chosen: Flags) -> dict[str, Values]:
    return found if chosen.all() else {name: values[chosen] for name, values in found.items()}


def _numbers_end(cuts: Cuts) -> Positions:
    return cuts.quotes[2] - 1 if len(cuts.quotes) > 2 else cuts.end


def _is_long_enough(cuts: Cuts) -> Flags:
    opening, closing = cuts.quotes[:2]
    return (opening - cuts.begin >= _SHORTEST_HEAD) & (_numbers_end(cuts) - closing > _SHORTEST_NUMBERS)


def _are_quotes_plain(text: Block, cuts: Cuts) -> Flags:
    """None of the quotes is escaped, and only blanks stand between the quoted values."""
    if len(cuts.quotes) == 2:
        return np.ones(len(cuts.begin), dtype=np.bool_)
    referrer, referrer_end, agent, agent_end = cuts.quotes[2:]
    plain: Flags = (agent == referrer_end + 2) & (agent_end + 1 == cuts.end)
    plain &= (text.bytes[referrer - 1] == _BLANK) & (text.bytes[referrer_end + 1] == _BLANK)
    plain &= (text.bytes[referrer_end - 1] != _BACKSLASH) & (text.bytes[agent_end - 1] != _BACKSLASH)
    return plain


def _statuses(text: Block, at: Positions) -> tuple[npt.NDArray[np.int32], Flags]:
    """The status in `" 200 `, and whether that is what stands there."""
    characters = text.characters(at, 6)
    fits = (characters[1] == _BLANK) & (characters[5] == _BLANK)
    status = np.zeros(len(at), dtype=np.int32)
    for digit in characters[2:5] - _ZERO:
        fits &= digit <= 9
        status = status * 10 + digit
    return status, fits


def _times(text: Block, at: Positions) -> tuple[Positions, Flags]:
    """Microseconds since 1970 of `_BEFORE_REQUEST`, and whether such text stands there.

    A leap second, or a year out of the table, is left to the general path.
    """
    characters = text.characters(at, _TO_TIME)
    fits = np.ones(len(at), dtype=np.bool_)
    for place in (0, 1, 4, 8, 13, 16, 19, 22, 28, 29):
        fits &= characters[place] == ord(_BEFORE_REQUEST[place])

    def number(first: int, last: int) -> Positions:
        nonlocal fits
        total = np.zeros(len(at), dtype=np.int32)
        for digit in characters[first : last + 1] - _ZERO:
            fits &= digit <= 9
            total = total * 10 + digit
        return total.astype(np.int64)

    day, year, hour, minute, second = number(2, 3), number(9, 12), number(14, 15), number(17, 18), number(20, 21)
    sign, zone_hour, zone_minute = characters[23], number(24, 25), number(26, 27)
    code = (characters[5].astype(np.int64) << 16) | (characters[6].astype(np.int64) << 8) | characters[7]
    month = _MONTHS_BY_CODE[np.minimum(np.searchsorted(_MONTH_CODES, code, sorter=_MONTHS_BY_CODE), 11)]
    fits &= _MONTH_CODES[month] == code
    fits &= (year >= _FIRST_YEAR) & (year <= _LAST_YEAR) & (hour < 24) & (minute < 60) & (second < 60)
    fits &= (zone_hour < 24) & (zone_minute < 60) & ((sign == ord("+")) | (sign == ord("-")))
    nth_month = ((year - _FIRST_YEAR) * 12 + month) * fits
    days = _MONTH_BEGINS[nth_month] + day - 1
    fits &= (day > 0) & (days < _MONTH_BEGINS[nth_month + 1])
    zone = (zone_hour * 60 + zone_minute) * (1 - 2 * (sign == ord("-")).astype(np.int64))
    return (((days * 24 + hour) * 60 + minute - zone) * 60 + second) * 1_000_000, fits


def _methods(text: Block, at: Positions) -> Positions:
    """Which of the methods stands there with a blank behind it; the number of methods if it is none of them."""
    word = text.words(at)
    found = np.full(len(at), len(METHODS), dtype=np.int64)
    for number, method in enumerate(METHODS):
        expected = f"{method} ".encode()[:8]
        mask = np.uint64((1 << 8 * len(expected)) - 1)
        found[(word & mask) == int.from_bytes(expected, "little")] = number
    return found


def _protocols(text: Block, end: Positions) -> Positions:
    """Which of the protocols ends there; the number of protocols if it is none of them."""
    word = text.words(end - 8)
    found = np.full(len(end), len(PROTOCOLS), dtype=np.int64)
    for number, name in enumerate(PROTOCOLS):
        found[word == int.from_bytes(name.encode(), "little")] = number
    return found


def _has_target(text: Block, cuts: Cuts, method: Positions, protocol: Positions) -> Flags:
    """A target stands between one of the usual methods and one of the usual protocols."""
    opening, closing = cuts.quotes[:2]
    target_length = (closing - 9) - (opening + _METHOD_LENGTHS[method] + 2)
    has_target: Flags = (method < len(METHODS)) & (protocol < len(PROTOCOLS))
    has_target &= (text.bytes[closing - 9] == _BLANK) & (target_length > 0)
    return has_target


def _is_no_request(text: Block, cuts: Cuts, chosen: Flags) -> Flags:
    """Of chosen lines: what is quoted is certainly no request line, which begins with a letter and has a blank."""
    opening, closing = (quote[chosen] for quote in cuts.quotes[:2])
    # Letters differ from each other's case in this bit alone.
    letter = (text.bytes[opening + 1] | 0x20) - np.uint8(ord("a"))
    nothing = (letter >= 26) | (_next_blank(text, opening + 1) > closing)
    fits = np.zeros(len(chosen), dtype=np.bool_)
    fits[chosen] = nothing & (text.bytes[closing - 1] != _BACKSLASH)
    return fits


def _sizes(text: Block, cuts: Cuts) -> tuple[Positions, Flags, Flags]:
    """The number of bytes, whether it is one of at most eight digits, and whether the dash stands there instead.

    The digits are added up in pairs, then pairs of those, within the eight bytes before the end.
    """
    begin, end = cuts.quotes[1] + len('" 200 '), _numbers_end(cuts)
    length = end - begin
    word = text.words(end - 8)
    digits = (word ^ _ZEROS) & _HIGHEST_BYTES.take(length, mode="clip")
    is_number = (((digits + _TO_HIGHEST_BIT) | digits) & _HIGHEST_BITS == 0) & (length <= 8)
    pairs = (digits * _TEN + (digits >> 8)) & np.uint64(0x00FF00FF00FF00FF)
    fours = (pairs * _HUNDRED + (pairs >> 16)) & np.uint64(0x0000FFFF0000FFFF)
    number = (fours * _TEN_THOUSAND + (fours >> 32)) & np.uint64(0xFFFFFFFF)
    return number.astype(np.int64), is_number, (length == 1) & (word >> 56 == _DASH)


@dataclass(frozen=True)
class _Head:
    """What stands before the timestamp: `client - user`, or `server client - user`."""

    client: Positions
    client_end: Positions
    has_server: Flags
    user: Positions
    regular: Flags

    @classmethod
    def of(cls, text: Block, cuts: Cuts) -> "_Head":
        client, user_end = cuts.begin.copy(), cuts.quotes[0] - _TO_TIME
        client_end = _next_blank(text, client)
        regular = client_end > client
        has_server = regular & ~_dash_follows(text, client_end)
        if has_server.any():
            # A comma would make it a proxy's list of addresses.
            regular &= ~has_server | (text.bytes[client_end - 1] != _COMMA)
            client[has_server] = client_end[has_server] + 1
            client_end[has_server] = _next_blank(text, client[has_server])
            regular &= (client_end > client) & _dash_follows(text, client_end)
        user = client_end + len(" - ")
        return cls(client, client_end, has_server, user, regular & (user <= user_end))

    def at(self, chosen: Flags) -> "_Head":
        """Those of some lines."""
        if chosen.all():
            return self
        return _Head(
            self.client[chosen],
            self.client_end[chosen],
            self.has_server[chosen],
            self.user[chosen],
            self.regular[chosen],
        )


def _next_blank(text: Block, at: Positions) -> Positions:
    """Where the next blank is; there must be one."""
    blank = at.copy()
    searching = np.ones(len(at), dtype=np.bool_)
    while searching.any():
        # A byte that equals the blank is zero now, and the lowest zero byte is the lowest one with its highest bit set.
        word = text.words(blank[searching]) ^ _BLANKS
        found = (word - _LOWEST_BITS) & ~word & _HIGHEST_BITS
        blank[searching] += np.bitwise_count((found & -found) - np.uint64(1)) >> 3
        searching[searching] = found == 0
    return blank


def _dash_follows(text: Block, at: Positions) -> Flags:
    follows: Flags = text.words(at) & np.uint64(0xFFFFFF) == int.from_bytes(b" - ", "little")
    return follows


def _frame(text: Block, cuts: Cuts, head: _Head, found: dict[str, Values]) -> pl.DataFrame:
    opening, closing = cuts.quotes[:2]
    is_request = found["is_request"]
    # What is no request is kept whole as the url.
    url_begin, url_end = opening + 1 + (_METHOD_LENGTHS[found["method"]] + 1) * is_request, closing - 9 * is_request

    def value(begin: Positions, end: Positions) -> pl.Series:
        return text.strings(begin, end, blank_to_null=True)

    columns = {
        "_line": pl.Series(cuts.number),
        "ts": pl.Series(found["ts"]),
        "client_ip": value(head.client, head.client_end),
        "user_field": value(head.user, opening - _TO_TIME),
        "method": _METHOD_NAMES.gather(np.where(is_request, found["method"], len(METHODS))),
        "url": value(url_begin, url_end),
        "protocol": _PROTOCOL_NAMES.gather(np.where(is_request, found["protocol"], len(PROTOCOLS))),
        "status": pl.Series(found["status"]),
        "bytes": pl.Series(found["bytes"]),
        "has_bytes": pl.Series(found["has_bytes"]),
    }
    if len(cuts.quotes) > 2:
        columns["referrer"] = value(cuts.quotes[2] + 1, cuts.quotes[3])
        columns["user_agent"] = value(cuts.quotes[4] + 1, cuts.quotes[5])
    made: dict[str, pl.Expr] = {"bytes": pl.when("has_bytes").then("bytes")}
    if head.has_server.any():
        columns["server"] = value(cuts.begin, np.where(head.has_server, head.client - 1, cuts.begin))
        made["server"], port = without_port(pl.col("server"))
        made["extra"] = extra_json({"server_port": port})
    return pl.DataFrame(columns).select(
        made.get(name, pl.col(name) if name in columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in RAW_SCHEMA.items()
    )
