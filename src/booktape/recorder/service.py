"""What a recorder tells the systemd that started it (`Type=notify`): that it is recording, and that it is alive.

The protocol is one datagram per message (sd_notify(3)). Without systemd, NOTIFY_SOCKET is not set, and nothing is sent.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final

import structlog

from booktape.recorder.status import RecorderStatus

STARTING_S: Final = 0.2
"""How often to check whether the recording has begun."""

log = structlog.get_logger()


async def notify_service_manager(status: Callable[[], RecorderStatus | None]) -> None:
    """Send `READY=1` once the recording has begun, and signs of life before and after, until cancelled.

    The signs of life are sent by the loop that handles records: if it stands still, systemd restarts the recorder
    (`WatchdogSec=`), and the next start recovers what was not sealed. Known weakness: with several workers it is
    their parent's loop that sends them.
    """
    if "NOTIFY_SOCKET" not in os.environ:
        return
    # "Recommended is to send a keep-alive in half of that time."
    watchdog_s = int(os.environ.get("WATCHDOG_USEC", "0")) / 2e6
    while status() is None:
        _send("WATCHDOG=1")
        await asyncio.sleep(STARTING_S)
    _send("READY=1")
    while watchdog_s:
        _send("WATCHDOG=1")
        await asyncio.sleep(watchdog_s)


def _send(message: str) -> None:
    """Send a message, or log that it was lost: a manager that is restarting may have no socket for a moment."""
    path = os.environ["NOTIFY_SOCKET"]
    # "@" begins the name of an abstract socket, which is in no folder.
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.connect(address)
            sender.send(message.encode())
    except OSError as error:
        log.warning(
            "the service manager could not be notified", message=message, why=error.strerror
        )
