"""The compiled way of the usual lines.

It cuts the same lines as `regular.py` (but for those with a virtual host), finds the distinct values of each column, and
derives what takes long in numpy. What is computed of an agent or of a request to an application stays in Python, once for
each distinct one. Everything works without the library, only slower.
"""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from lakehouse.datasets.access_logs import agents, applications
from lakehouse.datasets.access_logs.agents import MAX_REMEMBERED
from lakehouse.datasets.access_logs.applications import Application, ogc
from lakehouse.datasets.access_logs.columns import ROW_SCHEMA
from lakehouse.datasets.access_logs.encoded import encode
from lakehouse.datasets.access_logs.lines import Positions
from lakehouse.datasets.access_logs.privacy import Privacy
from lakehouse.datasets.access_logs.regular import METHODS, PROTOCOLS
from lakehouse.datasets.access_logs.siphash import Words
from lakehouse.datasets.access_logs.users import users
from lakehouse.datasets.encoded_rows import EncodedRows
from lakehouse.errors import DatasetError

MAX_REMEMBERED_BYTES = 16 * 2**20
"""Text of agents, of requests to applications, and of users that is remembered from block to block."""

_AGENTS, _REQUESTS, _USERS = 0, 1, 2
_ROWS: Mapping[str, type[np.generic]] = {
    "line": np.int64, "ts": np.int64, "status": np.int32, "bytes": np.int64, "method": np.uint8, "protocol": np.uint8,
    "client": np.int32, "user": np.int32, "url": np.int32, "path": np.int32, "query": np.int32, "application": np.int32,
    "request": np.int32, "referrer": np.int32, "agent": np.int32, "client_words": np.uint64, "client_networks": np.int32,
    "others": np.int64,
}  # fmt: skip
_TEXTS = (
    "clients", "networks", "users", "urls", "paths", "queries", "applications", "referrers", "agents", "requests",
)  # fmt: skip
_SMALL = ("service", "request", "workspace", "crs", "image_format")
"""What requests have few different values of."""
_METHOD_NAMES, _PROTOCOL_NAMES = (pa.array(names, pa.string()) for names in (METHODS, PROTOCOLS))
_NO_BYTES = -1

Codes = npt.NDArray[np.int32]
_Value = TypeVar("_Value", bound=np.generic)


class NativeEncoder:
    """Cuts, encodes and enriches the usual lines of block after block.

    Args:
        native: see `compiled.library`.
        mapping: path prefix to application.
        privacy: what is kept of addresses and names.
    """

    def __init__(self, native: ctypes.CDLL, mapping: Mapping[str, Application], privacy: Privacy) -> None:
        self._native = native
        self._privacy = privacy
        prefixes = sorted(mapping, key=len, reverse=True)
        texts = [text.encode() for prefix in prefixes for text in (prefix, mapping[prefix].name)]
        key = np.frombuffer(privacy.visitor_key, "<u8")
        settings = np.concatenate([key, np.array([len(text) for text in texts], np.uint64)]).astype(np.uint64)
        joined = b"".join(texts)
        self._encoder = native.lakehouse_open(settings.ctypes.data, len(settings), joined, len(joined))
        if not self._encoder:
            raise DatasetError("access_logs: the compiled library does not take the settings; this is a defect, please report it")
        self._agents = _Agents(privacy)
        self._requests = _Requests(prefixes, mapping)
        self._users = _Users(privacy)

    def __del__(self) -> None:
        if getattr(self, "_encoder", None):
            self._native.lakehouse_close(self._encoder)
            self._encoder = None

    def encode(self, text: bytes, first_line: int) -> tuple[EncodedRows, Positions]:
        """The rows of those lines that are usual; the others are missing.

        Args:
            text: lines, each ending in a newline, but maybe for the last one.
            first_line: number of the first one.

        Returns:
            The rows, and of each other line: its number, where it begins and where it ends, line end included.
        """
        for which, known in ((_AGENTS, self._agents), (_REQUESTS, self._requests), (_USERS, self._users)):
            if known.count > MAX_REMEMBERED or known.size > MAX_REMEMBERED_BYTES:
                self._native.lakehouse_forget(self._encoder, which)
                known.forget()
        count = self._native.lakehouse_encode(self._encoder, text, len(text), first_line)
        self._check(count)
        rows = {name: self._array(number, kind) for number, (name, kind) in enumerate(_ROWS.items())}
        columns: dict[str, pl.Series] = {}
        values: dict[str, pa.StringArray] = {}

        def encoded(name: str, codes: Codes, texts: pa.StringArray) -> None:
            columns[name], values[name] = _positions(codes), texts

        columns["_line"] = pl.Series(rows["line"])
        columns["ts"] = pl.Series(rows["ts"]).cast(ROW_SCHEMA["ts"])
        columns["status"] = pl.Series(rows["status"])
        columns["bytes"] = _nullable(rows["bytes"], rows["bytes"] != _NO_BYTES)
        encoded("method", rows["method"].view(np.int8).astype(np.int32), _METHOD_NAMES)
        encoded("protocol", rows["protocol"].view(np.int8).astype(np.int32), _PROTOCOL_NAMES)
        for name, texts in (("url", "urls"), ("path", "paths"), ("query", "queries"), ("application", "applications")):
            encoded(name, rows[name], self._texts(texts))
        encoded("referrer", rows["referrer"], self._texts("referrers"))
        self._agents.learn(self._texts("agents"))
        self._requests.learn(self._texts("requests"))
        for name, (codes, texts) in self._agents.columns(rows["agent"]).items():
            encoded(name, codes, texts)
        columns["is_bot"] = pl.Series(_at(self._agents.is_bot, rows["agent"]))
        clients = self._clients(rows)
        encoded("client_ip", clients[0], clients[1])
        columns["visitor"] = self._visitors(count, clients[2])
        requests, plain = self._requests.columns(rows["request"])
        for name, (codes, texts) in requests.items():
            encoded(name, codes, texts)
        columns |= plain
        self._users.learn(self._texts("users"))
        columns |= {column.name: column for column in self._users.columns(rows["user"])}
        frame = pl.DataFrame(
            [
                columns[name].alias(name) if name in columns else pl.repeat(None, count, dtype=kind, eager=True).alias(name)
                for name, kind in ROW_SCHEMA.items()
            ]
        )
        return EncodedRows(frame, values), rows["others"].reshape(-1, 3)

    def _check(self, answer: int) -> None:
        if answer < 0:
            raise DatasetError("access_logs: the compiled library failed; this is a defect, please report it")

    def _array(self, number: int, kind: type[np.generic]) -> npt.NDArray[Any]:
        """A copy of an array, which the library will use again."""
        size = ctypes.c_size_t()
        address = self._native.lakehouse_array(self._encoder, number, ctypes.byref(size))
        return np.frombuffer(ctypes.string_at(address, size.value) if size.value else b"", kind)

    def _texts(self, name: str) -> pa.StringArray:
        number = len(_ROWS) + 2 * _TEXTS.index(name)
        offsets = self._array(number, np.int32)
        data = self._array(number + 1, np.uint8)
        return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))

    def _clients(self, rows: Mapping[str, npt.NDArray[Any]]) -> tuple[Codes, pa.StringArray, Words]:
        """What is stored of each row's client, and two words for each distinct one."""
        texts = self._texts("clients")
        if self._privacy.client_ip != "truncate":
            found = self._privacy.clients(pl.Series(texts, dtype=pl.String()))
            stored = encode(found.stored)
            codes = np.append(stored.positions.fill_null(-1).to_numpy(), np.int32(-1)).astype(np.int32)
            words = np.ascontiguousarray(np.stack([found.high, found.low], axis=1)).reshape(-1)
            return _at(codes, rows["client"]), _string_array(stored.values), words
        networks, words = np.append(rows["client_networks"], np.int32(-1)), rows["client_words"].copy()
        others = np.flatnonzero(networks[:-1] < 0)
        for place, text in zip(others.tolist(), texts.take(pa.array(others)).to_pylist(), strict=True):
            packed, _, network = self._privacy.address(text)
            words[2 * place : 2 * place + 2] = np.frombuffer(packed, ">u8")
            if network is not None:
                name = network.encode()
                networks[place] = self._native.lakehouse_network(self._encoder, name, len(name))
                self._check(int(networks[place]))
        return _at(networks, rows["client"]), self._texts("networks"), words

    def _visitors(self, count: int, clients: Words) -> pl.Series:
        words = self._agents.words
        visitors = np.empty(count, np.int64)
        self._check(
            self._native.lakehouse_visitors(
                self._encoder, clients.ctypes.data, len(clients) // 2, words.ctypes.data, len(words), visitors.ctypes.data
            )
        )
        return _nullable(visitors, visitors >= 0)


class _Agents:
    """Agents by the library's numbers, and what follows from each; what no agent has stands at the end."""

    def __init__(self, privacy: Privacy) -> None:
        self._word = privacy.agent_words
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        nothing = pl.Series([None], dtype=pl.String())
        self._texts = pa.array([], pa.string())
        self._described = {name: _Distinct() for name in ("agent_family", "agent_os")}
        self.is_bot = agents.describe(nothing)["is_bot"].to_numpy()
        self.words = self._word(nothing)

    @property
    def count(self) -> int:
        """Agents that are known."""
        return len(self._texts)

    @property
    def size(self) -> int:
        """Bytes of their texts."""
        return int(self._texts.nbytes)

    def learn(self, texts: pa.StringArray) -> None:
        """Describe those that are new among all that the library remembers."""
        new = pl.Series(texts.slice(self.count), dtype=pl.String())
        self._texts = texts
        if new.is_empty():
            return
        described = agents.describe(new)
        for name, distinct in self._described.items():
            distinct.extend(described[name])
        self.is_bot = np.concatenate([self.is_bot[:-1], described["is_bot"].to_numpy(), self.is_bot[-1:]])
        self.words = np.concatenate([self.words[:-1], self._word(new), self.words[-1:]])

    def columns(self, numbers: Codes) -> dict[str, tuple[Codes, pa.StringArray]]:
        """Columns of text for rows with these agents, -1 for none."""
        used = _used(numbers, self.count)
        own = _at(_renumbered(used, self.count), numbers), self._texts.take(pa.array(used))
        return {"user_agent": own} | {name: distinct.of(numbers, used) for name, distinct in self._described.items()}


class _Requests:
    """Requests to applications by the library's numbers, and what their modules say."""

    def __init__(self, prefixes: Sequence[str], mapping: Mapping[str, Application]) -> None:
        self._prefixes = pl.Series(prefixes, dtype=pl.String())
        self._mapping = mapping
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.count = self.size = 0
        self._distinct = {name: _Distinct() for name in _SMALL}
        self._plain = pl.DataFrame(schema={name: kind for name, kind in ogc.FIELDS.items() if name not in _SMALL})

    def learn(self, texts: pa.StringArray) -> None:
        """Describe those that are new; a text is the number of the prefix, the path behind it and the parameters' values."""
        new = pl.Series(texts.slice(self.count), dtype=pl.String())
        self.count, self.size = len(texts), int(texts.nbytes)
        if new.is_empty():
            return
        number, path, *values = new.str.split_exact("\n", 1 + ogc.PARAMETERS).struct.unnest().get_columns()
        parameters = ogc.parameters_of(values)
        prefix = self._prefixes.gather(number.cast(pl.UInt32()))
        found = applications.describe_distinct(pl.DataFrame({"prefix": prefix, "path": path}).hstack(parameters), self._mapping)
        for name, distinct in self._distinct.items():
            distinct.extend(found[name])
        self._plain = pl.concat([self._plain, found.select(self._plain.columns)], rechunk=True)

    def columns(self, numbers: Codes) -> tuple[dict[str, tuple[Codes, pa.StringArray]], dict[str, pl.Series]]:
        """Columns for rows with these requests, -1 for none: texts of which there are few, and all others."""
        plain = self._plain.select(pl.all().gather(_positions(numbers)))
        used = _used(numbers, self.count)
        return {name: distinct.of(numbers, used) for name, distinct in self._distinct.items()}, {
            column.name: column for column in plain
        }


class _Users:
    """Users by the library's numbers, and what is kept of each."""

    def __init__(self, privacy: Privacy) -> None:
        self._privacy = privacy
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.count = self.size = 0
        self._described = pl.DataFrame(users(pl.Series(dtype=pl.String()), self._privacy))

    def learn(self, texts: pa.StringArray) -> None:
        """Describe those that are new among all that the library remembers."""
        new = pl.Series(texts.slice(self.count), dtype=pl.String())
        self.count, self.size = len(texts), int(texts.nbytes)
        if not new.is_empty():
            self._described = pl.concat([self._described, pl.DataFrame(users(new, self._privacy))], rechunk=True)

    def columns(self, numbers: Codes) -> list[pl.Series]:
        """Columns for rows with these users, -1 for none; but for those that no user has."""
        some = self._described.select(column for column in self._described if column.null_count() < self.count)
        return some.select(pl.all().gather(_positions(numbers))).get_columns()


class _Distinct:
    """A column of few different texts, by the number of an agent or request."""

    def __init__(self) -> None:
        self._numbers: dict[str | None, int] = {None: -1}
        self._codes: Codes = np.array([-1], np.int32)

    def extend(self, texts: pl.Series) -> None:
        """Add what the next numbers have."""
        if texts.null_count() == len(texts):  # as most of what requests could have
            self._codes = np.concatenate([self._codes, np.full(len(texts), -1, np.int32)])
            return
        found = encode(texts)
        codes = [self._numbers.setdefault(text, len(self._numbers) - 1) for text in found.values.to_list()]
        own = _at(np.array([*codes, -1], np.int32), found.positions.fill_null(-1).to_numpy())
        self._codes = np.concatenate([self._codes[:-1], own, self._codes[-1:]])

    def of(self, numbers: Codes, used: Positions) -> tuple[Codes, pa.StringArray]:
        """The column of rows with these numbers, -1 for none: which of the texts, and those.

        Args:
            numbers: by row.
            used: those of them that there are.
        """
        texts = list(self._numbers)[1:]
        codes = self._codes[used]
        used_texts = _used(codes, len(texts))
        # Looked up by number first, and by row only once.
        of_number = np.full(len(self._codes), -1, np.int32)
        of_number[used] = _at(_renumbered(used_texts, len(texts)), codes)
        return _at(of_number, numbers), pa.array([texts[code] for code in used_texts], pa.string())


def _at(values: npt.NDArray[_Value], numbers: Codes) -> npt.NDArray[_Value]:
    """The value of each number, the last one for -1; indexing would give the same and take several times as long."""
    return values.take(_places(numbers, len(values) - 1))


def _used(codes: Codes, count: int) -> Positions:
    """Which numbers below `count` there are among these, in their order; -1 is none."""
    used = np.zeros(count + 1, np.bool_)
    used[_places(codes, count)] = True
    return np.flatnonzero(used[:-1])


def _places(numbers: Codes, last: int) -> Positions:
    """The numbers, with the last place for -1: without a sign it is the largest of all, and no branch is needed."""
    return np.minimum(numbers.view(np.uint32), np.uint32(last)).astype(np.intp)


def _renumbered(used: Positions, count: int) -> Codes:
    """For each number below `count` its place among those in use, and -1 at the end, for none."""
    places = np.full(count + 1, -1, np.int32)
    places[used] = np.arange(len(used), dtype=np.int32)
    return places


def _positions(codes: Codes) -> pl.Series:
    return _nullable(codes, codes >= 0)


def _nullable(numbers: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> pl.Series:
    """Numbers, null where they are not valid."""
    if valid.all():
        return pl.Series(numbers)
    kind = pa.int32() if numbers.dtype == np.int32 else pa.int64()
    bits = np.packbits(valid, bitorder="little")
    array = pa.Array.from_buffers(kind, len(numbers), [pa.py_buffer(bits), pa.py_buffer(np.ascontiguousarray(numbers))])
    return pl.Series(array)


def _string_array(texts: pl.Series) -> pa.StringArray:
    return texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.string())
