"""Sample logs: realistic, of any size, and the same bytes for the same arguments on every machine."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

from lakehouse.errors import DatasetError, StorageError, UsageError
from lakehouse.observer import Count, count_silently
from lakehouse.sample import access_logs, api_logs
from lakehouse.sample.draws import allocate

FILE_NAMES = {"access_logs": "access.log", "api_logs": "api.log"}
# Monday to Sunday: what a weekend leaves of a weekday's traffic.
_WEEK = (1.0, 1.03, 1.05, 1.02, 0.93, 0.48, 0.42)


def write_sample(
    dataset: str,
    out: Path,
    days: int,
    rows: int,
    site: str,
    seed: int,
    end: date,
    *,
    unique_addresses: int | None = None,
    unique_agents: int | None = None,
    unique_urls: int | None = None,
    response_time: bool = False,
    count: Count = count_silently,
) -> list[Path]:
    """Write one log file a day, named like `access.log-20261121`, and return the files in order.

    Args:
        dataset: `access_logs` (Apache combined format, UTC) or `api_logs`.
        out: folder of the files; made if missing.
        days: number of days, `end` being the last one.
        rows: lines of all days together, malformed ones included; a day that gets none has no file.
        site: name that goes into referrers; two sites have different traffic from the same seed.
        seed: any integer.
        end: the last day.
        unique_addresses: how many different client addresses appear; None: in proportion to `rows`. Like the next
            three, for access_logs only.
        unique_agents: how many different user agents appear.
        unique_urls: how many different URLs appear.
        response_time: append the response time in seconds, as nginx's `$request_time` prints it.
        count: is told of the days that are written.

    Raises:
        DatasetError: there is no sample of this dataset.
        UsageError: a number is impossible, or a file is already there.
        StorageError: the folder cannot be written.
    """
    if dataset not in FILE_NAMES:
        raise DatasetError(f"There is no sample of {dataset!r}: choose one of {', '.join(FILE_NAMES)}.")
    if days < 1 or rows < 1:
        raise UsageError(f"A sample of {rows} rows in {days} days is impossible: give at least 1 of each.")
    first = _first_day(days, end)
    calendar = [first + timedelta(days=number) for number in range(days)]
    counts = allocate(rows, [_WEEK[day.weekday()] for day in calendar])
    write: Callable[[date, int], Iterator[bytes]]
    if dataset == "access_logs":
        write = access_logs.Traffic(
            rows,
            site,
            seed,
            unique_addresses=unique_addresses,
            unique_agents=unique_agents,
            unique_urls=unique_urls,
            response_time=response_time,
        ).blocks
    else:
        if (unique_addresses, unique_agents, unique_urls, response_time) != (None, None, None, False):
            raise UsageError(f"A sample of {dataset} has no addresses, agents, URLs or response times to choose.")
        write = api_logs.Calls(site, seed).blocks
    files = [(out / f"{FILE_NAMES[dataset]}-{day:%Y%m%d}", day, count) for day, count in zip(calendar, counts, strict=True)]
    return _write_files(out, [file for file in files if file[2]], write, count)


def _first_day(days: int, end: date) -> date:
    try:
        return end - timedelta(days=days - 1)
    except OverflowError as error:
        raise UsageError(f"{days} days before {end} is before the first year: give fewer days.") from error


def _write_files(
    out: Path, files: Sequence[tuple[Path, date, int]], write: Callable[[date, int], Iterator[bytes]], count: Count
) -> list[Path]:
    taken = [path for path, _, _ in files if path.exists()]
    if taken:
        raise UsageError(f"{taken[0]} is already there: give another folder, or remove it first.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for done, (path, day, rows) in enumerate(files, 1):
            # Renamed when whole, so that a file that is there can be trusted to be complete.
            partial = path.with_name(f".{path.name}.partial")
            try:
                with partial.open("wb") as file:
                    file.writelines(write(day, rows))
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
            count(str(day), done, len(files))
    except OSError as error:
        raise StorageError(f"The sample cannot be written to {out}: {error.strerror or error}.") from error
    return [path for path, _, _ in files]
