"""Timestamps of every kind, against values worked out by hand and against Python's own datetime and zoneinfo."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.datasets.timestamps import NAMED_KINDS, timestamp_expr, validate_kind
from lakehouse.errors import SettingsError


def read(values: list[str | None], kind: str, zone: str = "UTC", reference: datetime | None = None) -> list[object]:
    """The instants as ISO text (years below 1000 keep their zeros), None where nothing was read."""
    frame = pl.DataFrame({"text": pl.Series(values, dtype=pl.String)})
    instants = frame.select(timestamp_expr(pl.col("text"), kind, zone, reference)).to_series()
    assert instants.dtype == pl.Datetime("us", "UTC")
    return [None if value is None else value.isoformat().removesuffix("+00:00") for value in instants.to_list()]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("clf", "17/May/2015:10:05:03 +0000", "2015-05-17T10:05:03"),
        ("clf", "01/Jan/2015:00:30:00 +0530", "2014-12-31T19:00:00"),
        ("clf", "17/May/2015:23:59:60 +0000", "2015-05-18T00:00:00"),
        ("clf", "31/Feb/2015:10:05:03 +0000", None),
        ("clf", "17/May/2015:10:05:03", None),
        ("clf", "17/May/2015:10:05:03 +0000 GET", None),
        ("iso8601", "2015-05-17T10:05:03Z", "2015-05-17T10:05:03"),
        ("iso8601", "2015-05-17t10:05:03z", "2015-05-17T10:05:03"),
        ("iso8601", "2015-05-17 10:05:03,123", "2015-05-17T10:05:03.123000"),
        ("iso8601", "2015-05-17T10:05:03.999999999+02:00", "2015-05-17T08:05:03.999999"),
        ("iso8601", "2015-05-17 10:05:03 -0330", "2015-05-17T13:35:03"),
        ("iso8601", "2015-05-17T10:05+02", "2015-05-17T08:05:00"),
        ("iso8601", "2015-05-17", "2015-05-17T00:00:00"),
        ("iso8601", "2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.500000"),
        ("iso8601", "2015-05-17T10:05.5Z", None),
        ("iso8601", "2015-05-17T10:05:03+24:00", None),
        ("iso8601", "2015-05-17T24:00:00Z", None),
        ("iso8601", "2015-02-29T10:05:03Z", None),
        ("iso8601", "٢٠١٥-05-17T10:05:03Z", None),
        ("epoch_s", "1431857103", "2015-05-17T10:05:03"),
        ("epoch_s", "1431857103.9999999", "2015-05-17T10:05:03.999999"),
        ("epoch_s", "-1.5", "1969-12-31T23:59:58.500000"),
        ("epoch_s", "1e9", None),
        ("epoch_ms", "1431857103123", "2015-05-17T10:05:03.123000"),
        ("epoch_ms", "1431857103123.25", "2015-05-17T10:05:03.123250"),
        ("epoch_us", "1431857103123456", "2015-05-17T10:05:03.123456"),
        ("epoch_us", "999999999999999999", None),
        ("text-en", "30 june 2020 09:56", "2020-06-30T09:56:00"),
        ("text-en", " Tuesday, June 30th, 2020 at 9:56:07 PM ", "2020-06-30T21:56:07"),
        ("text-en", "30 JUN 2020 12:05 am", "2020-06-30T00:05:00"),
        ("text-en", "30 june 2020 13:05 pm", None),
        ("text-en", "31 june 2020 09:56", None),
        ("text-en", "30 juin 2020 09:56", None),
        ("text-fr", "02 décembre 2020 16:55", "2020-12-02T16:55:00"),
        ("text-fr", "2 DECEMBRE 2020 16h55", "2020-12-02T16:55:00"),
        ("text-fr", "mer. 3 févr. 2021 à 10:00:09", "2021-02-03T10:00:09"),
        ("text-fr", "1er aou\u0302t\u00a02020", "2020-08-01T00:00:00"),
        ("text-fr", "30 juil. 2020 01:02", "2020-07-30T01:02:00"),
        ("text-fr", "3 jui 2020 01:02", None),
        ("text-fr", "30 june 2020 09:56", None),
        ("fr:%d %B %Y %H:%M", "02 décembre 2020 16:55", "2020-12-02T16:55:00"),
        ("fr:%A %d %b %Y %H:%M", "mardi 3 mars 2020 01:02", "2020-03-03T01:02:00"),
        ("fr:%a %d %b %Y %H:%M", "mer. 2 DÉC. 2020 16:55", "2020-12-02T16:55:00"),
        ("%d-%m-%Y %H:%M:%S.%f", "24-04-2020 16:05:30.123", "2020-04-24T16:05:30.123000"),
        ("%d-%m-%Y %H:%M:%S %z", "24-04-2020 16:05:30 +0200", "2020-04-24T14:05:30"),
        ("%d/%m/%Y", "24/04/2020", "2020-04-24T00:00:00"),
        ("%d/%m/%Y", "31/04/2020", None),
    ],
)
def test_one_text(kind: str, text: str, expected: str | None) -> None:
    # Beside a null and an empty text, so that one value never decides over another.
    assert read([text, None, ""], kind) == [expected, None, None]


@pytest.mark.parametrize("kind", ["epoch_s", "epoch_ms"])
def test_epoch_of_numbers(kind: str) -> None:
    frame = pl.DataFrame({"whole": [1431857103, None], "fraction": [1431857103.125, None]})
    instants = frame.select(timestamp_expr(pl.all(), kind))
    unit = 1 if kind == "epoch_s" else 1000
    start = datetime(1970, 1, 1, tzinfo=UTC)
    assert instants["whole"].to_list() == [start + timedelta(seconds=1431857103 / unit), None]
    assert instants["fraction"].to_list() == [
        start + timedelta(microseconds=1431857103_125000 // unit),
        None,
    ]


class TestClockChanges:
    """Europe/Paris leaves winter time on 2024-03-31 at 01:00 UTC and returns on 2024-10-27 at 01:00 UTC."""

    def test_skipped_hour_is_shifted_forward_by_the_gap(self) -> None:
        local = ["2024-03-31 01:59:59.999", "2024-03-31 02:00:00", "2024-03-31 02:30:00", "2024-03-31 03:00:00"]
        assert read([*local], "iso8601", "Europe/Paris") == [
            "2024-03-31T00:59:59.999000",
            "2024-03-31T01:00:00",
            "2024-03-31T01:30:00",
            "2024-03-31T01:00:00",
        ]

    def test_repeated_hour_is_the_earlier_one(self) -> None:
        local = ["2024-10-27 01:59:59", "2024-10-27 02:30:00", "2024-10-27 03:00:00", "2024-10-27 02:30:00+01:00"]
        assert read([*local], "iso8601", "Europe/Paris") == [
            "2024-10-26T23:59:59",
            "2024-10-27T00:30:00",
            "2024-10-27T02:00:00",
            "2024-10-27T01:30:00",
        ]

    def test_whole_day_that_a_zone_skipped(self) -> None:
        assert read(["2011-12-30 12:00:00"], "iso8601", "Pacific/Apia") == ["2011-12-30T22:00:00"]

    @pytest.mark.parametrize(
        ("kind", "text"),
        [
            ("syslog", "Mar 31 02:30:00"),
            ("text-en", "31 march 2024 02:30"),
            ("text-fr", "31 mars 2024 02:30"),
            ("%Y%m%d%H%M", "202403310230"),
            ("fr:%d %b %Y %H:%M", "31 mars 2024 02:30"),
        ],
    )
    def test_every_kind_without_offset(self, kind: str, text: str) -> None:
        reference = datetime(2024, 6, 1, tzinfo=UTC)
        assert read([text, "x"], kind, "Europe/Paris", reference) == ["2024-03-31T01:30:00", None]

    @settings(deadline=None)
    @given(
        st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2037, 1, 1)),
        st.sampled_from(["Europe/Paris", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca"]),
    )
    def test_same_as_zoneinfo(self, local: datetime, zone: str) -> None:
        # zoneinfo with fold=0 has the same two rules.
        expected = local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        assert read([local.isoformat(" ")], "iso8601", zone) == [expected.isoformat().removesuffix("+00:00")]


class TestSyslog:
    def test_year_is_the_latest_not_after_reference_and_a_day(self) -> None:
        texts = ["May 17 10:05:03", "Dec 31 23:00:00.25", "Jan  2 12:00:00", "Jan  2 12:00:01"]
        assert read([*texts], "syslog", reference=datetime(2026, 1, 1, 12, tzinfo=UTC)) == [
            "2025-05-17T10:05:03",
            "2025-12-31T23:00:00.250000",
            "2026-01-02T12:00:00",
            "2025-01-02T12:00:01",
        ]

    def test_limit_is_an_instant_not_a_local_time(self) -> None:
        texts = ["Jan  1 05:00:00", "Jan  1 05:00:01"]
        assert read([*texts], "syslog", "Asia/Tokyo", datetime(2025, 12, 30, 20, tzinfo=UTC)) == [
            "2025-12-31T20:00:00",
            "2024-12-31T20:00:01",
        ]

    @pytest.mark.parametrize(
        ("reference", "year"),
        [(datetime(2024, 2, 28, 2), 2024), (datetime(2024, 2, 28), 2020), (datetime(1904, 2, 28), 1896)],
    )
    def test_29th_of_february_is_in_a_leap_year(self, reference: datetime, year: int) -> None:
        assert read(["Feb 29 01:00:00"], "syslog", reference=reference) == [f"{year}-02-29T01:00:00"]

    def test_naive_reference_is_utc_and_no_reference_is_the_present(self) -> None:
        assert read(["Mar  1 00:00:00"], "syslog", reference=datetime(2020, 5, 1)) == ["2020-03-01T00:00:00"]
        (text,) = read(["Mar  1 00:00:00"], "syslog")
        now = datetime.now(UTC)
        assert isinstance(text, str)
        assert now - timedelta(days=366) <= datetime.fromisoformat(text + "+00:00") <= now + timedelta(days=1, seconds=1)

    @pytest.mark.parametrize("text", ["May 32 10:05:03", "Mai 17 10:05:03", "May 17 10:05", "Feb 30 00:00:00"])
    def test_what_is_no_date(self, text: str) -> None:
        assert read([text, "May 17 10:05:03"], "syslog", reference=datetime(2020, 6, 1, tzinfo=UTC)) == [
            None,
            "2020-05-17T10:05:03",
        ]


class TestLimits:
    @pytest.mark.parametrize(
        ("kind", "text", "expected"),
        [
            ("iso8601", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00"),
            ("iso8601", "0001-01-01T00:00:00+00:01", None),
            ("iso8601", "0000-12-31T23:59:59Z", None),
            ("iso8601", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999"),
            ("iso8601", "9999-12-31T23:59:59-00:01", None),
            ("clf", "31/Dec/9999:23:59:59 -0100", None),
            ("clf", "01/Jan/0000:00:00:00 +0000", None),
            ("epoch_s", "253402300799.999999", "9999-12-31T23:59:59.999999"),
            ("epoch_s", "253402300800", None),
            ("epoch_s", "-62135596800", "0001-01-01T00:00:00"),
            ("epoch_s", "-62135596800.000001", None),
            ("epoch_ms", "253402300800000", None),
            ("epoch_us", "253402300800000000", None),
            ("%Y-%m-%d", "+12015-01-01", None),
        ],
    )
    def test_years_0001_to_9999(self, kind: str, text: str, expected: str | None) -> None:
        assert read([text], kind) == [expected]

    def test_local_time_may_leave_the_limits(self) -> None:
        assert read(["0001-01-01 00:00:00", "9999-12-31 23:59:59"], "iso8601", "Asia/Tokyo") == [
            None,
            "9999-12-31T14:59:59",
        ]


INSTANTS = st.datetimes(timezones=st.just(UTC))


class TestRoundTrips:
    @settings(deadline=None)
    @given(st.lists(INSTANTS, min_size=1))
    def test_iso8601(self, instants: list[datetime]) -> None:
        expected = [instant.isoformat().removesuffix("+00:00") for instant in instants]
        assert read([instant.isoformat() for instant in instants], "iso8601", "Europe/Paris") == expected

    @settings(deadline=None)
    @given(INSTANTS)
    def test_epochs(self, instant: datetime) -> None:
        micros = (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        expected = [instant.isoformat().removesuffix("+00:00")]
        sign, size = ("-" if micros < 0 else ""), abs(micros)
        assert read([str(micros)], "epoch_us") == expected
        assert read([f"{sign}{size // 1000}.{size % 1000:03d}"], "epoch_ms") == expected
        assert read([f"{sign}{size // 1_000_000}.{size % 1_000_000:06d}"], "epoch_s") == expected

    @settings(deadline=None)
    @given(INSTANTS.filter(lambda instant: 1 < instant.year < 9999), st.integers(-14 * 60, 14 * 60))
    def test_clf(self, instant: datetime, offset: int) -> None:
        local = instant + timedelta(minutes=offset)
        months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        hours, minutes = divmod(abs(offset), 60)
        text = (
            f"{local.day:02d}/{months[local.month - 1]}/{local.year:04d}:{local:%H:%M:%S} "
            f"{'-' if offset < 0 else '+'}{hours:02d}{minutes:02d}"
        )
        assert read([text], "clf") == [instant.replace(microsecond=0).isoformat().removesuffix("+00:00")]

    @settings(deadline=None)
    @given(st.lists(st.text() | st.none()), st.sampled_from([*NAMED_KINDS, "%d/%m/%Y %H:%M", "fr:%d %b %Y"]))
    def test_any_text_never_raises(self, texts: list[str | None], kind: str) -> None:
        assert len(read(texts, kind, "Europe/Paris")) == len(texts)

    @settings(deadline=None)
    @given(st.lists(st.from_regex(r"\A[0-9./:T Za-z+-]{0,30}\Z")), st.sampled_from(sorted(NAMED_KINDS)))
    def test_nearly_timestamps_never_raise(self, texts: list[str | None], kind: str) -> None:
        assert len(read(texts, kind, "America/New_York")) == len(texts)


@pytest.mark.parametrize(
    ("kind", "zone", "message"),
    [
        ("clf", "Paris", "time zone 'Paris' is unknown"),
        ("clf", "", "time zone '' is unknown"),
        ("iso", "UTC", "choose one of clf, iso8601"),
        ("fr:", "UTC", "choose one of clf, iso8601"),
        ("%H:%M", "UTC", "does not tell one moment"),
        ("%d/%m/%Y %I:%M", "UTC", "does not tell one moment"),
        ("%Y-%m-%d %Q", "UTC", "a specifier that does not exist"),
        ("%s", "UTC", "use the kind epoch_s"),
        ("%Y-%m-%d %H:%M:%S,%f", "UTC", "%3f, %6f or %9f"),
    ],
)
def test_what_is_no_kind_or_zone(kind: str, zone: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        validate_kind(kind, zone)
    with pytest.raises(SettingsError, match=message):
        timestamp_expr(pl.col("text"), kind, zone)


@pytest.mark.parametrize("kind", [*NAMED_KINDS, "%d/%m/%y %I:%M %p", "%Y-%m-%d 100%% %H:%M", "%+", "fr:%d %B %Y"])
def test_kinds_that_exist(kind: str) -> None:
    validate_kind(kind, "Europe/Paris")
