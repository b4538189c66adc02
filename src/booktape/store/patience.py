"""Waiting for a full disk, in the same way wherever booktape writes an archive.

Space comes back: a log is rotated, a file is deleted. So work that failed keeps its data, waits PAUSE_S and is
done again. After GRACE_S without success the error is raised.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from booktape.errors import WriteFailed

GRACE_S: Final = 30
"""How long the same work may fail."""

PAUSE_S: Final = 1.0
"""From one attempt to the next."""

_STOP_CHECK_S: Final = 0.1

log = structlog.get_logger()


class Stopped(Exception):
    """The caller does not want to wait for the work any more."""


def never() -> bool:
    """The `should_stop` of work that is always finished."""
    return False


class Patience:
    """For one piece of work, which can be done again after a WriteFailed."""

    def __init__(self) -> None:
        self._left_s: float = GRACE_S

    def pause_s(self, error: WriteFailed) -> float:
        """Seconds to wait before the next attempt. Raises the error when none would help."""
        if not error.may_pass or self._left_s <= 0:
            raise error
        log.warning(error.why, giving_up_in_s=round(self._left_s))
        self._left_s -= PAUSE_S
        return PAUSE_S


def patiently(work: Callable[[], object], should_stop: Callable[[], bool] = never) -> None:
    """Do it, again and again if need be. Raises WriteFailed in the end, Stopped while it waits."""
    patience = Patience()
    while True:
        try:
            work()
        except WriteFailed as error:
            until_s = time.monotonic() + patience.pause_s(error)
        else:
            return
        while (left_s := until_s - time.monotonic()) > 0:
            if should_stop():
                raise Stopped
            time.sleep(min(left_s, _STOP_CHECK_S))
