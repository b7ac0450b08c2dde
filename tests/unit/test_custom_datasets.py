"""A user's dataset from a TOML file: every format, both documented examples."""

import csv
import io
import json
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.datasets.base import COLUMN_TYPES, REJECT_SCHEMA, FileParser, ParseContext, Parsed
from lakehouse.datasets.custom import CustomDataset, load_toml
from lakehouse.datasets.custom.definition import Definition
from lakehouse.errors import FormatError, SettingsError
from tests.support.json_values import json_records, numbers_in
from tests.unit.conftest import Define

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

CSV = """
[format]
type = "csv"
{format}
[timestamp]
path = "when"
{timestamp}
[[columns]]
name = "amount"
type = "{type}"
{column}
"""


def csv_definition(form: str = "", timestamp: str = "", kind: str = "string", column: str = "") -> str:
    return CSV.format(format=form, timestamp=timestamp, type=kind, column=column)


def parse(dataset: CustomDataset, data: bytes, zone: str = "UTC") -> Parsed:
    parser = dataset.open_parser(data[:65536], ParseContext("demo", zone=zone), None)
    assert not isinstance(parser, FileParser)
    return checked(dataset, parser.parse(data, 1, True), data)


def checked(dataset: CustomDataset, parsed: Parsed, data: bytes) -> Parsed:
    """What holds for every answer."""
    schema = {column.name: COLUMN_TYPES[column.type] for column in dataset.columns}
    if "site" in parsed.rows.columns:
        schema["site"] = pl.String()
    assert dict(parsed.rows.schema) == {**schema, "_line": pl.Int64()}
    assert dict(parsed.rejects.schema) == dict(REJECT_SCHEMA)
    assert parsed.rows["ts"].null_count() == 0
    assert parsed.rejects.null_count().sum_horizontal().item() == 0
    assert parsed.lines == len(data[: parsed.consumed].split(b"\n")) - data[: parsed.consumed].endswith(b"\n") - (
        not parsed.consumed
    )
    return parsed


class TestExamples:
    def test_incidents_of_both_tools_and_languages(self, test_data: Path) -> None:
        dataset = load_toml(EXAMPLES / "incidents.toml")
        tables = {}
        for path in sorted((test_data / "incidents").glob("*.csv")):
            parsed = parse(dataset, path.read_bytes())
            # The header is the only line that is no ticket.
            assert parsed.rejects.select("_line", "reason", "known").rows() == [(1, "header", True)]
            tables[path.stem.removeprefix("examples_")] = parsed.rows
        assert {name: rows.height for name, rows in tables.items()} == {
            "example_files_jira_0_stream": 9,
            "example_files_snow_0_stream": 11,
            "sources_processed_jira": 9,
            "sources_processed_snow": 11,
        }
        english, french = tables["example_files_jira_0_stream"], tables["sources_processed_jira"]
        moments = ["ts", "ticket", "updated_at", "resolved_at"]
        assert english.select(moments).equals(french.select(moments))
        assert english.row(0, named=True) | {"extra": None} == {
            "ts": datetime(2020, 6, 30, 7, 56, tzinfo=UTC),
            "ticket": "TMABAD-21589",
            "service_desk_number": "TCK2526496",
            "priority": "3-Medium",
            "status": None,
            "updated_at": datetime(2020, 9, 2, 13, 35, tzinfo=UTC),
            "resolved_at": datetime(2020, 6, 30, 8, 4, tzinfo=UTC),
            "extra": None,
            "_line": 2,
        }
        assert json.loads(french["extra"][0]) == {
            "ID_de_demande": "1385207",
            "Dernier_Affichage": "02 décembre 2020 16:55",
        }
        snow = tables["sources_processed_snow"]
        assert snow.select("ts", "ticket", "priority", "status").row(0) == (
            datetime(2020, 4, 24, 13, 44, 35, tzinfo=UTC),
            "TCK2464267",
            "2 - Élevée",
            "Fermé",
        )

    def test_incidents_made_up(self) -> None:
        data = (
            '"Cle_de_demande","Impact","Creation","Resolue","Commentaire"\n'
            '"A-1","3-Moyen ","02 décembre 2020 16:55","","deux\nlignes, et ""guillemets"""\n'
            '"A-2","","02 dec. 2020 16:55","demain",\n'
            '"","1-Haut","02 décembre 2020 16:55",,\n'
            '"A-3","1-Haut","un jour",,\n'
        ).encode()
        parsed = parse(load_toml(EXAMPLES / "incidents.toml"), data)
        moment = datetime(2020, 12, 2, 15, 55, tzinfo=UTC)
        assert parsed.rows.select("_line", "ts", "ticket", "priority", "resolved_at", "extra").rows() == [
            (2, moment, "A-1", "3-Moyen", None, '{"Commentaire":"deux\\nlignes, et \\"guillemets\\""}'),
            (4, moment, "A-2", None, None, '{"Resolue":"demain"}'),
        ]
        assert parsed.rejects.select("_line", "reason").rows() == [(1, "header"), (5, "column ticket"), (6, "timestamp")]

    def test_etl_runs_and_their_views(self) -> None:
        dataset = load_toml(EXAMPLES / "etl_runs.toml")
        data = (
            b"2026-11-21 02:00:07.512 INFO job=orders run=81 status=ok rows=125000 seconds=84.25 host=etl-1\n"
            b'2026-11-21 02:10:00 ERROR job=orders run=?? status=failed host=etl-1 error="no space left"\n'
            b"started\n\n"
        )
        parsed = parse(dataset, data)
        assert parsed.rows.drop("_line").rows() == [
            (datetime(2026, 11, 21, 1, 0, 7, 512000, tzinfo=UTC), "orders", 81, "ok", 125000, 84.25, None,
             '{"level":"INFO"}', "etl-1"),
            (datetime(2026, 11, 21, 1, 10, tzinfo=UTC), "orders", None, "failed", None, None, "no space left",
             '{"level":"ERROR","run":"??"}', "etl-1"),
        ]  # fmt: skip
        assert parsed.rejects.rows() == [
            (3, "no match of the pattern", "started", False),
            (4, "blank line", "", True),
        ]
        connection = duckdb.connect()
        connection.register("etl_runs", parsed.rows.with_columns(date=pl.col("ts").dt.date()).to_arrow())
        for rollup in dataset.rollups:
            sql = sqlglot.transpile(rollup.sql, read="trino", write="duckdb")[0]
            connection.execute(f"CREATE TABLE {rollup.name} AS {sql}")
        (view,) = dataset.views
        answer = connection.sql(sqlglot.transpile(view.sql, read="trino", write="duckdb")[0]).fetchall()
        assert answer == [(date(2026, 11, 21), "orders", 2, 1, 84.25)]

    def test_incidents_view_runs(self) -> None:
        dataset = load_toml(EXAMPLES / "incidents.toml")
        rows = parse(dataset, b"Jira_Key,Creation,Impact\nA,30 june 2020 09:56,3-Low\n").rows
        connection = duckdb.connect()
        table = rows.with_columns(date=pl.col("ts").dt.date(), site=pl.lit("x"))
        connection.register("incidents", table.to_arrow())
        (view,) = dataset.views
        answer = connection.sql(sqlglot.transpile(view.sql, read="trino", write="duckdb")[0]).fetchall()
        assert answer == [(date(2020, 6, 30), "x", "3", 1, 0)]


AWKWARD = st.sampled_from(['"', '""', '","', "\n", "\n\n", '"\n"', "\t", " ", ",", ";", "\r\n"])


class TestCsv:
    def test_encodings(self, define: Define) -> None:
        text = "when,amount\n2024-01-01,“été”\n"
        for encoding, python in (("utf-8", "utf-8-sig"), ("windows-1252", "cp1252")):
            parsed = parse(define(csv_definition(f'encoding = "{encoding}"')), text.encode(python))
            assert parsed.rows["amount"].to_list() == ["“été”"]
        latin = parse(define(csv_definition('encoding = "latin-1"')), b"when,amount\n2024-01-01,\xe9t\xe9\n")
        assert latin.rows["amount"].to_list() == ["été"]

    def test_bytes_outside_of_the_encoding_are_kept_as_escapes(self, define: Define) -> None:
        parsed = parse(define(csv_definition()), b"when,amount\n2024-01-01,\xe9t\xe9\n")
        assert parsed.rows["amount"].to_list() == ["\\xe9t\\xe9"]

    def test_decimal_comma(self, define: Define) -> None:
        form = 'delimiter = ";"\ndecimal = ","\nheader = ["when", "amount"]'
        data = "2024-01-01;1 234,5\n2024-01-01;1.234\n2024-01-01;-0,25\n2024-01-01;n/a\n2024-01-01;1\u202f000\n".encode()
        rows = parse(define(csv_definition(form, kind="double")), data).rows
        assert rows["amount"].to_list() == [1234.5, 1234.0, -0.25, None, 1000.0]
        assert rows["extra"].to_list() == [None, None, None, '{"amount":"n/a"}', None]

    @pytest.mark.parametrize(
        ("kind", "texts", "values"),
        [
            ("int", ["5", "+5", "5.0", "5.5", "2147483648", " 7 "], [5, 5, 5, None, None, 7]),
            (
                "long",
                ["9223372036854775807", "9223372036854775808", "1e3", "nan", "9007199254740993.0"],
                [2**63 - 1, None, 1000, None, None],
            ),
            ("double", ["1.5", "1e3", "nan", "inf", "x"], [1.5, 1000.0, None, None, None]),
            ("boolean", ["true", "OUI", "0", "maybe"], [True, True, False, None]),
            ("date", ["2024-02-29", "2023-02-29", "2024-01-01 23:59"], [date(2024, 2, 29), None, date(2024, 1, 1)]),
            ("timestamp", ["2024-01-01 00:00:00Z", "x"], [datetime(2024, 1, 1, tzinfo=UTC), None]),
            ("list<string>", ['"[""a"", 1]"', "x"], [["a", "1"], None]),
        ],
    )
    def test_types_and_what_does_not_fit(self, define: Define, kind: str, texts: list[str], values: list[object]) -> None:
        data = "when,amount\n" + "".join(f"2024-01-01,{text}\n" for text in texts)
        rows = parse(define(csv_definition(kind=kind)), data.encode()).rows
        assert rows["amount"].to_list() == values
        # Nothing is lost: what is no value of the type is in `extra`.
        assert [extra is not None for extra in rows["extra"]] == [value is None for value in values]

    def test_optional_false(self, define: Define) -> None:
        dataset = define(csv_definition(kind="int", column="optional = false"))
        parsed = parse(dataset, b"when,amount\n2024-01-01,\n2024-01-01,x\n2024-01-01,1\n")
        assert parsed.rejects.select("_line", "reason", "known").rows() == [
            (1, "header", True),
            (2, "column amount", False),
            (3, "column amount", False),
        ]

    def test_wrong_number_of_fields_and_repeated_header(self, define: Define) -> None:
        parsed = parse(define(csv_definition()), b"when,amount\n2024-01-01\n2024-01-01,1,2\nwhen,amount\n\n2024-01-01,\n")
        assert parsed.rejects.select("_line", "reason", "known").rows() == [
            (1, "header", True),
            (2, "number of fields", False),
            (3, "number of fields", False),
            (4, "header", True),
            (5, "blank line", True),
        ]
        assert parsed.rows.select("_line", "amount").rows() == [(6, None)]

    def test_stray_quotes_take_no_other_lines_with_them(self, define: Define) -> None:
        data = b'when,amount\n2024-01-01,5" pipe\n2024-01-02,a\n2024-01-03,6" pipe\n2024-01-04,b\n2024-01-05,"c\n2024-01-06,d\n'
        parsed = parse(define(csv_definition()), data)
        assert parsed.rows["_line"].to_list() == [2, 3, 4, 5, 6, 7]
        assert parsed.rows["amount"].to_list() == ['5" pipe', "a", '6" pipe', "b", '"c', "d"]

    def test_line_behind_a_stray_quote_stands_alone(self, define: Define) -> None:
        parsed = parse(define(csv_definition()), b'when,amount\n2024-01-05,"c\nnoise\n')
        assert parsed.rows.select("_line", "amount").rows() == [(2, '"c')]
        assert parsed.rejects.select("_line", "text").rows() == [(1, "when,amount"), (3, "noise")]

    def test_empty_fields_between_tabs(self, define: Define) -> None:
        parsed = parse(define(csv_definition('delimiter = "\\t"')), b'when\tx\tamount\n2024-01-01\t\t "5"\n')
        assert parsed.rows.select("amount", "extra").rows() == [("5", None)]

    def test_unfinished_record_waits(self, define: Define) -> None:
        dataset = define(csv_definition())
        parser = dataset.open_parser(b"when,amount\n", ParseContext("demo"), None)
        data = b'when,amount\n2024-01-01,"a\nb'
        parsed = parser.parse(data, 1, False)
        assert (parsed.consumed, parsed.lines, parsed.rows.height) == (12, 1, 0)
        tail = dataset.open_parser(b"", ParseContext("demo"), json.loads(json.dumps(parser.state())))
        parsed = tail.parse(data[12:] + b'"\n', 2, False)
        assert parsed.rows.select("_line", "amount").rows() == [(2, "a\nb")]
        assert parsed.lines == 2

    def test_joined_timestamp_and_unnamed_field(self, define: Define) -> None:
        dataset = define('[format]\ntype="csv"\n[timestamp]\njoin=["d", "t"]\nkind="%d/%m/%Y %H:%M"\n[[columns]]\nname="x"\n')
        parsed = parse(dataset, b"d,t,,x\n24/04/2020,10:30,7,y\n")
        assert parsed.rows.rows() == [(datetime(2020, 4, 24, 10, 30, tzinfo=UTC), "y", '{"field_3":"7"}', 2)]
        assert parsed.rejects["reason"].to_list() == ["header"]

    @pytest.mark.parametrize(
        ("head", "message"),
        [
            (b"", "has no field 'when'"),
            (b"a;b\n", "has no field 'when'.*Check delimiter"),
            (b"when,a,a\n", "field 'a' twice"),
        ],
    )
    def test_header_that_does_not_fit(self, define: Define, head: bytes, message: str) -> None:
        with pytest.raises(FormatError, match=message):
            define(csv_definition()).open_parser(head, ParseContext("demo"), None)

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")) | AWKWARD, min_size=2, max_size=2)),
        st.sampled_from(",;|\t ^]-"),
    )
    def test_same_as_the_csv_module(self, records: list[list[str]], delimiter: str) -> None:
        dataset = _two_columns(delimiter)
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(
            ["2024-01-01", *row] for row in records
        )
        parsed = parse(dataset, buffer.getvalue().encode())
        expected = [tuple(_trimmed(text) for text in row) for row in records]
        assert parsed.rows.select("a", "b").rows() == expected
        assert parsed.rejects.is_empty()


def _trimmed(text: str) -> str | None:
    # Within quotes, a carriage return before a line feed belongs to the line's end.
    return pl.Series([text.replace("\r\n", "\n")]).str.strip_chars()[0] or None


def _two_columns(delimiter: str) -> CustomDataset:
    return CustomDataset(
        Definition.model_validate(
            {
                "name": "own",
                "format": {"type": "csv", "header": ["when", "a", "b"], "delimiter": delimiter},
                "timestamp": {"path": "when"},
                "columns": [{"name": "a"}, {"name": "b"}],
            }
        )
    )


FORMATS = {
    "csv": {"type": "csv", "header": ["when", "a", "b"]},
    "csv without quotes": {"type": "csv", "header": ["when", "a", "b"], "quote": "", "encoding": "windows-1252"},
    "ndjson": {"type": "ndjson"},
    "regex": {"type": "regex", "pattern": r"(?P<when>\S+) (?P<a>\S*) (?P<b>.*)"},
    "log_format": {"type": "log_format", "pattern": "[$when] $a: $b"},
}
PIECES = st.sampled_from(
    [b'2024-01-01,"x', b'",y', b'"', b",", b"\n", b"\r\n", b"2024-01-01,a,b\n", b"[2024-01-01] a: b\n", b"2024-01-01 a b\n",
     b'{"when": "2024-01-01", "a": {"b": [1]}}\n', b"\xff", b"\0", b'{"when": NaN}\n'],
)  # fmt: skip


class TestAnyBytes:
    @settings(max_examples=40, deadline=None)
    @given(st.sampled_from(sorted(FORMATS)), st.lists(PIECES | st.binary(max_size=10)), st.data())
    def test_lines_are_rows_and_rejects_however_they_are_split(self, name: str, pieces: list[bytes], data: st.DataObject) -> None:
        content = b"".join(pieces)
        dataset = CustomDataset(
            Definition.model_validate(
                {
                    "name": "own",
                    "format": FORMATS[name],
                    "timestamp": {"path": "when"},
                    "columns": [{"name": "a"}, {"name": "b"}],
                }
            )
        )
        whole = parse(dataset, content)
        found = sorted([*whole.rows["_line"], *whole.rejects["_line"]])
        if name != "csv":
            assert found == list(range(1, whole.lines + 1))
        assert len(set(found)) == len(found) <= whole.lines
        lines = [line + b"\n" for line in content.split(b"\n")[:-1]] + [content.split(b"\n")[-1]]
        rest, first, rows, rejected = b"", 1, [], []
        for index, line in enumerate(lines):
            final = index == len(lines) - 1
            rest += line
            if not final and not data.draw(st.booleans()):
                continue
            parsed = dataset.open_parser(b"", ParseContext("demo"), None).parse(rest, first, final)
            checked(dataset, parsed, rest)
            rest, first = rest[parsed.consumed :], first + parsed.lines
            rows.append(parsed.rows)
            rejected.append(parsed.rejects)
        assert not rest
        assert pl.concat(rows).rows() == whole.rows.rows()
        assert pl.concat(rejected).rows() == whole.rejects.rows()


ANY_JSON = CustomDataset(
    Definition.model_validate(
        {
            "name": "own",
            "format": {"type": "ndjson"},
            "timestamp": {"path": ["when", "a.when"]},
            "columns": [
                {"name": "text", "path": ["a", "a.b", "b"]},
                {"name": "number", "type": "int", "path": ["a.b", "number"]},
                {"name": "moment", "type": "timestamp", "path": ["a.0", "when"], "kind": "epoch_s"},
                {"name": "tags", "type": "list<string>", "path": ["tags", "a.tags"]},
                {"name": "flag", "type": "boolean", "path": "a.b.flag"},
            ],
            "site": {"path": "site"},
        }
    )
)


class TestAnyJson:
    KEYS = ("a", "b", "0", "a.b", "a.when", "when", "number", "tags", "flag", "site", "x")

    @settings(max_examples=40)
    @given(json_records(KEYS, {"when": "2026-11-21"}))
    def test_every_value_is_in_a_column_or_in_extra(self, records: tuple[bytes, set[int]]) -> None:
        rows = parse(ANY_JSON, records[0]).rows
        seconds = set(rows["moment"].dt.epoch("s").drop_nulls())
        assert records[1] <= numbers_in(rows.rows()) | seconds


class TestOtherFormats:
    def test_ndjson_paths(self, define: Define) -> None:
        dataset = define(
            'site = "lyon"\n[format]\ntype="ndjson"\n[timestamp]\npath=["at", "meta.at"]\nkind=["iso8601", "epoch_s"]\n'
            '[[columns]]\nname="actor"\npath="actor.login"\n[[columns]]\nname="raw"\npath="actor"\n'
            '[[columns]]\nname="tags"\ntype="list<string>"\n[[columns]]\nname="size"\ntype="int"\n'
        )
        data = (
            b'{"at": "2024-01-01T00:00:00Z", "actor": {"login": "ann", "id": 1}, "tags": ["a", 2], "size": "big"}\n'
            b'{"meta": {"at": 1704067200, "v": 2}, "actor.login": "bob", "tags": "x", "size": 3}\n'
            b'{"at": "2024-01-01", "actor": {"login": "cy"}, "actor.login": "di"}\n[]\n\n{"actor": 1}\n'
        )
        parsed = parse(dataset, data)
        moment = datetime(2024, 1, 1, tzinfo=UTC)
        assert parsed.rows.rows() == [
            (moment, "ann", '{"login":"ann","id":1}', ["a", "2"], None, '{"size":"big"}', "lyon", 1),
            (moment, "bob", None, None, 3, '{"tags":"x","meta":{"v":2}}', "lyon", 2),
            (moment, "cy", '{"login":"cy"}', None, None, '{"actor.login":"di"}', "lyon", 3),
        ]
        assert parsed.rejects.select("_line", "reason").rows() == [
            (4, "no JSON object"),
            (5, "blank line"),
            (6, "timestamp"),
        ]

    def test_log_format(self, define: Define) -> None:
        dataset = define(
            '[format]\ntype="log_format"\npattern=\'$remote_addr [$time] "${request}" $status (ms: $took)\'\n'
            '[timestamp]\npath="time"\nkind="clf"\n[[columns]]\nname="status"\ntype="int"\n'
        )
        parsed = parse(dataset, b'::1 [17/May/2015:10:05:03 +0200] "GET / \\"x\\"" 200 (ms: -)\nother\n')
        assert parsed.rows.rows() == [
            (datetime(2015, 5, 17, 8, 5, 3, tzinfo=UTC), 200, '{"remote_addr":"::1","request":"GET / \\\\\\"x\\\\\\""}', 1)
        ]
        assert parsed.rejects["reason"].to_list() == ["no match of the pattern"]

    def test_zone_of_the_definition_wins_over_the_settings(self, define: Define) -> None:
        data = b"when,amount\n2024-07-01 12:00,x\n"
        own = parse(define(csv_definition(timestamp='zone = "Europe/Paris"')), data, zone="Asia/Tokyo")
        assert own.rows["ts"].to_list() == [datetime(2024, 7, 1, 10, tzinfo=UTC)]
        settings_zone = parse(define(csv_definition()), data, zone="Asia/Tokyo")
        assert settings_zone.rows["ts"].to_list() == [datetime(2024, 7, 1, 3, tzinfo=UTC)]

    def test_other_format_and_options_are_refused(self, define: Define) -> None:
        dataset = define(csv_definition())
        with pytest.raises(FormatError, match="leave --format out"):
            dataset.open_parser(b"when,amount\n", ParseContext("demo", "ndjson"), None)
        with pytest.raises(SettingsError, match="no option 'x'"):
            dataset.validate_options({"x": 1})
        assert dataset.validate_options({}) == {}
