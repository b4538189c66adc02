"""Worker processes end when we do: normally, at an error, at Ctrl-C, at a `kill -9`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from textwrap import dedent

import pytest

from booktape.processes import tuning
from booktape.processes.process_pool import process_pool

FOREVER = """
    import os, threading
    from booktape.processes.process_pool import process_pool

    def work():
        os.write(1, b"begun\\n")
        threading.Event().wait()

    if __name__ == "__main__":
        with process_pool(2) as pool:
            for future in [pool.submit(work), pool.submit(work)]:
                future.result()
"""


def wait_for_ever() -> None:
    threading.Event().wait()


def test_workers_are_other_processes_and_tune_the_interpreter_as_the_recorder_does() -> None:
    """There are as many as requested, and none of them is this process."""
    with process_pool(2) as pool:
        own = {pool.submit(os.getpid).result(), os.getpid()}
        assert len(own) == 2
        assert pool.submit(sys.getswitchinterval).result() == pytest.approx(tuning.LOCK_S)


def test_leaving_with_an_error_waits_for_no_task() -> None:
    """Tasks that would never end are abandoned."""
    futures: list[Future[None]] = []

    def leave() -> None:
        with process_pool(2) as pool:
            futures.extend(pool.submit(wait_for_ever) for _ in range(5))
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        leave()
    assert not any(future.running() for future in futures)


def heard() -> set[signal.Signals]:
    """The signals that would interrupt this process."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    return {signal.SIGINT, signal.SIGTERM} - {*blocked}


def test_workers_ignore_ctrl_c() -> None:
    """Otherwise each would print a traceback. This process receives it as before."""
    with process_pool(1) as pool:
        assert pool.submit(heard).result() == {signal.SIGTERM}
    assert heard() == {signal.SIGINT, signal.SIGTERM}


def test_a_pool_can_be_used_from_any_thread() -> None:
    """For example from that of a notebook."""
    results: list[object] = []

    def ask() -> None:
        with process_pool(1) as pool:
            results.append(pool.submit(abs, -1).result())

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join()
    assert results == [1]


@pytest.mark.parametrize(
    ("sign", "to_all"), [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGKILL, False)]
)
def test_no_process_outlives_us(tmp_path: Path, sign: signal.Signals, to_all: bool) -> None:
    """However this process ends. Ctrl-C goes to all of them, and only this process reports it."""
    script = tmp_path / "forever.py"
    script.write_text(dedent(FOREVER))
    ours = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert ours.stdout
    assert [ours.stdout.readline() for _ in range(2)] == ["begun\n"] * 2
    (os.killpg if to_all else os.kill)(ours.pid, sign)
    # The workers hold both pipes too: this returns when the last of them has ended.
    _, err = ours.communicate()
    assert ours.returncode == -sign
    assert err.count("Traceback") == (sign is signal.SIGINT)
