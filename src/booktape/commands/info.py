"""`booktape info`: what is there."""

from __future__ import annotations

from booktape import reader
from booktape.commands.damage import naming_damage
from booktape.commands.options import NamedPath
from booktape.reader import summary as archive_info
from booktape.terminal import console


def info(directory: NamedPath) -> int:
    """What is in an archive: symbols, time covered, gaps and why, rows, bytes.

    Exit code 1 when a file is damaged: it is named, and all others are shown.

    Parameters
    ----------
    directory
        The archive's folder.
    """
    recording = reader.open(directory, unsealed=False)
    with naming_damage(recording):
        console().print(archive_info.render(archive_info.summarize(directory, recording)))
    return int(bool(recording.damaged))
