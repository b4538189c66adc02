"""`booktape info`: what is there."""

from __future__ import annotations

from pathlib import Path

from booktape import info as archive_info
from booktape.terminal import console


def info(directory: Path) -> None:
    """What is in an archive: symbols, time covered, gaps and why, rows, bytes.

    Parameters
    ----------
    directory
        The archive's folder.
    """
    console().print(archive_info.render(archive_info.survey(directory)))
