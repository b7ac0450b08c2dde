"""The command that publishes plain Parquet."""

from dataclasses import asdict
from typing import Annotated

import typer

from lakehouse.cli.output import JsonOption, print_json
from lakehouse.cli.progress import counted
from lakehouse.cli.write_commands import DatasetArgument
from lakehouse.publish_options import FILE_NAME, Names, PublishOptions
from lakehouse.settings import load_settings


def publish(
    dataset: DatasetArgument,
    destination: Annotated[str, typer.Argument(help="A folder or an s3:// address, for this dataset alone.", show_default=False)],
    names: Annotated[Names, typer.Option(help="Column names as in the table, or as in the original log.")] = Names.snake,
    site: Annotated[str | None, typer.Option(help="Only this site; default: all sites in one file a day.")] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Only the newest so many days; older ones are deleted.")] = None,
    file_name: Annotated[str, typer.Option(help="Name of the file in each day's folder.")] = FILE_NAME,
    private: Annotated[bool, typer.Option("--private", help="Publish columns with personal data too.")] = False,
    json: JsonOption = False,
) -> None:
    """Write plain Parquet, a file a day, for tools without Iceberg."""
    from lakehouse.publish import Publisher

    options = PublishOptions(names, site, last, file_name, private)
    with counted("days", "published") as on_day:
        published = Publisher(load_settings(), dataset, destination, options, on_day).run()
    if json:
        print_json(asdict(published))
    else:
        counts = f"written: {len(published.written)}, deleted: {len(published.deleted)}, unchanged: {published.unchanged}"
        print(f"{published.address}: days {counts}")


COMMANDS = (publish,)
