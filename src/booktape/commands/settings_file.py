"""The file booktape.toml in the current folder: settings of a recorder, for those that run it for months.

    [record]
    symbols = ["BTCUSDT", "ETHUSDT"]
    every = 10
    out = "/srv/books"

A key is an option's name, `audit` or `rollover-at`. What the command line or the environment gives comes before it. Only
`record` reads the file: other commands are run beside archives that came from others, and so may such a file have.
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
"""Three ways to choose symbols. Whichever the command line gives, none of them is read from the file."""


def apply(app: App, command: tuple[str, ...], options: ArgumentCollection) -> None:
    """Fill in what is not given. Cyclopts calls this for each command. Raises UsageError, and what cyclopts raises."""
    if command != ("record",) or not FILE.exists():
        return
    found = _load()
    # Its positional arguments have no name that a key could match, so symbols are filled in here.
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
                f"{FILE}: {key} is a list, and takes one value. Leave the brackets out."
            )
    Dict(found, source=str(FILE), use_commands_as_keys=False)(app, command, options)
    terminal.write_to_stderr(f"Settings of {FILE.absolute()} are used.")


def _load() -> dict[str, Any]:
    """The section of `record`. Raises UsageError."""
    found = read_toml(FILE).get("record", {})
    if not isinstance(found, dict):
        raise UsageError(
            f"{FILE}: record is no section. Write [record], then a line for each option."
        )
    return dict(found)
