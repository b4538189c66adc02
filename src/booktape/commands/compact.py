"""`booktape compact`: a file for each day, instead of one for each segment."""

from __future__ import annotations

from booktape.commands.options import NamedPath
from booktape.errors import Damaged, DamagedArchive, NotRecorded
from booktape.processes.terminal import counted, write_line
from booktape.retention.compact import compact as compact_archive
from booktape.store.layout import Layout
from booktape.store.target import check_archive


def compact(directory: NamedPath, *, out: NamedPath) -> int:
    """Copy rows, gaps, checks and notes into an archive with a file for each day. Tapes are not copied.

    Each day is verified before it is copied. Days that were already copied are not copied again. Exit code 1 if a day
    is left out because something in it could not be verified. See docs/operations.md.

    Parameters
    ----------
    directory
        The archive's folder; nothing in it is changed.
    out
        The folder of the copy; continued if it exists.
    """
    if not (directory / "manifests").is_dir():
        raise NotRecorded(
            f"{directory} holds no sealed segment. Make one with: booktape record BTCUSDT"
        )
    check_archive("--out", Layout(out))
    try:
        outcome = compact_archive(directory, out, lambda name: write_line(f"{name}: copied."))
    except Damaged as error:
        raise DamagedArchive(f"{directory} cannot be copied: {error}.") from error
    for name, why in outcome.left_out.items():
        write_line(f"{name}: left out. {why}.")
    for name in outcome.young:
        write_line(f"{name}: not over yet.")
    write_line(
        f"{out}: {counted(len(outcome.days), 'day')} copied, {outcome.there:,} already there."
    )
    return int(bool(outcome.left_out))
