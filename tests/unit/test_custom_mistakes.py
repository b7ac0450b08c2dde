"""A user's dataset from a TOML file: every mistake is told with file, key and what is allowed."""

from pathlib import Path

import pytest

from lakehouse.datasets.custom import load_toml
from lakehouse.errors import DatasetError
from tests.unit.conftest import Define

NDJSON = '[format]\ntype = "ndjson"\n'
MOMENT = '[timestamp]\npath = "at"\n'
COLUMN = '[[columns]]\nname = "a"\n'


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("name = ", "is not TOML"),
            ('name = "other"', "key name is 'other'; it must be the file's name"),
            (MOMENT + COLUMN, "key format is missing"),
            (NDJSON + COLUMN, "key timestamp is missing"),
            (NDJSON + MOMENT, "key columns is missing"),
            ('[format]\ntype = "xml"\n' + MOMENT + COLUMN, "key format.type must be one of csv, log_format, ndjson, regex"),
            ("[format]\n" + MOMENT + COLUMN, "key format.type must be one of csv"),
            ('[format]\ntype = "ndjson"\nquote = "x"\n' + MOMENT + COLUMN, "key format.quote is unknown.*allowed here: type"),
            ('[format]\ntype = "csv"\ndelimeter = "x"\n' + MOMENT + COLUMN, "did you mean delimiter"),
            ('[format]\ntype = "csv"\ndelimiter = ";;"\n' + MOMENT + COLUMN, "key format.delimiter is ';;': .*at most 1"),
            ('[format]\ntype = "csv"\nquote = ","\n' + MOMENT + COLUMN, "key format: delimiter must be one ASCII"),
            ('[format]\ntype = "csv"\nheader = false\n' + MOMENT + COLUMN, "key format.header is False: must be true, or"),
            ('[format]\ntype = "csv"\nheader = ["a", "a"]\n' + MOMENT + COLUMN, "each once"),
            ('[format]\ntype = "csv"\nencoding = "utf-16"\n' + MOMENT + COLUMN, "'utf-8', 'latin-1' or 'windows-1252'"),
            ('[format]\ntype = "csv"\ndecimal = ";"\n' + MOMENT + COLUMN, "key format.decimal is ';': .*'.' or ','"),
            ('[format]\ntype = "regex"\npattern = "(x"\n' + MOMENT + COLUMN, "key format.pattern.*no regular expression"),
            ('[format]\ntype = "regex"\npattern = "(?=x)"\n' + MOMENT + COLUMN, "has no look-around"),
            ('[format]\ntype = "regex"\npattern = "x"\n' + MOMENT + COLUMN, "needs a named group"),
            ('[format]\ntype = "log_format"\npattern = "x"\n' + MOMENT + COLUMN, r"variable such as \$status"),
            ('[format]\ntype = "log_format"\npattern = "$a $a"\n' + MOMENT + COLUMN, r"\$a twice"),
            (NDJSON + "[timestamp]\n" + COLUMN, "key timestamp: needs either path"),
            (NDJSON + MOMENT + 'kind = "iso"\n' + COLUMN, "key timestamp: timestamp kind 'iso' is unknown.*iso8601"),
            (NDJSON + MOMENT + 'zone = "Paris"\n' + COLUMN, "key timestamp: time zone 'Paris' is unknown"),
            (NDJSON + MOMENT + '[[columns]]\nname = "A"\n', r"key columns\[1\].name is 'A': must be lower-case"),
            (NDJSON + MOMENT + '[[columns]]\nname = "ts"\n', "which every dataset has anyway"),
            (NDJSON + MOMENT + COLUMN + 'type = "float"\n', r"key columns\[1\].type is 'float': must be one of timestamp, date"),
            (NDJSON + MOMENT + COLUMN + 'kind = "clf"\n', "kind and zone belong to columns of type timestamp"),
            (NDJSON + MOMENT + COLUMN + "private = 1\n", r"key columns\[1\].private is 1: input should be a valid boolean"),
            (NDJSON + MOMENT + COLUMN + COLUMN, "a is defined twice"),
            (NDJSON + "[timestamp]\npath = []\n" + COLUMN, "key timestamp.path: must be a name, or a list"),
            ("format = 5\n" + MOMENT + COLUMN, "key format must be a table"),
            (NDJSON + MOMENT + "[columns]\n", "key columns"),
            (
                '[format]\ntype = "log_format"\npattern = "$at $b"\n' + MOMENT + COLUMN,
                "columns: a has no field a in the format; its fields are at, b",
            ),
            ('[format]\ntype = "regex"\npattern = "(?P<a>.)"\n' + MOMENT + COLUMN, "timestamp.path has no field at"),
            ('[format]\ntype = "csv"\nheader = ["a"]\n[timestamp]\njoin = ["a", "b"]\n' + COLUMN, "timestamp.join has no"),
            ('site = { path = "s" }\n[format]\ntype = "csv"\nheader = ["a", "at"]\n' + MOMENT + COLUMN, "site.path has no"),
            ("site = 5\n" + NDJSON + MOMENT + COLUMN, "key site is 5: must be a name, or"),
            ("site = { paht = 'x' }\n" + NDJSON + MOMENT + COLUMN, "key site: must be a name, or { path"),
            (NDJSON + MOMENT + COLUMN + '[[views]]\nname = "x"\nsql = "select 1"\n', "'x' must begin with 'own_'"),
            (NDJSON + MOMENT + COLUMN + '[[views]]\nname = "own_x"\nsql = "select from where"\n', "key views.*Trino's dialect"),
            (NDJSON + MOMENT + COLUMN + '[[views]]\nname = "own_x"\nsql = "drop table own"\n', "must be one SELECT"),
            (
                NDJSON + MOMENT + COLUMN + '[[rollups]]\nname = "own_x"\nsql = "select date from own"\n'
                'columns = [{name = "date", type = "date"}]\n',
                "columns must begin with date",
            ),
            (
                NDJSON + MOMENT + COLUMN + '[[rollups]]\nname = "own_x"\nsql = "select date, site, n from own"\n'
                'columns = [{name = "date", type = "date"}, {name = "site", type = "string"}]\n',
                "columns are date, site, but sql selects date, site, n",
            ),
        ],
    )  # fmt: skip
    def test_each_names_file_key_and_what_is_allowed(self, define: Define, text: str, message: str) -> None:
        with pytest.raises(DatasetError, match=message) as caught:
            define(text)
        assert str(caught.value).split(": ")[0].endswith("own.toml")
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith(".")

    def test_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="cannot be read"):
            load_toml(tmp_path / "none.toml")
        (tmp_path / "own.toml").write_bytes(b"\xff")
        with pytest.raises(DatasetError, match="not UTF-8"):
            load_toml(tmp_path / "own.toml")
        (tmp_path / "My-Own.toml").write_text("")
        with pytest.raises(DatasetError, match="snake_case"):
            load_toml(tmp_path / "My-Own.toml")
