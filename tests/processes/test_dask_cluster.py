"""A cluster that cannot be used is reported in one sentence, soon."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from booktape.errors import SchedulerUnreachable, UsageError
from booktape.processes import dask_cluster
from booktape.processes.dask_cluster import dask_executor

pytest.importorskip("distributed")


@contextmanager
def server(greeting: bytes | None) -> Iterator[str]:
    """Something that listens but is no scheduler."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        kept = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                kept.append(connection)
                if greeting is not None:
                    connection.sendall(greeting)

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            serving.join()
            for connection in kept:
                connection.close()


@pytest.mark.parametrize("greeting", [None, b"SSH-2.0-OpenSSH_9.2\r\n", b"\0" * 64])
def test_a_server_that_is_no_scheduler_is_reported(
    greeting: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is silent or speaks another protocol: its address is in the sentence."""
    monkeypatch.setattr(dask_cluster, "ANSWER_WITHIN_S", 1)
    with server(greeting) as address, pytest.raises(SchedulerUnreachable) as raised:  # noqa: SIM117
        with dask_executor(address):
            pass
    assert f"No Dask scheduler answers at {address}" in str(raised.value)
    assert (raised.value.address, raised.value.exit_code) == (address, 2)


def test_an_address_at_which_nothing_listens_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same sentence."""
    monkeypatch.setattr(dask_cluster, "ANSWER_WITHIN_S", 1)
    with server(None) as address:
        pass
    with pytest.raises(SchedulerUnreachable, match=address), dask_executor(address):
        pass


def test_without_the_extra_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It names the extra."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(UsageError, match=r"pip install 'booktape\[dask\]'"),
        dask_executor("tcp://127.0.0.1:8786"),
    ):
        pass
