"""Personal data among a line's other fields: what the privacy settings say of the client holds in `extra` too.

Fields are told by their names, alone or behind a prefix (`http_x_forwarded_for`, `request.remote_ip`), and are found in
JSON text by regular expressions: an unescaped quote behind `{` or `,`, a name, a quote and a colon are a key and nothing
else. In fields of which only the place in the line is known (nginx's usual format ends in the forwarded address), addresses
are told by their form.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

import polars as pl

from lakehouse.datasets.access_logs.privacy import Privacy, packed_address

_ADDRESSES = (
    r"forwarded|(?:x[_-])?(?:original[_-])?forwarded[_-]for|real[_-]?ip|(?:remote|client|peer)[_-]?(?:ip|addr|address|host)"
    r"|realip_remote_addr|proxy_protocol_addr|connecting[_-]ip(?:v6)?|cluster[_-]client[_-]ip|envoy[_-]external[_-]address"
)
_NAMES = (
    r"user|user[_-]?name|user[_-]?id|user[_-]?field|remote[_-]?user|auth[_-]?user|clientusername|login|logname|ident|auth"
    r"|e?mail|client_s_dn(?:_\w+)?|client_(?:subject|common_name|cn)"
)
_CREDENTIALS = (
    r"authorization|cookies?|set[_-]cookie2?|api[_-]?key|(?:auth|access|id|refresh|csrf|xsrf|security|bearer)[_-]token|token"
    r"|password|passwd|secret|session[_-]?id|jsessionid|phpsessid"
)
# Alone, these are somebody; behind a prefix they may be a server.
_WHOLE_ADDRESSES = r"ip|client|peer"
# nginx and Apache name a cookie's variable after the cookie.
_WHOLE_CREDENTIALS = r"(?:request[_.])?cookie_[^\"\\]*"
_FREE_TEXTS = r"trailing|(?:request|response)_headers|group_[0-9]+"
_ADDRESS = re.compile(r"(?<![\w.:-])(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]*)(?![\w.-])")

_STRING = r'"(?:[^"\\]|\\.)*"'
_SCALAR = rf"(?:{_STRING}|[^\s,\[\]{{}}\"]+)"
_VALUE = rf"(?:{_SCALAR}|\[\s*(?:{_SCALAR}\s*(?:,\s*{_SCALAR}\s*)*)?\])"


def _key(names: str, whole: str = "") -> str:
    """A pattern of keys; `_c` is Apache's address of the connection, `_again` a name that was taken."""
    prefixed = rf'(?:[^"\\]*[._ -])?(?:{names})'
    return rf'(?i:"(?:{prefixed}{"|" + whole if whole else ""})(?:_c)?(?:_again)*")\s*:\s*'


_ADDRESS_KEY = _key(_ADDRESSES, _WHOLE_ADDRESSES)
_NAME_KEY = _key(_NAMES)
_FREE_TEXT_KEY = _key(_FREE_TEXTS)
_CREDENTIAL_KEY = _key(_CREDENTIALS, _WHOLE_CREDENTIALS)


Store = Callable[[list[Any]], list[Any]]
"""From flat values to what is stored of them, null for nothing."""


class ExtraPrivacy:
    """Applies the privacy settings to the column `extra`; credentials are never kept.

    Args:
        client_ip: `truncate`, `keep`, `hash` or `drop`.
        user_name: `drop`, `keep` or `hash`.
        privacy: stores addresses and names.
    """

    def __init__(self, client_ip: str, user_name: str, privacy: Privacy) -> None:
        self._privacy = privacy
        self._stores: list[tuple[str, Store]] = []
        if client_ip != "keep":
            self._stores += [(_ADDRESS_KEY, self._addresses), (_FREE_TEXT_KEY, self._free_texts)]
        if user_name != "keep":
            self._stores.append((_NAME_KEY, self._names))
        self._any = "|".join((_CREDENTIAL_KEY, *(key for key, _ in self._stores)))

    def apply(self, extra: pl.Series) -> pl.Series:
        """Scrub JSON objects; null where nothing is left of one."""
        rows = extra.str.contains(self._any).fill_null(False).arg_true()
        if rows.is_empty():
            return extra
        texts = self._without_nested(extra.gather(rows))
        for key, store in self._stores:
            texts = _stored(texts, key, store)
        texts = _without(texts, f"(?:{_CREDENTIAL_KEY}){_VALUE}")
        kept = texts.str.contains(r"^\s*\{\s*\}\s*$")
        return extra.scatter(rows, texts.zip_with(~kept, pl.Series([None], dtype=pl.String())))

    def _without_nested(self, texts: pl.Series) -> pl.Series:
        """Take out values that are objects or arrays of them: rare, and no regular expression reads them."""
        flat = texts.str.count_matches(f"(?:{self._any}){_VALUE}") == texts.str.count_matches(f"(?:{self._any})")
        rows = (~flat).arg_true()
        if rows.is_empty():
            return texts
        nested = texts.gather(rows).to_list()
        keys = pl.Series([f"{json.dumps(name)}:" for name in _keys(nested)], dtype=pl.String())
        private = {json.loads(key[:-1]) for key in keys.filter(keys.str.contains(f"^(?:{self._any})$"))}
        return texts.scatter(rows, pl.Series([_pruned_text(text, private) for text in nested]))

    def _addresses(self, values: list[Any]) -> list[Any]:
        known = self._known({part for value in values for text in _texts(value) for part in _parts(text)})

        def one(text: str) -> str | None:
            return ", ".join(kept for part in _parts(text) if (kept := known[part]) is not None) or None

        return [_mapped(value, {text: one(text) for text in _texts(value)}) for value in values]

    def _free_texts(self, values: list[Any]) -> list[Any]:
        texts = {text for value in values for text in _texts(value)}
        known = self._known({found for text in texts for found in _ADDRESS.findall(text) if packed_address(found)})

        def one(text: str) -> str:
            return _ADDRESS.sub(lambda found: known.get(found[0], found[0]) or "-", text)

        return [_mapped(value, {text: one(text) for text in _texts(value)}) for value in values]

    def _known(self, addresses: set[str]) -> dict[str, str | None]:
        """What is stored of addresses."""
        listed = list(addresses)
        stored = self._privacy.clients(pl.Series(listed, dtype=pl.String())).stored
        return dict(zip(listed, stored.to_list(), strict=True))

    def _names(self, values: list[Any]) -> list[Any]:
        names = sorted({text for value in values for text in _texts(value)})
        stored = self._privacy.user_names(pl.Series(names, dtype=pl.String())).to_list()
        known = dict(zip(names, stored, strict=True))
        return [_mapped(value, known) for value in values]


def _stored(texts: pl.Series, key: str, store: Store) -> pl.Series:
    """Put what may be stored in the place of the values of these keys."""
    found = texts.str.extract_all(f"(?:{key}){_VALUE}").explode().drop_nulls().unique()
    if found.is_empty():
        return texts
    # A longer number begins with a shorter one.
    found = found.gather(found.str.len_bytes().arg_sort(descending=True))
    members = [json.loads(f"{{{text}}}").popitem() for text in found.to_list()]
    stored = store([value for _, value in members])
    made = [f"{json.dumps(name)}:{json.dumps(value)}" for (name, _), value in zip(members, stored, strict=True)]
    texts = texts.str.replace_many(dict(zip(found.to_list(), made, strict=True)), leftmost=True)
    return _without(texts, rf"(?:{key})(?:null|\[\s*\])")


def _without(texts: pl.Series, member: str) -> pl.Series:
    """Take members out of objects, each with one comma."""
    return texts.str.replace_all(rf",\s*{member}", "").str.replace_all(rf"\{{\s*{member}\s*,?", "{")


def _keys(texts: Iterable[str]) -> set[str]:
    """Keys of objects, at any depth."""
    keys: set[str] = set()

    def look(members: list[tuple[str, Any]]) -> None:
        keys.update(name for name, _ in members)

    for text in texts:
        json.loads(text, object_pairs_hook=look)
    return keys


def _pruned_text(text: str, private: set[str]) -> str:
    return json.dumps(_pruned(json.loads(text), private), ensure_ascii=False, separators=(",", ":"))


def _pruned(value: Any, private: set[str]) -> Any:
    if isinstance(value, list):
        return [_pruned(item, private) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _pruned(item, private) for name, item in value.items() if not (name in private and _is_nested(item))}


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value))


def _texts(value: Any) -> list[str]:
    """The texts of a value that is flat."""
    values = value if isinstance(value, list) else [value]
    return [item if isinstance(item, str) else json.dumps(item) for item in values if item is not None]


def _mapped(value: Any, known: dict[str, str | None]) -> Any:
    stored = [kept for text in _texts(value) if (kept := known[text]) is not None]
    if isinstance(value, list):
        return stored
    return stored[0] if stored else None


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
