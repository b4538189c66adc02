"""Waiting for a full disk, in the same way wherever booktape writes an archive.

Space comes back: a log is rotated, a file is deleted. So work that failed keeps its data, waits PAUSE_S and is
repeated. After GRACE_S without success the error is raised.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

import structlog

from booktape.errors import WriteFailed

GRACE_S: Final = 30
"""How long the same work may keep failing."""

PAUSE_S: Final = 1.0
"""The pause between two attempts."""

_STOP_CHECK_S: Final = 0.1

T = TypeVar("T")
log = structlog.get_logger()


class Stopped(Exception):
    """`should_stop` was true before the work was finished."""


def never() -> bool:
    """The `should_stop` of work that is never stopped."""
    return False


class Patience:
    """The time left for one piece of work that can be repeated after a WriteFailed."""

    def __init__(self) -> None:
        self._left_s: float = GRACE_S

    def pause_s(self, error: WriteFailed) -> float:
        """Seconds to wait before the next attempt. Raises the error if another attempt is useless."""
        if not error.may_pass or self._left_s <= 0:
            raise error
        log.warning(error.why, giving_up_in_s=round(self._left_s))
        self._left_s -= PAUSE_S
        return PAUSE_S


def retry_while_full(work: Callable[[], T], should_stop: Callable[[], bool] = never) -> T:
    """Do the work, repeating it while the disk is full. Raises WriteFailed in the end, Stopped when stopped."""
    patience = Patience()
    while True:
        try:
            return work()
        except WriteFailed as error:
            until_s = time.monotonic() + patience.pause_s(error)
        while (left_s := until_s - time.monotonic()) > 0:
            if should_stop():
                raise Stopped
            time.sleep(min(left_s, _STOP_CHECK_S))
