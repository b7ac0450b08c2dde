"""The application: all commands, and how errors become messages and exit codes (docs/errors.md)."""

import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Never

import typer

import lakehouse
from lakehouse.cli import publish_command, read_commands, write_commands
from lakehouse.cli.output import print_error
from lakehouse.errors import LakehouseError

app = typer.Typer(
    name="lakehouse",
    help="Raw logs in, daily Iceberg partitions and SQL out; nothing lost, nothing counted twice.",
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (*write_commands.COMMANDS, *read_commands.COMMANDS, *publish_command.COMMANDS):
    app.command()(command)


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(f"lakehouse {lakehouse.__version__}")
        raise typer.Exit


# Typer carries its own copy of click from some version on: take its base error from what it does export.
_ClickError: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    # Most objects are modules and live to the end (some 200,000): looking for garbage among them costs a tenth of a second.
    gc.set_threshold(500_000, 50, 50)
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    as_json = "--json" in words
    try:
        code = app(words, prog_name="lakehouse", standalone_mode=False)
        if code == INTERRUPTED:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else DONE
    except typer.Exit as stop:
        return stop.exit_code
    except _ClickError as error:
        print_error(_with_hint(error), "UsageError", as_json)
        return WRONG_USAGE
    except LakehouseError as error:
        print_error(str(error), type(error).__name__, as_json)
        return error.exit_code
    except KeyboardInterrupt:
        print_error("interrupted; what was not committed yet is as if it never happened", "Interrupted", as_json)
        return INTERRUPTED


def _with_hint(error: Any) -> str:
    """A complaint about arguments, and where to read which there are."""
    message = str(error.format_message()).rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{message}: see {context.command_path} --help" if context else message


def run(command: Callable[[], int] = main) -> Never:
    """Run a command as this process, and end with its exit code.

    Python is not taken down: a thread of a library that still lets go of a Python object by then aborts the process
    (https://github.com/apache/arrow/issues/34314), and a load that is committed would count as failed.
    """
    try:
        code = command()
        sys.stdout.flush()
    except BrokenPipeError:
        code = FAILED
    except OSError as error:
        if error.filename is not None:
            raise
        print_error(f"standard output cannot be written: {error.strerror}", "StorageError", as_json=False)
        code = FAILED
    sys.stderr.flush()
    os._exit(code)
