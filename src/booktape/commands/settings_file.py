"""The file booktape.toml in the current folder: settings for a recorder that runs for months.

    [record]
    symbols = ["BTCUSDT", "ETHUSDT"]
    every = 10
    out = "/srv/books"

A key is an option's name, such as `audit` or `rollover-at`. The command line and the environment take precedence. Only
`record` reads the file: other commands may be run in a folder that came from someone else, and so may the file in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from cyclopts import App, ArgumentCollection, Token
from cyclopts.config import Dict

from booktape.errors import UsageError
from booktape.processes import terminal
from booktape.store.toml_file import read_toml

FILE: Final = Path("booktape.toml")
_SYMBOLS: Final = "symbols"
_CHOICES: Final = {_SYMBOLS, "all", "quote"}
"""Three ways to choose symbols. If the command line gives any of them, none is read from the file."""


def apply(app: App, command: tuple[str, ...], options: ArgumentCollection) -> None:
    """Fill in missing options. Cyclopts calls this for each command. Raises UsageError and cyclopts' errors."""
    if command != ("record",) or not FILE.exists():
        return
    found = _load()
    # Positional arguments have no name that a key could match, so symbols are filled in here.
    arguments = {argument.name.lstrip("-").lower(): argument for argument in options}
    if any(arguments[name].tokens for name in _CHOICES):
        found = {key: value for key, value in found.items() if key not in _CHOICES}
    symbols = found.pop(_SYMBOLS, [])
    if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
        raise UsageError(f'{FILE}: {_SYMBOLS} is not a list of texts, such as ["BTCUSDT"].')
    for index, symbol in enumerate(symbols):
        token = Token(keyword=_SYMBOLS, value=symbol, source=str(FILE), index=index)
        arguments[_SYMBOLS].append(token)
    for key, value in found.items():
        argument = arguments.get(key.lower().replace("_", "-"))
        if isinstance(value, list) and argument and not argument.token_count()[1]:
            raise UsageError(
                f"{FILE}: {key} is a list, but takes only one value. Leave the brackets out."
            )
    Dict(found, source=str(FILE), use_commands_as_keys=False)(app, command, options)
    terminal.write_to_stderr(f"Using the settings in {FILE.absolute()}.")


def _load() -> dict[str, Any]:
    """The section for `record`. Raises UsageError."""
    found = read_toml(FILE).get("record", {})
    if not isinstance(found, dict):
        raise UsageError(
            f"{FILE}: record is not a section. Write [record], then a line for each option."
        )
    return dict(found)
