"""What is kept of addresses and names, and the visitor: a keyed hash that is another one tomorrow."""

import hashlib
import socket
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.datasets.access_logs.siphash import Words, siphash_2_4
from lakehouse.errors import SettingsError

MIN_KEY_BYTES = 16

_MAPPED = bytes(10) + b"\xff\xff"
_NETWORK_BYTES = 6
_MAX_AGENT_CHARACTERS = 1_000
_REMEMBERED_ADDRESSES = 50_000
_LONGEST_IPV4 = len("255.255.255.255")
_DOT, _ZERO = ord("."), ord("0")


@dataclass(frozen=True)
class Clients:
    """Distinct clients: what is stored of each, and the two words that stand for it in the visitor's hash."""

    stored: pl.Series
    high: Words
    low: Words


class Privacy:
    """Applies the privacy settings with one secret key.

    Each use of the key has a key of its own, derived by BLAKE2b with another personalisation, so that no two kinds of
    stored hashes can be compared.

    Args:
        client_ip: `truncate`, `keep`, `hash` or `drop`.
        user_name: `drop`, `keep` or `hash`.
        key: at least 16 bytes.

    Raises:
        SettingsError: the key is too short.
    """

    def __init__(self, client_ip: str, user_name: str, key: bytes) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise SettingsError(
                f"The secret key of keyed hashes has {len(key)} bytes, which is too few;"
                f" set one of at least {MIN_KEY_BYTES} random bytes."
            )
        self.client_ip = client_ip
        self._user_name = user_name
        self._client_key = _derive(key, b"client_ip")
        self._name_key = _derive(key, b"user_name")
        self._text_key = _derive(key, b"no address")
        self.visitor_key = _derive(key, b"visitor")
        self._agent_key = _derive(key, b"user_agent")
        self.address = lru_cache(_REMEMBERED_ADDRESSES)(self._read_address)

    def clients(self, addresses: pl.Series) -> Clients:
        """Read distinct addresses as servers log them.

        Args:
            addresses: not null; IPv4 and IPv6 with or without port, brackets and zone, IPv4 inside IPv6, a list whose
                first one counts, or any other text. That is a client too, but under `truncate` nothing of it is
                stored.
        """
        numbers, last_dots = _ipv4(addresses)
        plain = last_dots > 0
        low = ((0xFFFF << 32) + numbers) * plain
        high = np.zeros(len(low), np.uint64)
        texts = addresses
        networks = addresses.str.slice(0, pl.Series(last_dots + 1)) + "0"
        others = np.flatnonzero(~plain)
        if len(others):
            words, spelled, found = zip(*map(self.address, addresses.gather(others).to_list()), strict=True)
            high[others], low[others] = np.frombuffer(b"".join(words), ">u8").reshape(-1, 2).T
            texts = texts.scatter(others, pl.Series(spelled, dtype=pl.String()))
            networks = networks.scatter(others, pl.Series(found, dtype=pl.String()))
        if self.client_ip == "truncate":
            return Clients(networks, high, low)
        return Clients(_stored(texts, self.client_ip, self._client_key), high, low)

    def _read_address(self, text: str) -> tuple[bytes, str, str | None]:
        """The words of an address, how it is spelled where it is kept, and its network; any other text has none."""
        packed = packed_address(text)
        if packed is None:
            return _digest(text, self._text_key, 16), text, None
        return packed, _text(packed), _network(packed)

    def user_names(self, names: pl.Series) -> pl.Series:
        """Distinct names as they are stored."""
        return _stored(names, self._user_name, self._name_key)

    def agent_words(self, agents: pl.Series) -> Words:
        """The words that stand for distinct agents, null among them, in the visitor's hash."""
        keyed = hashlib.blake2b(digest_size=8, key=self._agent_key)

        def digest(agent: str | None) -> bytes:
            if agent is None:
                return bytes(8)
            state = keyed.copy()  # takes half the time of beginning with the key
            state.update(agent.encode())
            return state.digest()

        heads = agents.str.slice(0, _MAX_AGENT_CHARACTERS).to_list()
        return np.frombuffer(b"".join(map(digest, heads)), "<u8")

    def visitors(self, high: Words, low: Words, agent: Words, day: Words) -> Words:
        """The visitor of each row: 63 bits, all of them uniform, so that SQL has a number without a sign.

        Args:
            high, low: of the client.
            agent: of the agent.
            day: UTC days since 1970.
        """
        return siphash_2_4(self.visitor_key, high, low, agent, day) >> np.uint64(1)


def _stored(values: pl.Series, choice: str, key: bytes) -> pl.Series:
    if choice == "keep":
        return values
    if choice == "drop":
        return pl.repeat(None, len(values), dtype=pl.String(), eager=True)
    hashes = [None if value is None else _digest(value, key, 16).hex() for value in values.to_list()]
    return pl.Series(hashes, dtype=pl.String())


def _derive(key: bytes, use: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=16, person=use).digest()


def _digest(text: str, key: bytes, size: int) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=size, key=key).digest()


def _ipv4(texts: pl.Series) -> tuple[Words, npt.NDArray[np.int8]]:
    """The number of each IPv4 address in its usual spelling, and where its last dot is; -1 for any other text."""
    array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    length = np.diff(ends)
    text = np.zeros(int(ends[-1]) + _LONGEST_IPV4, np.uint8)
    text[: ends[-1]] = np.frombuffer(data or b"", np.uint8)[: ends[-1]]
    fits = length <= _LONGEST_IPV4
    number, octet = np.zeros(len(length), np.uint64), np.zeros(len(length), np.uint32)
    dots, digits, last_dot = (np.zeros(len(length), np.int8) for _ in range(3))
    for place in range(_LONGEST_IPV4):
        character = text[ends[:-1] + place]
        inside = length > place
        digit = character - _ZERO
        is_digit = (digit <= 9) & inside
        is_dot = (character == _DOT) & inside
        # No octet is empty, has a leading zero or is too large.
        fits &= is_digit | is_dot | ~inside
        fits &= ~((is_dot & (digits == 0)) | (is_digit & (digits > 0) & (octet == 0)))
        octet = np.where(is_digit, octet * 10 + digit, octet)
        fits &= octet <= 255
        number = np.where(is_dot, number * 256 + octet, number)
        octet *= ~is_dot
        digits = (digits + is_digit) * ~is_dot
        dots += is_dot
        last_dot[is_dot] = place
    fits &= (dots == 3) & (digits > 0)
    return number * 256 + octet, np.where(fits, last_dot, np.int8(-1))


def packed_address(text: str) -> bytes | None:
    """The 16 bytes of an address, an IPv4 one mapped into IPv6 (RFC 4291, section 2.5.5.2); None if it is none."""
    try:
        return socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        pass
    address = text.partition(",")[0].strip()
    if address.startswith("["):
        address = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        address = address.partition(":")[0]
    address = address.partition("%")[0]
    try:
        return socket.inet_pton(socket.AF_INET6, address if ":" in address else f"::ffff:{address}")
    except (OSError, ValueError):
        return None


def _text(packed: bytes) -> str:
    if packed.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed)


def _network(packed: bytes) -> str:
    if packed.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[12:15] + b"\0")
    return socket.inet_ntop(socket.AF_INET6, packed[:_NETWORK_BYTES] + bytes(10))
