"""Timestamps as logs write them, as polars expressions that answer UTC microseconds.

Rules that hold for every kind:

- What does not parse is null, and so is what lies outside the years 0001 to 9999 in UTC; no value ever raises.
- A time without an offset is in `zone`. A local time that a clock change skips is shifted forward by the gap (02:30
  becomes 03:30 in Paris in March); one that comes twice is the earlier of the two. RFC 5545 (3.3.5) reads them so.
- A leap second (":60") is the first second of the next minute, as POSIX time counts.
- Digits beyond the microsecond are cut off, not rounded, so that 23:59:59.9999999 stays on its day.
"""

import re
from calendar import isleap
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import polars as pl

from lakehouse.errors import SettingsError

NAMED_KINDS: Mapping[str, str] = {
    "clf": "17/May/2015:10:05:03 +0000 (Common Log Format)",
    "iso8601": "2015-05-17T10:05:03.123456Z (RFC 3339; offset, seconds, fraction and time may be missing)",
    "epoch_s": "1431857103.123 (seconds since 1970)",
    "epoch_ms": "1431857103123 (milliseconds since 1970)",
    "epoch_us": "1431857103123456 (microseconds since 1970)",
    "syslog": "May 17 10:05:03 (RFC 3164, no year)",
    "text-en": "17 may 2015 10:05",
    "text-fr": "17 mai 2015 10:05",
}
"""Kinds that have a name, each with an example. Any other kind is a strptime pattern."""

FRENCH_PREFIX = "fr:"
"""A pattern behind this prefix reads month and day names in French."""

_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
_EPOCH_UNITS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
"""Microseconds in one unit."""

_ENGLISH_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_FRENCH_MONTHS = (
    "janvier", "fevrier", "mars", "avril", "mai", "juin",
    "juillet", "aout", "septembre", "octobre", "novembre", "decembre",
)  # fmt: skip
_ENGLISH_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_FRENCH_DAYS = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")

_SHORTEST = {"juin": 4, "juillet": 4, "mars": 4}
"""Abbreviations have three letters or more, but "jui" could be June or July, and "mar" is Tuesday."""

_ISO8601 = (
    r"^(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<minute>[0-9]{2}:[0-9]{2})(?P<second>:[0-9]{2})?(?:[.,](?P<fraction>[0-9]+))?"
    r"(?: ?(?P<offset>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?))?)?$"
)
_EPOCH = r"^(?P<sign>-?)(?P<whole>[0-9]{1,18})(?:\.(?P<fraction>[0-9]*))?$"
_SYSLOG = r"^(?P<month>[A-Za-z]{3}) {1,2}(?P<day>[0-9]{1,2}) (?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.(?P<fraction>[0-9]+))?$"
_TEXT = (
    r"^(?:[a-z]{2,}\.?,? )?(?:(?P<day>[0-9]{1,2})(?:er|st|nd|rd|th)? (?:of )?(?P<month>[a-z]{3,})\.?"
    r"|(?P<month_first>[a-z]{3,})\.? (?P<day_second>[0-9]{1,2})(?:st|nd|rd|th)?),? (?P<year>[0-9]{4})"
    r"(?:,? (?:at |a )?(?P<hour>[0-9]{1,2})[:h](?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2}))? ?(?P<half>[ap]m)?)?$"
)


def timestamp_expr(column: pl.Expr, kind: str, zone: str = "UTC", reference: datetime | None = None) -> pl.Expr:
    """Read timestamps of one kind.

    Args:
        column: text, or numbers for the epoch kinds.
        kind: a key of `NAMED_KINDS`, or a strptime pattern in the syntax of the chrono library that polars uses
            ("%d/%m/%Y %H:%M:%S"); behind `FRENCH_PREFIX` month and day names are French, with or without accents.
        zone: IANA time zone of what carries no offset.
        reference: for "syslog": the year is the latest one that puts the time at most a day after this moment, usually
            the input's last modification; without it the present.

    Returns:
        Datetime("us", "UTC"), null where the text is not a timestamp of that kind.

    Raises:
        SettingsError: the kind or the zone does not exist.
    """
    validate_kind(kind, zone)
    moment = reference or datetime.now(UTC)
    # Through a Series, because as one expression the pieces of a pattern would be extracted once for every use.
    return column.map_batches(
        lambda values: _bounded(_instants(values, kind, zone, moment)),
        return_dtype=pl.Datetime("us", "UTC"),
        is_elementwise=True,
    )


@lru_cache(maxsize=256)
def validate_kind(kind: str, zone: str) -> None:
    """Check that a kind of timestamp and a time zone exist.

    Raises:
        SettingsError: naming what is wrong and what is allowed.
    """
    sample = pl.DataFrame({"sample": [datetime(2001, 2, 3, 16, 5, 6)]})
    try:
        # polars takes an empty name for no time zone at all.
        sample.select(pl.col("sample").dt.replace_time_zone(zone or "no zone"))
    except pl.exceptions.PolarsError:
        raise SettingsError(f"time zone {zone!r} is unknown; give an IANA name such as 'UTC' or 'Europe/Paris'") from None
    if kind in NAMED_KINDS:
        return
    pattern = kind.removeprefix(FRENCH_PREFIX)
    if "%" not in pattern:
        raise SettingsError(
            f"timestamp kind {kind!r} is unknown; choose one of {', '.join(NAMED_KINDS)}, "
            "or give a pattern such as '%d/%m/%Y %H:%M:%S'"
        )
    if "%s" in pattern:
        raise SettingsError(f"timestamp pattern {kind!r} uses %s; use the kind epoch_s instead")
    if re.search(r"(?<!\.)%f", pattern):
        raise SettingsError(
            f"timestamp pattern {kind!r} uses %f, which counts nanoseconds; write %.f for a fraction with its dot, "
            "or %3f, %6f or %9f for that many digits"
        )
    try:
        text = sample.select(pl.col("sample").dt.replace_time_zone("UTC").dt.strftime(_chrono(pattern))).to_series()
    except pl.exceptions.PolarsError:
        raise SettingsError(
            f"timestamp pattern {kind!r} has a specifier that does not exist; "
            "the specifiers are those of Rust's chrono::format::strftime"
        ) from None
    try:
        day = _strptime(text, _chrono(pattern), "UTC").dt.date().item()
    except pl.exceptions.PolarsError:
        day = None
    if day != datetime(2001, 2, 3).date():
        raise SettingsError(
            f"timestamp pattern {kind!r} does not tell one moment: it needs year, month and day, "
            "hours with minutes (and %p beside %I) if it has any time; 'Nov 21 10:05:03' without a year is the kind syslog"
        )


def _instants(values: pl.Series, kind: str, zone: str, reference: datetime) -> pl.Series:
    if kind == "clf":
        # Not trimmed: this is the format of most of what is ever loaded.
        return values.str.to_datetime("%d/%b/%Y:%H:%M:%S %z", time_unit="us", time_zone="UTC", strict=False)
    text = values.cast(pl.String, strict=False).str.strip_chars()
    if kind == "iso8601":
        return _iso8601(text, zone)
    if kind in _EPOCH_UNITS:
        return _epoch(text, _EPOCH_UNITS[kind])
    if kind == "syslog":
        return _syslog(text, zone, reference)
    if kind == "text-en":
        return _text(text, _names(_ENGLISH_MONTHS), zone)
    if kind == "text-fr":
        return _text(text, _names(_FRENCH_MONTHS), zone)
    if kind.startswith(FRENCH_PREFIX):
        # chrono's %b and %a read short names only, %B and %A both; what is translated is long.
        pattern = kind.removeprefix(FRENCH_PREFIX).replace("%b", "%B").replace("%h", "%B").replace("%a", "%A")
        return _strptime(_translated(text), _chrono(pattern), zone)
    return _strptime(text, _chrono(kind), zone)


def _bounded(instants: pl.Series) -> pl.Series:
    inside = instants.is_between(_EARLIEST, _LATEST)
    return instants if inside.all() else instants.set(~inside, None)


def _localise(local: pl.Series, zone: str) -> pl.Series:
    """Naive local times as UTC; null only where the local time is null."""

    def in_zone(naive: pl.Series) -> pl.Series:
        zoned = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        return zoned.dt.convert_time_zone("UTC")

    instants = in_zone(local)
    if instants.null_count() == local.null_count():
        return instants
    # The offset in force a day earlier is the one before the gap; no zone ever skipped more than one day.
    day = timedelta(days=1)
    return instants.zip_with(instants.is_not_null(), in_zone(local - day) + day)


def _naive(text: pl.Series) -> pl.Series:
    return text.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)


def _microseconds(fraction: pl.Expr) -> pl.Expr:
    """Digits behind the point as microseconds; none at all is zero."""
    return fraction.fill_null("").str.slice(0, 6).str.pad_end(6, "0").cast(pl.Int64)


def _duration(microseconds: pl.Expr) -> pl.Expr:
    return microseconds.cast(pl.Duration("us"))


def _iso8601(text: pl.Series, zone: str) -> pl.Series:
    parts = text.str.extract_groups(_ISO8601).struct.unnest()
    # RFC 3339 has no fraction of a minute.
    complete = pl.col("second").is_not_null() | pl.col("fraction").is_null()
    clock = pl.concat_str(pl.col("date"), pl.lit("T"), pl.col("minute").fill_null("00:00"), pl.col("second").fill_null(":00"))
    parts = parts.with_columns(local=_naive(parts.select(pl.when(complete).then(clock)).to_series()))
    if parts["offset"].null_count() > parts["local"].null_count():
        local = _localise(parts["local"], zone)
    else:
        local = parts["local"].dt.replace_time_zone("UTC")
    absolute = pl.col("local").dt.replace_time_zone("UTC") - _duration(_offset(pl.col("offset")))
    instant = pl.when(pl.col("offset").is_null()).then(pl.lit(local)).otherwise(absolute)
    return parts.select(instant + _duration(_microseconds(pl.col("fraction")))).to_series()


def _offset(text: pl.Expr) -> pl.Expr:
    """Z, +0200, +02:00 or +02 in microseconds; null for anything else."""
    digits = text.str.slice(1).str.replace(":", "", literal=True).str.pad_end(4, "0")
    hours = digits.str.slice(0, 2).cast(pl.Int64, strict=False)
    minutes = digits.str.slice(2).cast(pl.Int64, strict=False)
    size = pl.when((hours < 24) & (minutes < 60)).then((hours * 60 + minutes) * 60_000_000)
    return pl.when(text.str.starts_with("-")).then(-size).otherwise(size)


def _epoch(text: pl.Series, unit: int) -> pl.Series:
    parts = text.str.extract_groups(_EPOCH).struct.unnest()
    whole = pl.col("whole").cast(pl.Int64)
    # Checked before the multiplication, which would wrap around in silence.
    bounded = pl.when(whole <= (int(_LATEST.timestamp()) + 1) * (1_000_000 // unit)).then(whole)
    size = bounded * unit + _microseconds(pl.col("fraction")) * unit // 1_000_000
    signed = pl.when(pl.col("sign") == "-").then(-size).otherwise(size)
    return parts.select(signed.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")).to_series()


def _syslog(text: pl.Series, zone: str, reference: datetime) -> pl.Series:
    limit = (reference if reference.tzinfo else reference.replace(tzinfo=UTC)).astimezone(UTC) + timedelta(days=1)
    parts = text.str.extract_groups(_SYSLOG).struct.unnest()
    month = pl.col("month").str.to_lowercase().replace_strict(_names(_ENGLISH_MONTHS), default=None)
    clock = pl.concat_str(month, pl.lit("-"), pl.col("day").str.zfill(2), pl.lit("T"), pl.col("time"))
    clocks = parts.select(clock).to_series()
    fractions = parts.select(_duration(_microseconds(pl.col("fraction")))).to_series()
    # Zones behind UTC may still be in the year before, zones ahead of it already in the next one. The 29th of February
    # needs a leap year, and those may lie eight years apart.
    latest = limit.year + 1
    instants = pl.Series([None], dtype=pl.Datetime("us", "UTC")).new_from_index(0, len(text))
    for year in range(latest, latest - 11, -1):
        if year < latest - 2 and not isleap(year):
            continue
        candidates = _localise(_naive(f"{year:04d}-" + clocks), zone) + fractions
        instants = instants.zip_with(instants.is_not_null() | (candidates > limit).fill_null(False), candidates)
        if instants.null_count() == clocks.null_count():
            break
    return instants


def _text(text: pl.Series, months: Mapping[str, str], zone: str) -> pl.Series:
    parts = _plain(text).str.extract_groups(_TEXT).struct.unnest()
    hour, half = pl.col("hour").fill_null("00").cast(pl.Int64), pl.col("half")
    # 12 am is midnight and 12 pm is noon; 13 pm is nothing.
    afternoon = pl.when(hour.is_between(1, 12)).then(hour % 12 + 12 * (half == "pm").cast(pl.Int64))
    clock = pl.concat_str(
        pl.col("year"),
        pl.lit("-"),
        pl.coalesce("month", "month_first").replace_strict(months, default=None),
        pl.lit("-"),
        pl.coalesce("day", "day_second").str.zfill(2),
        pl.lit("T"),
        pl.when(half.is_null()).then(hour).otherwise(afternoon).cast(pl.String).str.zfill(2),
        pl.lit(":"),
        pl.col("minute").fill_null("00"),
        pl.lit(":"),
        pl.col("second").fill_null("00"),
    )
    return _localise(_naive(parts.select(clock).to_series()), zone)


def _strptime(text: pl.Series, pattern: str, zone: str) -> pl.Series:
    # An escaped percent sign begins no specifier.
    if re.search(r"%(?:[:#]*z|\+)", pattern.replace("%%", "")):
        return text.str.to_datetime(pattern, time_unit="us", time_zone="UTC", strict=False)
    return _localise(text.str.to_datetime(pattern, time_unit="us", strict=False), zone)


def _chrono(pattern: str) -> str:
    """Python's ".%f" means what chrono writes "%.f"."""
    return pattern.replace(".%f", "%.f")


def _translated(text: pl.Series) -> pl.Series:
    """French month and day names in English, abbreviations too."""
    text = _plain(text).str.replace_all(r"([a-z])\.", "$1")
    for french, english in ((_FRENCH_MONTHS, _ENGLISH_MONTHS), (_FRENCH_DAYS, _ENGLISH_DAYS)):
        for name, translation in zip(french, english, strict=True):
            text = text.str.replace_all(rf"\b(?:{'|'.join(_forms(name))})\b", translation)
    return text


def _plain(text: pl.Series) -> pl.Series:
    """Lower case without accents; non-breaking and repeated blanks as one blank."""
    return text.str.to_lowercase().str.normalize("NFKD").str.replace_all(r"\p{M}", "").str.replace_all(r"\s+", " ")


def _forms(name: str) -> list[str]:
    """A name and its abbreviations, the longest first."""
    return [name[:length] for length in range(len(name), _SHORTEST.get(name, 3) - 1, -1)]


def _names(months: tuple[str, ...]) -> Mapping[str, str]:
    """Every month name and abbreviation with its two digits."""
    return {form: f"{number:02d}" for number, name in enumerate(months, start=1) for form in _forms(name)}
