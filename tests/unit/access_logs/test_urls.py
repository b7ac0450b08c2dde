"""The parts of a request target."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.datasets.access_logs.urls import percent_decode, split_target


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/a/b.html", "/a/b.html", None),
        ("/a?b=c%20d", "/a", "b=c%20d"),
        ("/a?", "/a", ""),
        ("/a?b?c", "/a", "b?c"),
        ("/", "/", None),
        ("http://example.org/a?b", "/a", "b"),
        ("https://user@example.org:8443/a", "/a", None),
        ("http://example.org", "/", None),
        ("http://example.org?x=1", "/", "x=1"),
        ("example.org:443", None, None),
        ("*", "*", None),
        ("index.html?next=http://example.org/", "index.html", "next=http://example.org/"),
        ("/proxy?url=http://example.org/", "/proxy", "url=http://example.org/"),
        ("//double/slash", "//double/slash", None),
        (None, None, None),
    ],
)
def test_a_target(target: str | None, path: str | None, query: str | None) -> None:
    # Among others, so that both the ways for origin form only and for all forms are taken.
    for targets in ([target], [target, "/x?y", "http://h/p"]):
        paths, queries = split_target(pl.Series(targets, dtype=pl.String()))
        assert (paths[0], queries[0]) == (path, query)


@pytest.mark.parametrize(
    ("encoded", "decoded"),
    [
        ("caf%C3%A9%20noir", "café noir"),
        ("%E2%82%AC%e2%82%ac", "€€"),
        ("%F0%9F%8C%8D", "\N{EARTH GLOBE EUROPE-AFRICA}"),
        ("%2520", "%20"),
        ("%25E9", "%E9"),
        ("caf%E9", "caf%E9"),
        ("%e9%20%C3%A9%c3", "%e9 é%c3"),
        ("%C3", "%C3"),
        ("%C3%A9 %C3", "é %C3"),
        ("100%", "100%"),
        ("%zz%4", "%zz%4"),
        ("a%0d%0aSet-Cookie", "a%0D%0ASet-Cookie"),
        ("%00%1b[31m%7F", "%00%1B[31m%7F"),
        ("%ED%A0%80", "%ED%A0%80"),
        ("a+b", "a+b"),
        ("", ""),
        (None, None),
    ],
)
def test_percent_encoding(encoded: str | None, decoded: str | None) -> None:
    others = ["%C3", "%C3%A9", "%20", "plain"]
    assert percent_decode(pl.Series([encoded, *others], dtype=pl.String()))[0] == decoded


@given(st.lists(st.text(st.sampled_from("%0269aceEF "), max_size=12)))
def test_decoding_one_text_does_not_depend_on_the_others(texts: list[str]) -> None:
    alone = [percent_decode(pl.Series([text]))[0] for text in texts]
    assert percent_decode(pl.Series(texts, dtype=pl.String())).to_list() == alone
