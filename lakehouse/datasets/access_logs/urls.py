"""The parts of a request target."""

import polars as pl

_ESCAPES = r"(?:%[0-9A-Fa-f]{2})+"
_AUTHORITY = r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*"

# Each step on a series of its own would cost more than the step.
_ENCODED = pl.arg_where(pl.col("text").str.contains("%", literal=True))
_RUNS = pl.col("text").str.extract_all(_ESCAPES).explode().drop_nulls().unique()


def split_target(target: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Path and query of request targets in any of the four forms of RFC 9112, section 3.2.

    Args:
        target: as logged; null where the request is malformed.

    Returns:
        The path without scheme and host, up to the first `?`, percent-decoded, and the raw text behind that `?` (null
        if there is none). The path of an absolute target that ends with its host is `/`; an authority (`CONNECT
        host:443`) has no path.
    """
    own = target.str.starts_with("/")
    if not own.all():
        target = pl.select(
            pl.when(own)
            .then(target)
            .when(target.str.contains(_AUTHORITY))
            .then(target.str.replace(_AUTHORITY, "").str.replace(r"^(?:$|(\?))", "/$1"))
            .when(~target.str.contains(r"^[^/?]*:[0-9]{1,5}$"))
            .then(target)
        ).to_series()
    path, query = target.str.splitn("?", 2).struct.unnest().get_columns()
    return percent_decode(path), query


def percent_decode(text: pl.Series) -> pl.Series:
    """Replace percent-encoded UTF-8 (RFC 3986, section 2.1).

    What is no UTF-8 and what would become a control character stays as it is, encoded: neither a broken client nor
    one that plants line ends or terminal escapes makes a value that cannot be printed.
    """
    rows = text.to_frame("text").select(_ENCODED).to_series()
    if rows.is_empty():
        return text
    encoded = text.gather(rows)
    # Runs of escapes are few, however many texts hold them. A run is replaced as a whole, because what is no UTF-8 in
    # a part of it may be in all of it; the longest first, because one may begin with another.
    runs = encoded.to_frame("text").select(_RUNS).to_series().to_list()
    decoded = {run: _decode(run) for run in sorted(runs, key=len, reverse=True)}
    return text.scatter(rows, encoded.str.replace_many(decoded, leftmost=True))


def _decode(run: str) -> str:
    data = bytes.fromhex(run.replace("%", ""))
    parts: list[str] = []
    begin = 0
    while begin < len(data):
        try:
            end = after = len(data)
            decoded = data[begin:].decode()
        except UnicodeDecodeError as error:
            end, after = begin + error.start, begin + error.end
            decoded = data[begin:end].decode()
        parts += [f"%{ord(character):02X}" if _is_control(character) else character for character in decoded]
        parts.append(run[3 * end : 3 * after])
        begin = after
    return "".join(parts)


def _is_control(character: str) -> bool:
    return character < " " or character == "\x7f"
