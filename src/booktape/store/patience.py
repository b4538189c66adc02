"""How long a disk without space is waited for: wherever booktape writes an archive, the same.

Space comes back: a log is rotated, somebody deletes a file. Whoever writes keeps what it has, waits
a second, and does the same again; after half a minute without success it gives up, with a sentence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

import structlog

from booktape.errors import WriteFailed

GRACE_S: Final = 30
"""How long one and the same work may fail."""

PAUSE_S: Final = 1.0
"""From one attempt to the next."""

_LOOK_UP_S: Final = 0.1
"""So often whoever waits in a thread of its own may be told to stop."""

log = structlog.get_logger()


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


def patiently(work: Callable[[], object]) -> Iterator[None]:
    """Do it, again and again if need be; yields while it waits. Raises WriteFailed in the end.

    Whoever does not want to wait any more may leave it there.
    """
    patience = Patience()
    while True:
        try:
            work()
        except WriteFailed as error:
            until_s = time.monotonic() + patience.pause_s(error)
        else:
            return
        while (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _LOOK_UP_S))
            yield


def insist(work: Callable[[], object]) -> None:
    """Do it `patiently`, with nothing else to do meanwhile."""
    for _ in patiently(work):
        pass
