"""Commands that change the lakehouse or write files."""

import difflib
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from lakehouse.cli.output import JsonOption, print_error, print_json, print_table
from lakehouse.cli.progress import ProgressObserver, counted
from lakehouse.datasets import get_dataset
from lakehouse.errors import LakehouseError, UsageError
from lakehouse.settings import Settings, load_settings

DatasetArgument = Annotated[str, typer.Argument(help="Dataset: access_logs, api_logs, or one of your own.", show_default=False)]
SiteOption = Annotated[str | None, typer.Option(help="Site (tenant) that the inputs belong to; or {site} in the path.")]
SourceOption = Annotated[str | None, typer.Option(help="Name that keeps apart inputs with equal bytes; or {source} in the path.")]
FormatOption = Annotated[
    str | None,
    typer.Option(help="A format's name, the server's own log format string, or a regular expression; default: detected."),
]


def load(
    dataset: DatasetArgument,
    inputs: Annotated[
        list[str],
        typer.Argument(help="Files, folders, patterns (*, **, {site}, {source}), local or s3://.", show_default=False),
    ],
    site: SiteOption = None,
    source: SourceOption = None,
    format: FormatOption = None,
    final: Annotated[bool, typer.Option("--final", help="The inputs are complete: a last line without newline counts.")] = False,
    replace: Annotated[list[str] | None, typer.Option(help="Take this input's rows out in the same commit.")] = None,
    replace_day: Annotated[
        str | None, typer.Option(help="Take out all rows of this day of the sites loaded, in the same commit.")
    ] = None,
    reparse: Annotated[bool, typer.Option("--reparse", help="Parse inputs again that are already loaded.")] = False,
    max_rejects: Annotated[float | None, typer.Option(min=0, max=1, help="Share of lines that may be unreadable.")] = None,
    commit_every: Annotated[int | None, typer.Option(min=1, help="Commit after so many inputs; default: all at once.")] = None,
    json: JsonOption = False,
) -> None:
    """Load inputs into a dataset, exactly once."""
    from lakehouse.inputs import find_inputs
    from lakehouse.load import Loader, Request
    from lakehouse.load_options import Options

    settings = load_settings()
    chosen = get_dataset(dataset, settings.datasets_folder)
    _check_site(site)
    options = Options(site, source, format, final, reparse, settings["max_rejects"] if max_rejects is None else max_rejects)
    found = find_inputs(inputs, settings)
    replaced = _resolve_inputs(settings, dataset, replace or [])
    request = Request(found, options, replaced, _day(replace_day), commit_every)
    with ProgressObserver(found) as observer:
        report = Loader(settings, chosen, observer, observer.computed).run(request)
    _print_report(report, json)


def unload(
    dataset: DatasetArgument,
    inputs: Annotated[
        list[str],
        typer.Argument(help="Ids, paths or file names, as `lakehouse inputs` lists them.", show_default=False),
    ],
    json: JsonOption = False,
) -> None:
    """Take the rows of inputs out again."""
    from lakehouse.load import Loader, Request

    settings = load_settings()
    chosen = get_dataset(dataset, settings.datasets_folder)
    ids = _resolve_inputs(settings, dataset, inputs)
    with ProgressObserver([]) as observer:
        report = Loader(settings, chosen, observer, observer.computed).run(Request(replace=ids))
    if json:
        print_json({"unloaded": list(ids), "rows_removed": report.rows_removed, "loads": list(report.load_ids)})
    else:
        print(f"{len(ids)} input{'s' if len(ids) != 1 else ''} taken out of {dataset}: {report.rows_removed:,} rows")


def watch(
    dataset: DatasetArgument,
    inputs: Annotated[list[str], typer.Argument(help="Logs that are being written; files or patterns.", show_default=False)],
    every: Annotated[str, typer.Option(help="Time between rounds, as 30s, 5m or 1h.")] = "60s",
    site: SiteOption = None,
    source: SourceOption = None,
    format: FormatOption = None,
    json: JsonOption = False,
) -> None:
    """Load the new lines of logs for ever.

    Their rotation is followed. Ctrl-C or SIGTERM ends the watch between two rounds.
    """
    from lakehouse.load_options import Options
    from lakehouse.watch import Watch, stopped_by_signals

    settings = load_settings()
    chosen = get_dataset(dataset, settings.datasets_folder)
    seconds = _seconds(every)
    if not seconds:
        raise UsageError(f"--every {every} leaves no time between rounds: give at least 1s")
    _check_site(site)
    options = Options(site, source, format, max_rejects=settings["max_rejects"])
    with stopped_by_signals() as stop:
        Watch(settings, chosen, inputs, options, _WatchPrinter(dataset, options, every, json)).run(seconds, stop)


@dataclass(frozen=True)
class _WatchPrinter:
    """Prints what a watch does, each piece at once: the reader of a pipe waits for it.

    Args:
        dataset, options, every: as the command was given them.
        as_json: for programs.
    """

    dataset: str
    options: Any
    every: str
    as_json: bool

    def loaded(self, report: Any) -> None:
        """A load that has added rows."""
        if report.load_ids and self.as_json:
            _print_report(report, as_json=True)
        elif report.load_ids:
            print(f"{datetime.now():%Y-%m-%d %H:%M:%S} {sum(outcome.rows for outcome in report.outcomes):,} rows")
        sys.stdout.flush()

    def failed(self, error: LakehouseError) -> None:
        """An error that may pass."""
        print_error(f"{error}; trying again in {self.every}", type(error).__name__, self.as_json)
        sys.stdout.flush()

    def left_alone(self, log: Any, files: Sequence[Any]) -> None:
        """Files that are not loaded, and the command that would load them."""
        names = {"--site": log.field("site") or self.options.site, "--source": log.field("source") or self.options.source}
        given = [word for option in {**names, "--format": self.options.format}.items() if option[1] for word in option]
        locations = [found.location for found in files]
        command = shlex.join(["lakehouse", "load", self.dataset, *locations, *given])
        message = f"left alone, since nothing of it was ever loaded: {', '.join(locations)}; if you want it: {command}"
        if self.as_json:
            print_json({"left_alone": locations, "message": message})
        else:
            print(f"lakehouse: {message}", file=sys.stderr)
        sys.stdout.flush()


def sample(
    dataset: Annotated[str, typer.Argument(help="access_logs or api_logs.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write to.", show_default=False)],
    days: Annotated[int, typer.Option(min=1, help="Days, the last one being yesterday or --end.")] = 14,
    rows: Annotated[int, typer.Option(min=1, help="Lines of all days together.")] = 100_000,
    site: Annotated[str, typer.Option(help="Site; other sites have other traffic.")] = "demo",
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 1,
    end: Annotated[str | None, typer.Option(help="Last day, as 2026-11-21; default: yesterday.")] = None,
    json: JsonOption = False,
) -> None:
    """Write sample logs, the same for the same seed."""
    from lakehouse.sample import write_sample

    last = _day(end) or (datetime.now(UTC) - timedelta(days=1)).date()
    with counted("days", "written") as count:
        paths = write_sample(dataset, out, days, rows, site, seed, last, count=count)
    if json:
        print_json([str(path) for path in paths])
    else:
        print(f"{len(paths)} files in {out}: lakehouse load {dataset} {out} --site {site}")


def cleanup(
    dataset: DatasetArgument,
    older_than: Annotated[str, typer.Option(help="Spare what is younger, as 30m or 24h.")] = "24h",
    json: JsonOption = False,
) -> None:
    """Delete what killed loads and old snapshots left over."""
    from lakehouse.maintain import clean_up

    settings = load_settings()
    chosen, limit = get_dataset(dataset, settings.datasets_folder), timedelta(seconds=_seconds(older_than))
    with counted("tables", "cleaned up") as count:
        cleaned = clean_up(settings, chosen, limit, count)
    if json:
        print_json(asdict(cleaned))
    else:
        done = f"{len(cleaned.loads)} killed loads given up, {cleaned.snapshots} expired snapshots cleared"
        print(f"{cleaned.files} files deleted; {done}")


def rollups(
    dataset: DatasetArgument,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Compute every day anew, as after writes by other programs.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Bring rollups up to date; loads do so themselves."""
    from lakehouse.catalog import open_catalog
    from lakehouse.current import publish_dataset
    from lakehouse.reports import update_reports
    from lakehouse.rollups import update_rollups

    settings = load_settings()
    catalog, whose = open_catalog(settings), get_dataset(dataset, settings.datasets_folder)
    with counted("days", "computed") as count:
        updated = update_rollups(catalog, settings, whose, rebuild, count)
    update_reports(catalog, settings, whose)
    publish_dataset(catalog, settings, whose)  # with a new zone, views change as rollups do
    if json:
        print_json([asdict(rollup) for rollup in updated])
    else:
        print_table(("rollup", "days computed"), ((rollup.name, len(rollup.days)) for rollup in updated), ("days computed",))


def views(
    wait: Annotated[str, typer.Option(help="Wait so long for a catalog or a Trino that is starting, as 30s or 15m.")] = "0s",
    json: JsonOption = False,
) -> None:
    """Make the datasets' tables, and their views in Trino; may run again."""
    from lakehouse.patience import patiently
    from lakehouse.views import make_views

    settings = load_settings()
    made = patiently(_seconds(wait), lambda: make_views(settings))
    if json:
        print_json(made)
    else:
        print(f"{len(made)} views in Trino's {settings['trino.catalog']}.{settings['namespace']}")


def config(json: JsonOption = False) -> None:
    """Show the settings in force and where each came from."""
    rows = load_settings().masked()
    if json:
        print_json({name: {"value": value, "source": source} for name, value, source in rows})
    else:
        print_table(("setting", "value", "from"), rows)


def _seconds(text: str) -> float:
    """A duration such as 30s, 5m, 24h or 2d in seconds; raises UsageError."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if match is None:
        raise UsageError(f"{text!r} is not a duration: write it as 30s, 5m, 24h or 2d")
    return float(match[1]) * units[match[2]]


def _check_site(site: str | None) -> None:
    if site is not None and not site.strip():
        raise UsageError("--site is blank: give the site's name")


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a day: write it as 2026-11-21") from error


def _resolve_inputs(settings: Settings, dataset: str, names: list[str]) -> tuple[str, ...]:
    """Ids of the loaded inputs that names stand for; raises UsageError for none or several."""
    if not names:
        return ()
    from lakehouse.inputs import display_name
    from lakehouse.reading import Reader

    records = Reader(settings).inputs(dataset)
    ids: list[str] = []
    for name in names:
        matches = [
            record for record in records
            if name in (record.id, record.location) or record.location in (str(Path(name).absolute()),)
        ] or [record for record in records if display_name(record.location) == name]  # fmt: skip
        if not matches:
            near = difflib.get_close_matches(name, [display_name(record.location) for record in records], 1)
            hint = f"did you mean {near[0]}?" if near else f"see: lakehouse inputs {dataset}"
            raise UsageError(f"no input {name} is loaded into {dataset}: {hint}")
        if len(matches) > 1:
            listed = ", ".join(f"{record.id} ({record.site}, {record.location})" for record in matches)
            raise UsageError(f"{name} stands for {len(matches)} inputs of {dataset}: name one by its id: {listed}")
        ids.append(matches[0].id)
    return tuple(dict.fromkeys(ids))


def _print_report(report: Any, as_json: bool) -> None:
    from lakehouse.inputs import display_name

    if as_json:
        print_json(
            {
                "inputs": [
                    {
                        "location": outcome.found.location,
                        "status": outcome.status,
                        "site": outcome.site,
                        "source": outcome.source,
                        "id": outcome.record.id if outcome.record else None,
                        "lines": outcome.lines,
                        "rows": outcome.rows,
                        "known_rejects": outcome.known_rejects,
                        "unknown_rejects": outcome.unknown_rejects,
                        "pending_bytes": outcome.pending,
                        "read": outcome.read,
                    }
                    for outcome in report.outcomes
                ],
                "loads": list(report.load_ids),
                "rows_added": sum(outcome.rows for outcome in report.outcomes if outcome.changes),
                "rows_removed": report.rows_removed,
            }
        )
        return
    shown = [outcome for outcome in report.outcomes if outcome.changes or outcome.pending or len(report.outcomes) <= 20]
    rows = [
        (
            display_name(outcome.found.location), outcome.site, outcome.status, outcome.rows,
            outcome.unknown_rejects, outcome.known_rejects, _remark(outcome),
        )
        for outcome in shown
    ]  # fmt: skip
    print_table(("input", "site", "status", "rows", "rejects", "no records", ""), rows, ("rows", "rejects", "no records"))
    quiet = len(report.outcomes) - len(shown)
    if quiet:
        print(f"... and {quiet:,} inputs with nothing new")


def _remark(outcome: Any) -> str:
    if outcome.pending:
        return f"an unfinished last line ({outcome.pending:,} bytes) waits for its newline"
    if outcome.status == "unchanged":
        return f"nothing new since load {outcome.record.load_id}" if outcome.record else "nothing new"
    if outcome.status == "old copy":
        return f"an old copy of {outcome.record.location}"
    if outcome.status == "empty":
        return "there is nothing in it yet"
    return ""


COMMANDS = (load, unload, watch, rollups, views, sample, cleanup, config)
