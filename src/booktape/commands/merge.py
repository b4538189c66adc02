"""`booktape merge`: makes one archive from recordings of the same market."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from booktape.commands.options import NamedArchive, NamedPath, Positive, seconds
from booktape.errors import UsageError
from booktape.processes import terminal, tuning
from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.progress import progress_bar
from booktape.rerecord.merge import merge as merge_archives
from booktape.store.layout import Layout
from booktape.store.target import check_archive


def merge(
    *archives: Annotated[NamedArchive, Parameter(name="ARCHIVE")],
    out: NamedPath,
    every: Positive | None = None,
    segment: str = "1h",
) -> int:
    """Make one archive from several recordings of the same market: what one missed, another fills.

    Exit code 1 if a tape is damaged or lost: its segment is left out. See docs/merge.md.

    Parameters
    ----------
    archives
        Two or more recordings, in any order: their folders, or addresses such as s3://bucket/prefix; nothing in
        them is changed.
    out
        The folder for the result, which appears once it is complete.
    every
        N: one full snapshot every N updates of a symbol. If not given, the N that all recordings have.
    segment
        How long the segments of the result are; they end at round times.
    """
    if len(archives) < 2:  # noqa: PLR2004 one archive is merged with nothing
        raise UsageError(
            "Name two archives or more, such as: booktape merge first second --out both"
        )
    tuning.tune_interpreter()
    found = [ArchiveFiles.find(archive) for archive in archives]
    segment_s = seconds("--segment", segment)
    check_archive("--out", Layout(out))
    # Every tape is read twice.
    total = 2 * sum(tape.bytes for archive in found for tape in archive.tapes())
    with progress_bar("merging", total) as advance:
        outcome = merge_archives(found, out, every=every, segment_s=segment_s, advance=advance)
    for sentence in [*outcome.damaged, *outcome.removed]:
        terminal.write_to_stderr(sentence)
    for path in outcome.unsealed:
        terminal.write_to_stderr(f"{path} is not sealed, so it is left out.")
    segments = terminal.counted(outcome.segments, "segment")
    terminal.write_line(f"{out}: {segments} from {terminal.counted(len(archives), 'archive')}")
    return int(bool(outcome.damaged))
