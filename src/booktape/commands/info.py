"""`booktape info`: a summary of an archive."""

from __future__ import annotations

from pathlib import Path

from booktape import reader
from booktape.commands.archives import naming_damage
from booktape.commands.options import NamedArchive
from booktape.processes.terminal import console, write_line
from booktape.reader import summary
from booktape.reader.archive_files import ArchiveFiles
from booktape.ship.backlog import describe_shipping
from booktape.store.layout import Layout


def info(directory: NamedArchive) -> int:
    """Show what is in an archive: symbols, time covered, gaps and their reasons, rows, bytes.

    Exit code 1 if a file is damaged: that file is named, and all others are shown.

    Parameters
    ----------
    directory
        The archive's folder, or its address such as s3://bucket/prefix.
    """
    archive = ArchiveFiles.find(directory, unsealed=False)
    recording = reader.Recording(archive)
    with naming_damage(recording):
        console().print(summary.render(summary.summarize(archive, recording)))
    if not archive.is_bucket:
        for line in describe_shipping(Layout(Path(archive.root))):
            write_line(line)
    return int(bool(recording.damaged))
