"""The command line.

The value of an option comes from the first of these that has it:

1. the command line: `--every 10`
2. the environment: `BOOKTAPE_EVERY=10`
3. for `record` alone, the file booktape.toml in the current folder: `every = 10` below `[record]`
4. its default, which `--help` shows.
"""

from __future__ import annotations

import os
import sys
from typing import Literal

from cyclopts import App, CycloptsError
from cyclopts.config import Env

from booktape import __version__
from booktape.commands import settings_file
from booktape.errors import BooktapeError, StoreError, UsageError
from booktape.processes import descriptors, terminal

_RECORD = "booktape record BTCUSDT ETHUSDT --every 10 --out data"

app = App(
    name="booktape",
    version=__version__,
    help_prologue=f"Example: {_RECORD}",
    help="Records Binance Spot order books that you can prove right.",
    config=(Env("BOOKTAPE_", command=False), settings_file.apply),
)


def _add(command: str, example: str, usage: str | None = None) -> None:
    """Add a command by its address. Its module is imported only when needed: importing all of them takes a second."""
    app.command(f"booktape.commands.{command}", help_prologue=f"Example: {example}", usage=usage)


_add("record:record", _RECORD, usage="booktape record SYMBOL... [OPTIONS]")
_add("simulate:simulate", "booktape simulate --port 8080 --symbols BTCUSDT --faults drop=0.01")
_add("simulate:replay", "booktape replay capture.jsonl.gz --speed 10")
_add("health:health", "booktape health --ready")
_add("info:info", "booktape info data")
_add("verify:verify", "booktape verify data --jobs 4")
_add("rebuild:rebuild", "booktape rebuild data --every 1 --symbol BTCUSDT --out fine")
_add(
    "merge:merge",
    "booktape merge first second --out both",
    usage="booktape merge ARCHIVE ARCHIVE... --out DIR",
)
_add("ship:ship", "booktape ship data s3://bucket/prefix")
_add("prune:prune", "booktape prune data --keep-tape 30d --keep 365d")
_add("compact:compact", "booktape compact data --out days")
_add("export:export", "booktape export data --format parquet --symbol BTCUSDT --out exported")
_add("plot:plot", "booktape plot data heatmap --symbol BTCUSDT --file heatmap.png")
_add("view:view", "booktape view data --web 127.0.0.1:8080")


def _import_all() -> None:
    """Import every command: help and shell scripts show the first sentence of each, which is in its module."""
    for name in app:
        app[name]


def completion(shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print the script with which a shell completes commands, options and file names.

    Parameters
    ----------
    shell
        The shell; docs/installation.md has the line for its start file.
    """
    _import_all()
    terminal.write_line(app.generate_completion(shell=shell))
    if shell == "zsh":
        # Its script names the command only if the shell finds the script as a file in its own search path.
        terminal.write_line("compdef _cyclopts_booktape booktape")


app.command(completion, help_prologue="Example: booktape completion bash")


def main() -> None:
    """Run the command line.

    Exit codes: 0 done, 1 the data that was verified, rebuilt, merged or read is not whole, 2 the user's mistake, 69
    nothing was recorded, 74 the disk failed, 75 something is not in its bucket yet or a bucket cannot be reached,
    78 --check found something.
    """
    descriptors.raise_limit()
    with terminal.connected():
        code = run(sys.argv[1:])
        if failure := terminal.stdout_failure():
            code = code or _fail(f"Cannot write to stdout: {failure}.", StoreError.exit_code)
        sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the command that these arguments ask for. Returns its exit code."""
    if arguments[:1] in ([], ["--help"], ["-h"]):
        _import_all()
    try:
        result = app(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as error:
        return _fail(str(error), UsageError.exit_code)
    except BooktapeError as error:
        return _fail(str(error), error.exit_code)
    except OSError as error:
        # The file that could not be opened is not at fault.
        if too_few := descriptors.used_up(error):
            return _fail(str(too_few), too_few.exit_code)
        if error.filename is None and not isinstance(error, PermissionError | NotADirectoryError):
            raise  # it does not concern a file, so there is no sentence for it
        return _fail(_sentence(error), StoreError.exit_code)
    return result if isinstance(result, int) else 0


def _sentence(error: OSError) -> str:
    """What the operating system refused, and for which file; the name of a file need not be valid text."""
    if error.filename is None:
        return f"A file cannot be used: {error}."
    name = os.fsencode(error.filename).decode(errors="backslashreplace")
    return f"{name} cannot be used: {error.strerror}."


def _fail(sentence: str, code: int) -> int:
    terminal.write_to_stderr(sentence)
    return code


if __name__ == "__main__":
    main()
