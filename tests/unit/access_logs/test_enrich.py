"""From raw rows to the table's columns."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.datasets.access_logs.columns import RAW_SCHEMA, ROW_SCHEMA
from lakehouse.datasets.access_logs.enrich import Enricher
from lakehouse.datasets.base import ParseContext
from lakehouse.errors import SettingsError

KEY = b"0123456789abcdef"
MORNING = datetime(2024, 5, 17, 10, 5, 3, tzinfo=UTC)
KEPT: dict[str, Any] = {"client_ip": "keep", "user_name": "keep"}


def raw(*rows: dict[str, Any]) -> pl.DataFrame:
    empty: dict[str, Any] = dict.fromkeys(RAW_SCHEMA)
    filled = [{**empty, "_line": number, "ts": MORNING, "method": "GET", **row} for number, row in enumerate(rows, 1)]
    return pl.DataFrame(filled, schema=RAW_SCHEMA)


def enriched(*rows: dict[str, Any], **options: Any) -> pl.DataFrame:
    return Enricher(ParseContext(site="north", options=options, key=KEY)).enrich(raw(*rows))


def test_a_request() -> None:
    row = {
        "client_ip": "83.149.9.216",
        "user_field": "alice|Métropole|ROLE_USER, ROLE_ADMIN",
        "url": "/geoserver/caf%C3%A9/wms?SERVICE=WMS&REQUEST=GetMap&LAYERS=a&WIDTH=256",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 5_000_000_000,
        "referrer": "https://example.org/",
        "user_agent": "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0",
        "response_time_ms": 12.5,
        "server": "maps.example.org",
        "extra": '{"pool": "a"}',
    }
    answer = enriched(row).row(0, named=True)
    visitor = answer.pop("visitor")
    assert 0 <= visitor < 2**63
    del row["user_field"]
    assert answer == row | {
        "_line": 1,
        "ts": MORNING,
        "client_ip": "83.149.9.0",
        "user_name": None,
        "org": "Métropole",
        "roles": ["ROLE_USER", "ROLE_ADMIN"],
        "method": "GET",
        "path": "/geoserver/café/wms",
        "query": "SERVICE=WMS&REQUEST=GetMap&LAYERS=a&WIDTH=256",
        "agent_family": "Firefox",
        "agent_os": "Ubuntu",
        "is_bot": False,
        "application": "geoserver",
        "service": "WMS",
        "request": "GetMap",
        "layers": ["a"],
        "workspace": "café",
        "crs": None,
        "image_format": None,
        "image_width": 256,
        "image_height": None,
        "tiled": False,
        "is_download": False,
        "record_uuid": None,
    }


def test_a_malformed_request_has_neither_path_nor_application() -> None:
    row = enriched({"method": None, "url": r"\x16\x03\x01?/geoserver/wms"}).row(0, named=True)
    assert row["url"] == r"\x16\x03\x01?/geoserver/wms"
    assert [row[name] for name in ("path", "query", "application", "service", "is_download")] == [None] * 5
    assert row["is_bot"] is False


@pytest.mark.parametrize(
    ("field", "name", "org", "roles"),
    [
        ("alice", "alice", None, None),
        ("alice|Metropole", "alice", "Metropole", None),
        ("alice|Metropole|USER", "alice", "Metropole", ["USER"]),
        ("alice|Metropole|USER,ADMIN", "alice", "Metropole", ["USER", "ADMIN"]),
        ("alice|Metropole|USER;ADMIN;", "alice", "Metropole", ["USER", "ADMIN"]),
        (" alice | Metropole | USER , ", "alice", "Metropole", ["USER"]),
        ("alice||USER", "alice", None, ["USER"]),
        ("|Metropole|", None, "Metropole", None),
        ("||,;", None, None, None),
        ("alice|Metropole|USER|more|parts", "alice", "Metropole", ["USER"]),
        ("", None, None, None),
        (None, None, None, None),
    ],
)
def test_the_user(field: str | None, name: str | None, org: str | None, roles: list[str] | None) -> None:
    row = enriched({"user_field": field}, **KEPT).row(0, named=True)
    assert (row["user_name"], row["org"], row["roles"]) == (name, org, roles)


def test_a_visitor_changes_at_midnight_utc() -> None:
    midnight = datetime(2024, 5, 18, tzinfo=UTC)
    rows = [
        {"ts": ts, "client_ip": "83.149.9.216", "user_agent": "x"}
        for ts in (MORNING, midnight - timedelta(microseconds=1), midnight, midnight + timedelta(hours=23))
    ]
    first, second, third, fourth = enriched(*rows)["visitor"]
    assert first == second
    assert third == fourth
    assert first != third


def test_without_an_address_there_is_no_visitor() -> None:
    assert enriched({}, {"client_ip": "83.149.9.216"}, {})["visitor"].is_null().to_list() == [True, False, True]
    assert enriched({})["visitor"].to_list() == [None]


def test_the_visitor_is_taken_before_the_address_is_truncated() -> None:
    rows = enriched({"client_ip": "83.149.9.216"}, {"client_ip": "83.149.9.217"})
    assert rows["client_ip"].n_unique() == 1
    assert rows["visitor"].n_unique() == 2


def test_rows_of_a_block_do_not_depend_on_each_other() -> None:
    rows: list[dict[str, Any]] = [
        {"client_ip": "1.2.3.4", "user_agent": "curl/8", "url": "/a/%20", "user_field": "a|b|c"},
        {"client_ip": None, "user_agent": None, "url": "/geoserver/wms?layers=x"},
        {"client_ip": "unknown", "user_agent": "Mozilla/5.0", "url": "http://h/mapproxy/service"},
        {"client_ip": "::1", "user_agent": "curl/8", "url": "host:443", "method": "CONNECT"},
    ]
    together = enriched(*rows, *rows).drop("_line")
    alone = pl.concat([enriched(row).drop("_line") for row in rows])
    assert together.equals(pl.concat([alone, alone]))


def test_the_mapping_of_the_site_counts() -> None:
    options = {"sites": {"north": {"applications": {"carto": "geoserver"}}}}
    assert enriched({"url": "/carto/wms"}, **options)["service"].to_list() == ["WMS"]


def test_an_empty_block_has_the_columns() -> None:
    assert dict(enriched().schema) == dict(ROW_SCHEMA)


@pytest.mark.parametrize(("options", "key"), [({"client_ip": "sell"}, KEY), ({}, b"")])
def test_wrong_settings_are_refused_before_the_first_row(options: dict[str, Any], key: bytes) -> None:
    with pytest.raises(SettingsError):
        Enricher(ParseContext(site="north", options=options, key=key))


texts = st.none() | st.text(st.characters(exclude_categories=["Cs"])) | st.text(st.sampled_from("/%?&=:|,;.[]09aF\0\n"))
urls = texts | st.builds(
    "{}{}?{}={}".format,
    st.sampled_from(["/geoserver", "/geonetwork/srv", "/mapserver", "/mapproxy", "/mapstore", "/data", "http://h"]),
    st.sampled_from(["", "/wms", "/a/gwc/service/wmts/rest", "/ogc/features/collections/x/items", "/tms/1.0.0/a/1/2/3.png"]),
    st.sampled_from(["layers", "WIDTH", "crs", "request", "service", "map", "uuid"]),
    st.text(st.characters(exclude_categories=["Cs"])),
)
rows_of_anything = st.lists(
    st.fixed_dictionaries(
        {
            "ts": st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
            "client_ip": texts,
            "user_field": texts,
            "method": st.sampled_from(["GET", None]),
            "url": urls,
            "user_agent": texts,
            "status": st.none() | st.integers(-(2**31), 2**31 - 1),
            "bytes": st.none() | st.integers(-(2**63), 2**63 - 1),
            "extra": texts,
        }
    ),
    max_size=8,
)


@given(rows_of_anything, st.sampled_from(["truncate", "keep", "hash", "drop"]), st.sampled_from(["drop", "keep", "hash"]))
def test_whatever_was_logged_makes_rows_of_the_schema(rows: list[dict[str, Any]], client_ip: str, user_name: str) -> None:
    answer = enriched(*rows, client_ip=client_ip, user_name=user_name)
    assert dict(answer.schema) == dict(ROW_SCHEMA)
    assert answer["_line"].to_list() == list(range(1, len(rows) + 1))
    assert answer["url"].to_list() == [row["url"] for row in rows]
    assert answer["is_bot"].null_count() == 0
