"""systemd gets the datagrams it expects: when a recorder starts recording, and that it is alive."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from booktape.recorder import service
from booktape.recorder.status import RecorderStatus

NOW = RecorderStatus(1, 1, (), 0, 0, 0.0, 0, 0, 0, "first")


@pytest.mark.parametrize("form", ["in a folder", "abstract"])
def test_ready_is_sent_when_the_recording_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str
) -> None:
    """Not before: units ordered after this one wait for it. Signs of life come before and after."""
    name = str(tmp_path / "notify") if form == "in a folder" else f"@{tmp_path.name}"
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    monkeypatch.setenv("WATCHDOG_USEC", "2000")
    monkeypatch.setattr(service, "STARTING_S", 0.0)
    statuses = iter([None, None])

    async def listen(manager: socket.socket) -> list[bytes]:
        notifying = asyncio.create_task(service.notify_service_manager(lambda: next(statuses, NOW)))
        async with asyncio.timeout(60):
            loop = asyncio.get_running_loop()
            messages = [await loop.sock_recv(manager, 100) for _ in range(6)]
        notifying.cancel()
        await asyncio.wait({notifying})
        return messages

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if name.startswith("@") else name)
        manager.setblocking(False)
        messages = asyncio.run(listen(manager))
    alive, ready = b"WATCHDOG=1", b"READY=1"
    assert messages == [alive, alive, ready, alive, alive, alive]


def test_without_a_watchdog_there_are_no_signs_of_life(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a watchdog nothing waits for them."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        asyncio.run(service.notify_service_manager(lambda: NOW))
        assert manager.recv(100) == b"READY=1"


def test_without_systemd_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task ends at once."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    asyncio.run(service.notify_service_manager(lambda: None))


def test_a_missing_service_manager_ends_no_recording(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The failure is logged: systemd itself may be restarted for an update."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none"))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    with capture_logs() as logged:
        asyncio.run(service.notify_service_manager(lambda: NOW))
    assert [line["event"] for line in logged] == ["the service manager could not be notified"]
