"""Personal data among a line's other fields."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.datasets.access_logs import DATASET
from lakehouse.datasets.access_logs.extra_privacy import ExtraPrivacy
from lakehouse.datasets.access_logs.privacy import Privacy
from lakehouse.datasets.base import ParseContext

KEY = bytes(range(32))
ADDRESS, NETWORK = "83.149.9.216", "83.149.9.0"


def scrubbed(extra: Any, client_ip: str = "truncate", user_name: str = "drop") -> Any:
    text = extra if isinstance(extra, str) else json.dumps(extra)
    answer = ExtraPrivacy(client_ip, user_name, Privacy(client_ip, user_name, KEY)).apply(pl.Series([None, text, '{"a":1}']))
    assert (answer[0], answer[2]) == (None, '{"a":1}')
    return None if answer[1] is None else json.loads(answer[1])


@pytest.mark.parametrize(
    "key",
    [
        "forwarded", "http_x_forwarded_for", "X-Forwarded-For", "http_forwarded", "request.remote_ip", "remote_addr",
        "realip_remote_addr", "remote_ip_c", "ClientAddr", "ClientHost", "clientip", "ip", "client", "http_x_real_ip",
        "request_Cf-Connecting-Ip", "True-Client-Ip", "remote_addr_again", "remoteHost",
    ],
)  # fmt: skip
def test_addresses(key: str) -> None:
    assert scrubbed({"a": "x", key: ADDRESS, "b": "y"}) == {"a": "x", key: NETWORK, "b": "y"}
    assert scrubbed({key: "2001:db8:1:2::3"}) == {key: "2001:db8:1::"}
    assert scrubbed({key: f"{ADDRESS}:51432"}) == {key: NETWORK}
    assert scrubbed({key: f"{ADDRESS}, 10.1.2.3"}) == {key: f"{NETWORK}, 10.1.2.0"}
    assert scrubbed({key: [ADDRESS, "10.1.2.3"]}) == {key: [NETWORK, "10.1.2.0"]}
    assert scrubbed({key: f"for={ADDRESS};proto=http", "b": 1}) == {"b": 1}
    assert scrubbed({"b": 1, key: ADDRESS}, "drop") == {"b": 1}
    assert scrubbed({key: ADDRESS}, "keep") == {key: ADDRESS}
    hashed = Privacy("hash", "drop", KEY).clients(pl.Series([ADDRESS])).stored[0]
    assert scrubbed({key: ADDRESS}, "hash") == {key: hashed}


@pytest.mark.parametrize(
    "key",
    ["ident", "user", "remote_user", "ClientUsername", "http_x_forwarded_user", "sec-username", "user_id", "auth", "login",
     "ssl_client_s_dn", "email", "request.user_id"],
)  # fmt: skip
def test_names(key: str) -> None:
    assert scrubbed({"a": 1, key: "alice", "b": 2}) == {"a": 1, "b": 2}
    assert scrubbed({key: "alice"}) is None
    assert scrubbed({key: "alice"}, user_name="keep") == {key: "alice"}
    assert scrubbed({key: "alice"}, user_name="hash") == {key: Privacy("drop", "hash", KEY).user_names(pl.Series(["alice"]))[0]}
    assert scrubbed({key: 12, "n": {key: 123}}, user_name="hash") != scrubbed({key: 12, "n": {key: 12}}, user_name="hash")


@pytest.mark.parametrize(
    "key",
    ["Authorization", "http_authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "cookie_sid", "request_cookie",
     "downstream_Set-Cookie", "http_x_api_key", "X-Auth-Token", "session_id"],
)  # fmt: skip
@pytest.mark.parametrize("choice", ["keep", "hash", "drop"])
def test_credentials_are_never_kept(key: str, choice: str) -> None:
    for value in ("secret", 'a "quoted" secret, {', ["secret"], [], {"a": ["secret"]}, [["secret"]], 7, None):
        assert scrubbed({key: value}, choice, choice) is None
        nested = {"request": {"headers": {key: value, "Accept": ["*/*"]}}}
        assert scrubbed(nested, choice, choice) == {"request": {"headers": {"Accept": ["*/*"]}}}


def test_all_kinds_at_once() -> None:
    extra = {
        "user": "alice", "ident": "bob", "Cookie": "c", "ClientAddr": f"{ADDRESS}:1", "remote_ip": "unknown", "x": {"user": "u"},
        "y": [{"Cookie": "c"}, {"a": 1, "ip": ADDRESS}], "end": 1, "token": "t",
    }  # fmt: skip
    assert scrubbed(extra) == {"ClientAddr": NETWORK, "x": {}, "y": [{}, {"a": 1, "ip": NETWORK}], "end": 1}
    assert scrubbed({"user": {"name": "alice"}, "ip": {"a": [ADDRESS]}, "b": 1}) == {"b": 1}


@pytest.mark.parametrize("key", ["trailing", "request_headers", "group_6"])
def test_addresses_in_fields_without_a_name(key: str) -> None:
    assert scrubbed({key: f'"{ADDRESS}, 2001:db8:1:2::3" 0.003 12:13:14 v1.2'}) == {
        key: f'"{NETWORK}, 2001:db8:1::" 0.003 12:13:14 v1.2'
    }
    assert scrubbed({key: f"{{{ADDRESS}|x}}"}, "drop") == {key: "{-|x}"}
    assert scrubbed({key: ADDRESS}, "keep") == {key: ADDRESS}


def test_what_only_resembles_personal_data_is_kept() -> None:
    kept = {
        "upstream_addr": "172.17.0.3:80", "local_ip": "10.0.0.1", "server_port": "80", "user_agent_family": "x",
        "note": '"user":"alice",{"Cookie":"x"},}', "ssl_protocol": "TLSv1.3", "request_id": "1", "router": "user", "tokens": 3,
        "é\\": "\u2028",
    }  # fmt: skip
    assert scrubbed(kept | {"ident": "x"}) == kept


def test_the_last_field_of_nginx_usual_format_is_truncated() -> None:
    line = f'192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "-" "curl/8" "{ADDRESS}"\n'.encode()
    parsed = DATASET.open_parser(line, ParseContext("s", key=KEY), None).parse(line, 1, True)
    assert parsed.rows["extra"].to_list() == [json.dumps({"trailing": f'"{NETWORK}"'}, separators=(",", ":"))]


names = st.sampled_from(["user", "ip", "Cookie", "a", "b\\", 'q"user', "trailing", "ClientAddr"]) | st.text(max_size=5)
values = st.recursive(
    st.sampled_from([ADDRESS, 'x","user":"y', "{", None, 1.5, -3, True, "\\", ',"Cookie":']) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(names, values, max_size=5), st.sampled_from(["truncate", "hash", "drop"]), st.booleans())
def test_any_object_stays_one_and_loses_what_is_private(extra: dict[str, Any], choice: str, ascii: bool) -> None:
    answer = scrubbed(json.dumps(extra, ensure_ascii=ascii), choice) or {}

    def check(value: Any) -> None:
        if isinstance(value, dict):
            assert not {"user", "Cookie"} & value.keys()
            assert all(ADDRESS not in json.dumps(value.get(key)) for key in ("ip", "ClientAddr", "trailing"))
            for inner in value.values():
                check(inner)
        elif isinstance(value, list):
            for inner in value:
                check(inner)

    check(answer)
    same = {key: value for key, value in extra.items() if key in ("a", "b\\") and not isinstance(value, (dict, list))}
    assert {key: answer.get(key) for key in same} == same
