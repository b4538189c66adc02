"""`booktape prune`: remove what need not be kept any longer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from booktape.commands.options import Kept, NamedPath, seconds
from booktape.errors import Damaged, DamagedArchive, UsageError
from booktape.processes.terminal import counted, write_line
from booktape.retention.limits import Limit
from booktape.retention.prune import PruneOutcome, Rules
from booktape.retention.prune import prune as prune_archive

_UNITS_BYTES: Final = {
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}


def kept(option: str, texts: Sequence[str]) -> Limit:
    """How much is kept: for a time such as 30d, up to a size such as 500GB, or both; `all` or nothing means no limit.

    Raises UsageError, including for two times or two sizes.
    """
    found = Limit()
    for text in texts:
        match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([MGT]i?B)", text)
        if text == "all" and len(texts) == 1:
            return found
        if match and found.size_bytes is None:
            found = replace(found, size_bytes=round(float(match[1]) * _UNITS_BYTES[match[2]]))
        elif not match and found.age_s is None and re.fullmatch(r"0|[0-9.]+[smhd]", text):
            found = replace(found, age_s=0.0 if text == "0" else seconds(option, text))
        else:
            raise UsageError(
                f"{option} {' '.join(texts)[:60]} is not valid. Write a time such as 30d, a size such as 500GB, "
                "one of each, or all."
            )
    return found


def prune(directory: NamedPath, *, keep: Kept = (), keep_tape: Kept = ()) -> int:
    """Remove old tapes, or whole old segments, once they are verified. May run beside a recorder.

    Files that are not verified, not yet in their bucket, or needed by the next start stay. Exit code 1 if anything is
    not verified or cannot be read. See docs/operations.md.

    Parameters
    ----------
    directory
        The archive's folder.
    keep
        How much of everything to keep: a time such as 365d, a size such as 500GB, or one of each.
    keep_tape
        How much of the tapes to keep, likewise. The rows stay, but without tapes they can no longer be proved, or
        rebuilt at another N.
    """
    rules = Rules(kept("--keep", keep), kept("--keep-tape", keep_tape))
    if rules.keep_all:
        raise UsageError("Say what to keep, such as: booktape prune data --keep-tape 30d")
    try:
        outcome = prune_archive(directory, rules)
    except Damaged as error:
        raise DamagedArchive(f"Nothing more is removed: {error}.") from error
    for name, why in outcome.stays.items():
        write_line(f"{name} stays: {why}.")
    write_line(describe(outcome))
    return int(bool(outcome.unverified))


def describe(outcome: PruneOutcome) -> str:
    """What was removed, in a sentence."""
    if not outcome.tapes and not outcome.segments:
        return "Nothing was removed."
    removed = [counted(len(outcome.tapes), "tape") + ", verified first"] if outcome.tapes else []
    if outcome.segments:
        removed.append(f"everything else of {counted(len(outcome.segments), 'segment')}")
    return f"Removed: {'; '.join(removed)}; {outcome.freed_bytes / 1e6:,.1f} MB."
