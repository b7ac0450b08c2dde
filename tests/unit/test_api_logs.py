"""The dataset api_logs: its formats, its damaged inputs."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.datasets.api_logs import DATASET, ORIGINAL_NAMES
from lakehouse.datasets.base import COLUMN_TYPES, MAX_REJECT_TEXT, REJECT_SCHEMA, FileParser, ParseContext, Parsed
from lakehouse.errors import FormatError, SettingsError
from tests.support.json_values import json_records, numbers_in

CONTEXT = ParseContext("demo")
SCHEMA = {**{column.name: COLUMN_TYPES[column.type] for column in DATASET.columns}, "_line": pl.Int64()}


def parse(log: bytes, form: str | None = None, final: bool = True, zone: str = "UTC") -> Parsed:
    parser = DATASET.open_parser(log[:65536], ParseContext("demo", form, zone), None)
    assert not isinstance(parser, FileParser)
    return checked(parser.parse(log, 1, final), log, final)


def checked(parsed: Parsed, log: bytes, final: bool) -> Parsed:
    """What holds for every answer."""
    assert dict(parsed.rows.schema) == SCHEMA
    assert dict(parsed.rejects.schema) == dict(REJECT_SCHEMA)
    assert parsed.rows["ts"].null_count() == 0
    assert parsed.rejects.null_count().sum_horizontal().item() == 0
    assert parsed.rejects["text"].str.len_chars().max() is None or (
        parsed.rejects["text"].str.len_chars().max() <= MAX_REJECT_TEXT  # type: ignore[operator]
    )
    done = log[: parsed.consumed]
    assert parsed.lines == done.count(b"\n") + (bool(done) and not done.endswith(b"\n"))
    assert parsed.consumed == len(log) or not final
    return parsed


def record(message: Any, moment: str = "2024-01-15 10:23:45,123", level: str = "INFO") -> bytes:
    return f"{moment} - {level} - {message!r}\n".encode()


REQUEST: dict[str, dict[str, Any]] = {
    "Query": {
        "text_description": 'vente d\'articles "neufs"',
        "type_": None,
        "nature": "01",
        "surface": "12,5",
        "event": "01P",
        "nb_echos_max": 5,
        "prob_min": 0.01,
        "client": ("a", 1),
    },
    "Response": {
        "1": {"code": "4711A", "probabilite": 0.93, "libelle": "Commerce d'alimentation générale"},
        "2": {"code": "4711B", "probabilite": 0.04, "libelle": "Supérettes"},
        "6": {"code": "4711F", "probabilite": 0.001, "libelle": "Hypermarchés"},
        "IC": 1.03,
    },
}


def test_columns_of_a_request() -> None:
    row = parse(record(REQUEST)).rows.row(0, named=True)
    extra = json.loads(row.pop("extra"))
    assert extra == {
        "Query": {"client": ["a", 1]},
        "Response": {"6": {"code": "4711F", "probabilite": 0.001, "libelle": "Hypermarchés"}},
    }
    assert {name: value for name, value in row.items() if value is not None} == {
        "ts": datetime(2024, 1, 15, 10, 23, 45, 123000, tzinfo=UTC),
        "level": "INFO",
        "query_text": 'vente d\'articles "neufs"',
        "query_nature": "01",
        "query_surface": "12,5",
        "query_event": "01P",
        "max_proposals": 5,
        "min_probability": 0.01,
        "code": "4711A",
        "label": "Commerce d'alimentation générale",
        "probability": 0.93,
        "confidence": 1.03,
        "code_2": "4711B",
        "label_2": "Supérettes",
        "probability_2": 0.04,
        "_line": 1,
    }


def test_local_time_of_the_log() -> None:
    rows = parse(record(REQUEST, "2024-03-31 02:30:00,5"), zone="Europe/Paris").rows
    assert rows["ts"].to_list() == [datetime(2024, 3, 31, 1, 30, 0, 500000, tzinfo=UTC)]


def test_value_of_another_type_stays_in_extra() -> None:
    odd = {"Query": {"nb_echos_max": "many"}, "Response": {"1": {"probabilite": "high", "code": ["a"]}, "IC": math.nan}}
    row = parse(record(odd)).rows.row(0, named=True)
    assert (row["max_proposals"], row["probability"], row["confidence"], row["code"]) == (None, None, None, '["a"]')
    assert json.loads(row["extra"]) == {"Query": {"nb_echos_max": "many"}, "Response": {"1": {"probabilite": "high"}}}


@pytest.mark.parametrize("answer", [None, 5, "text", [1, 2], {}])
def test_answer_that_is_no_dictionary(answer: object) -> None:
    row = parse(record({"Query": {"text_description": "x"}, "Response": answer})).rows.row(0, named=True)
    assert row["query_text"] == "x"
    assert json.loads(row["extra"] or '{"Response": {}}').get("Response") == answer


class TestDamage:
    def test_record_over_several_lines(self) -> None:
        log = record("first") + (
            b"2024-01-15 10:00:00,000 - INFO - {'Query': {'text_description': 'a\nb }'},\r\n"
            b"  'Response': {'1': {'code': '4711A'},\n"
            b"  'IC': 0.5}}\n"
        )
        parsed = parse(log + b"stray\n" + record(REQUEST))
        assert parsed.rows.select("_line", "code", "query_text").rows() == [
            (2, "4711A", "a\nb }"),
            (7, "4711A", REQUEST["Query"]["text_description"]),
        ]
        assert parsed.rejects.select("_line", "reason", "known").rows() == [
            (1, "log message", True),
            (6, "outside a record", False),
        ]

    def test_nuls_part_a_lost_write_from_what_follows(self) -> None:
        log = record(REQUEST)[:60] + b"\0" * 7 + record(REQUEST) + b"\0\0\n" + record(REQUEST)[:-1] + b"\0" + b"tail\n"
        parsed = parse(log)
        assert parsed.rows["_line"].to_list() == [1, 3]
        assert parsed.rejects.select("_line", "reason", "text", "known").rows() == [
            (1, "half-written", record(REQUEST)[:60].decode(), False),
            (2, "blank line", "", True),
            (3, "outside a record", "tail", False),
        ]

    def test_line_of_an_open_record_waits_as_a_whole(self) -> None:
        first = record(REQUEST)
        half = b"2024-01-15 09:00:00,000 - INFO - {'Query':\n 'cut"
        log = first + half + b"\0" + b"2024-01-15 10:00:00,000 - INFO - {'Query': {},\n"
        waiting = parse(log, final=False)
        assert (waiting.consumed, waiting.rows.height, waiting.rejects.height) == (len(first), 1, 0)
        parsed = parse(log + b"'Response': {'IC': 0.5}}\n", final=False)
        assert parsed.rows["_line"].to_list() == [1, 3]
        assert parsed.rejects.select("_line", "reason", "text").rows() == [(2, "half-written", half.decode())]

    def test_broken_last_line(self) -> None:
        log = record(REQUEST) + record(REQUEST)[:99]
        waiting = parse(log, final=False)
        assert (waiting.rows.height, waiting.rejects.height, waiting.consumed) == (1, 0, len(record(REQUEST)))
        assert parse(log).rejects.select("_line", "reason", "known").rows() == [(2, "half-written", False)]

    def test_broken_record_is_given_up_when_the_next_begins(self) -> None:
        log = b"2024-01-15 10:00:00,000 - INFO - {'Query': \nmore\n" + record(REQUEST)
        parsed = parse(log, final=False)
        assert parsed.rejects.rows() == [(1, "not a Python literal", log[:49].decode().rstrip("\n"), False)]
        assert parsed.rows["_line"].to_list() == [3]

    def test_messages_and_their_tracebacks_are_known(self) -> None:
        log = b"2024-01-15 10:00:00,000 - ERROR - Traceback:\n  File x\n" + record({"status": "ok"}) + b"\nnoise\n"
        assert parse(log).rejects.select("_line", "reason", "known").rows() == [
            (1, "log message", True),
            (2, "log message", True),
            (3, "no request", True),
            (4, "blank line", True),
            (5, "outside a record", False),
        ]

    def test_impossible_timestamp(self) -> None:
        parsed = parse(record(REQUEST, "2024-13-15 10:00:00"))
        assert parsed.rejects.select("reason", "known").rows() == [("timestamp", False)]

    def test_deep_nesting_is_a_reject(self) -> None:
        deep = b"2024-01-15 10:00:00,000 - INFO - {'Query': " + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
        assert parse(deep + record("next")).rejects["reason"].to_list() == ["not a Python literal", "log message"]
        deep = b'{"Query": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
        assert parse(deep).rejects["reason"].to_list() == ["not JSON"]

    def test_bytes_that_are_no_utf8(self) -> None:
        log = record({"Query": {"text_description": "X"}}).replace(b"X", b"caf\xe9")
        # The escape that stands for the byte is one of Python's too, and so read as Latin-1.
        assert parse(log).rows["query_text"].to_list() == ["café"]
        assert parse(b"caf\xe9\n" + log).rejects["text"].to_list() == ["caf\\xe9"]


PIECES = st.sampled_from(
    [
        record(REQUEST),
        record(REQUEST)[:50],
        record(REQUEST)[50:],
        record({"Query": {"surface": "}\n{"}}, "2024-01-16 00:00:00"),
        record("message"),
        b"2024-01-15 10:00:00,000 - INFO - {'Query': {},\n'Response': {\n'IC': 0.5}\n}\n",
        b"2024-01-15 10:00:00,000 - INFO - {\n",
        b"}\n",
        b"\0\0",
        b"\n",
        b"noise\n",
        b"\xff\r\n",
    ]
)


class TestAnyBytes:
    @settings(max_examples=40, deadline=None)
    @given(st.lists(PIECES | st.binary(max_size=40)), st.sampled_from(["python-literal", "ndjson"]))
    def test_every_line_is_accounted_for(self, pieces: list[bytes], form: str) -> None:
        log = b"".join(pieces)
        parsed = parse(log, form)
        lines = {*parsed.rows["_line"], *parsed.rejects["_line"]}
        assert lines <= set(range(1, parsed.lines + 1))
        if parsed.lines:
            assert min(lines) == 1
        if form == "ndjson" and b"\0" not in log:
            assert parsed.lines == parsed.rows.height + parsed.rejects.height

    @settings(max_examples=40, deadline=None)
    @given(st.lists(PIECES | st.binary(max_size=10), max_size=12), st.data())
    def test_splits_never_change_the_answer(self, pieces: list[bytes], data: st.DataObject) -> None:
        log = b"".join(pieces)
        whole = parse(log, "python-literal")
        lines = [line + b"\n" for line in log.split(b"\n")[:-1]] + [log.split(b"\n")[-1]]
        state: Mapping[str, Any] | None = None
        rest, first, rows, rejected = b"", 1, [], []
        for index, line in enumerate(lines):
            final = index == len(lines) - 1
            rest += line
            if not final and not data.draw(st.booleans()):
                continue
            context = ParseContext("demo", "python-literal")
            parser = DATASET.open_parser(b"", context, state)
            assert not isinstance(parser, FileParser)
            parsed = checked(parser.parse(rest, first, final), rest, final)
            # Only the state goes from one run to the next, as when a log has grown.
            state = json.loads(json.dumps(parser.state()))
            rest, first = rest[parsed.consumed :], first + parsed.lines
            rows.append(parsed.rows)
            rejected.append(parsed.rejects)
        assert pl.concat(rows).rows() == whole.rows.rows()
        assert pl.concat(rejected).rows() == whole.rejects.rows()


class TestOtherFormats:
    FLAT = ("Timestamp", "Query.text_description", "Response.1.code", "Response.1.probabilite", "Response.IC", "Query.new")

    def test_ndjson_nested_and_flattened(self) -> None:
        nested = {"Timestamp": "2024-01-15T10:23:45.123Z", "LogLevel": "INFO", **REQUEST}
        flat = {"timestamp": 1705314225.123, "Query.text_description": "x", "Response.1.code": "4711A", "status_code": 200}
        log = "\n".join(json.dumps(line) for line in (nested, flat, {"timestamp": 1705314225123, "Response.IC": 2})).encode()
        parsed = parse(log + b"\n{broken\n\n[1]\n" + b'{"Query": {"surface": NaN}}\n{"a": 1}\n')
        moment = datetime(2024, 1, 15, 10, 23, 45, 123000, tzinfo=UTC)
        assert parsed.rows.select("_line", "ts", "code", "status", "confidence").rows() == [
            (1, moment, "4711A", None, 1.03),
            (2, moment, "4711A", 200, None),
            (3, moment, None, None, 2.0),
        ]
        literal = parse(record(REQUEST)).rows
        assert parsed.rows.head(1).drop("ts").equals(literal.drop("ts"))
        assert parsed.rejects.select("_line", "reason").rows() == [
            (4, "not JSON"),
            (5, "blank line"),
            (6, "outside a record"),
            (7, "timestamp"),
            (8, "no request"),
        ]

    KEYS = (
        "Query",
        "Response",
        "1",
        "2",
        "code",
        "probabilite",
        "IC",
        "type_",
        "text_description",
        "status",
        "time",
        "level",
        "x",
    )

    @settings(max_examples=40)
    @given(json_records({*KEYS, "Response.1.code", "Response.IC", "Query.type"}, {"Timestamp": "2026-11-21T12:00:00Z"}))
    def test_every_value_is_in_a_column_or_in_extra(self, records: tuple[bytes, set[int]]) -> None:
        parsed = parse(records[0], "ndjson")
        assert records[1] <= numbers_in(parsed.rows.rows()) | numbers_in(parsed.rejects.rows())

    def test_parquet_with_dotted_columns(self, tmp_path: Path) -> None:
        moments = [datetime(2024, 1, 15, 23, 59, 59, 500000), datetime(2024, 3, 31, 2, 30), None]
        pl.DataFrame(
            {
                "Timestamp": moments,
                "Query.text_description": ["x", None, "y"],
                "Query.new": [[1, 2], None, None],
                "Query.day": [date(2024, 1, 1), None, None],
                "Response.1.code": ["4711A", "0111Z", "x"],
                "Response.1.probabilite": [0.9, None, 1.0],
                "Response.IC": [1.5, float("nan"), 1.0],
            }
        ).write_parquet(tmp_path / "log.parquet")
        head = (tmp_path / "log.parquet").read_bytes()
        parser = DATASET.open_parser(head, ParseContext("demo", zone="Europe/Paris"), None)
        assert isinstance(parser, FileParser)
        (parsed,) = parser.parse_file(tmp_path / "log.parquet")
        assert dict(parsed.rows.schema) == SCHEMA
        assert parsed.rows.select("_line", "ts", "code", "probability", "confidence", "extra").rows() == [
            (1, datetime(2024, 1, 15, 22, 59, 59, 500000, tzinfo=UTC), "4711A", 0.9, 1.5, parsed.rows["extra"][0]),
            (2, datetime(2024, 3, 31, 1, 30, tzinfo=UTC), "0111Z", None, None, None),
        ]
        assert json.loads(parsed.rows["extra"][0]) == {"Query.new": [1, 2], "Query.day": "2024-01-01"}
        assert parsed.rejects.select("_line", "reason").rows() == [(3, "timestamp")]
        assert (parsed.lines, parser.state()) == (3, {"format": "parquet"})

    def test_damaged_parquet(self, tmp_path: Path) -> None:
        (tmp_path / "log.parquet").write_bytes(b"PAR1 and no more")
        parser = DATASET.open_parser(b"PAR1 and no more", CONTEXT, None)
        assert isinstance(parser, FileParser)
        with pytest.raises(FormatError, match="Parquet file cannot be read"):
            list(parser.parse_file(tmp_path / "log.parquet"))

    @pytest.mark.parametrize("head", [b"", b"a b c\n", b"[1, 2]\n", b"\0\0\0"])
    def test_no_format_fits(self, head: bytes) -> None:
        with pytest.raises(FormatError, match=r"python-literal .* ndjson and parquet"):
            DATASET.open_parser(head, CONTEXT, None)

    def test_unknown_format_and_option(self) -> None:
        with pytest.raises(FormatError, match="choose one of python-literal, ndjson, parquet"):
            DATASET.open_parser(b"", ParseContext("demo", "xml"), None)
        with pytest.raises(SettingsError, match="no option 'treshold'"):
            DATASET.validate_options({"treshold": 1})
        assert DATASET.validate_options({}) == {}

    def test_original_names_belong_to_columns(self) -> None:
        names = [column.name for column in DATASET.columns]
        assert ORIGINAL_NAMES["code"] == "Response.1.code"
        assert ORIGINAL_NAMES["confidence"] == "Response.IC"
        assert list(ORIGINAL_NAMES) == [name for name in names if name in ORIGINAL_NAMES]
        assert set(names) - set(ORIGINAL_NAMES) == {"extra"}
        assert len(set(ORIGINAL_NAMES.values())) == len(ORIGINAL_NAMES)
