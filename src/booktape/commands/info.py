"""`booktape info`: a summary of an archive."""

from __future__ import annotations

from booktape import reader
from booktape.commands.damage import naming_damage
from booktape.commands.options import NamedPath
from booktape.reader import summary
from booktape.ship.backlog import describe_shipping
from booktape.store.layout import Layout
from booktape.terminal import console, write_line


def info(directory: NamedPath) -> int:
    """Show what is in an archive: symbols, time covered, gaps and their reasons, rows, bytes.

    Exit code 1 when a file is damaged: it is named, and all others are shown.

    Parameters
    ----------
    directory
        The archive's folder.
    """
    recording = reader.open(directory, unsealed=False)
    with naming_damage(recording):
        console().print(summary.render(summary.summarize(directory, recording)))
    for line in describe_shipping(Layout(directory)):
        write_line(line)
    return int(bool(recording.damaged))
