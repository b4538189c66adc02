"""File descriptors: as many as the system allows, and one sentence if those are too few.

A shell allows 256 (macOS) or 1,024 (most Linux systems) at first, and every process may raise that. So the limit is
raised at the start. A process that has used up its descriptors cannot open anything. That is not the file's fault, and
must never be reported as damage.
"""

from __future__ import annotations

import errno
import os
import resource
from typing import Final

from booktape.errors import TooFewDescriptors

OWN: Final = 48
"""Descriptors that any command may need: standard streams, the event loop, the files in use."""

_MAC_MAX: Final = 10_240
"""macOS calls its hard limit infinite and refuses more than this (OPEN_MAX of its sys/syslimits.h)."""


def raise_limit() -> None:
    """Raise the soft limit to what the system allows, for this process and those it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, _MAC_MAX):
        if _exceeds(soft, wanted):
            return
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):
            continue  # macOS calls its limit infinite: try the next one
        return


def require(count: int, what: str) -> None:
    """Raise TooFewDescriptors unless `count` can be open for `what`, such as "12 symbols"."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not _exceeds(soft, count):
        raise TooFewDescriptors(
            f"{what} need {count} open files and sockets, but this process may have {soft}. "
            f"Raise the limit with `ulimit -n {count}`, and start again."
        )


def used_up(error: BaseException) -> TooFewDescriptors | None:
    """The error to raise instead, if the system refused to open any further file."""
    if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
        return None
    if error.errno == errno.ENFILE:
        return TooFewDescriptors(
            f"{os.strerror(errno.ENFILE)}: all programs of this computer together have as many files "
            "open as it allows. End some of the programs, or raise the computer's limit, and start again."
        )
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return TooFewDescriptors(
        f"{os.strerror(errno.EMFILE)}: this process may have {soft} files and sockets open. "
        f"Raise the limit with `ulimit -n {max(2 * soft, 1_024)}`, and start again."
    )


def refuse_used_up(error: BaseException) -> None:
    """Raise TooFewDescriptors if that is the error's cause. To be called before an error is reported as damage."""
    if too_few := used_up(error):
        raise too_few from error


def _exceeds(limit: int, count: int) -> bool:
    """Whether a limit allows `count`."""
    if count == resource.RLIM_INFINITY:
        return limit == resource.RLIM_INFINITY
    return limit == resource.RLIM_INFINITY or limit >= count
