"""Processes that work for us end when we do: in time, at an error, at Ctrl-C, at a `kill -9`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from textwrap import dedent

import pytest

from booktape.errors import WorkerFailed
from booktape.process_pool import process_pool

FOREVER = """
    import os, threading
    from booktape.process_pool import process_pool

    def work(number):
        if number:
            threading.Event().wait()

    def begin():
        os.write(1, b"begun\\n")

    if __name__ == "__main__":
        # One of the two is at work for ever, and one waits for something to do.
        with process_pool(2, work, [(0,), (1,)], begin) as futures:
            futures[1].result()
"""


def nothing() -> None:
    pass


def remember(word: str) -> None:
    os.environ["BOOKTAPE_TEST_WORD"] = word


def tell(number: int) -> tuple[int, str]:
    if number == 13:
        raise ValueError(number)
    return number, os.environ["BOOKTAPE_TEST_WORD"]


def wait_for_ever() -> None:
    threading.Event().wait()


def test_results_come_in_the_order_of_the_tasks() -> None:
    """From processes that were prepared, and none of them is ours."""
    tasks = [(number,) for number in range(20)]
    with process_pool(2, tell, tasks, remember, "hello") as futures:
        assert len(futures) == 20
        with pytest.raises(ValueError, match="13"):
            futures[13].result()
        results = [future.result() for n, future in enumerate(futures) if n != 13]
    assert results == [(number, "hello") for number in range(20) if number != 13]
    assert "BOOKTAPE_TEST_WORD" not in os.environ


def test_who_leaves_with_an_error_waits_for_nobody() -> None:
    """Tasks that would never end are left where they are."""
    with (
        pytest.raises(RuntimeError, match="enough"),
        process_pool(2, wait_for_ever, [()] * 5, nothing) as futures,
    ):
        raise RuntimeError("enough")
    assert not any(future.running() for future in futures)


def test_a_process_that_is_killed_is_an_error_of_ours() -> None:
    """The system does so when memory runs out. No result of it is waited for."""
    with (
        pytest.raises(WorkerFailed, match="fewer --jobs"),
        process_pool(2, os._exit, [(9,)], nothing) as futures,
    ):
        futures[0].result()


def heard() -> set[signal.Signals]:
    """What would interrupt this process."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    return {signal.SIGINT, signal.SIGTERM} - {*blocked}


def test_they_do_not_hear_ctrl_c() -> None:
    """They would each show where they were. We hear it as before."""
    with process_pool(1, heard, [()], nothing) as futures:
        assert futures[0].result() == {signal.SIGTERM}
    assert heard() == {signal.SIGINT, signal.SIGTERM}


def test_from_any_thread() -> None:
    """A notebook's, say."""
    results: list[object] = []

    def ask() -> None:
        with process_pool(1, tell, [(1,)], remember, "there") as futures:
            results.append(futures[0].result())

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join()
    assert results == [(1, "there")]


@pytest.mark.parametrize(
    ("sign", "to_all"), [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGKILL, False)]
)
def test_no_process_outlives_us(tmp_path: Path, sign: signal.Signals, to_all: bool) -> None:
    """However we end. At Ctrl-C the terminal tells all of them, and only we say so."""
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
    # Both pipes are theirs as well: this returns when the last of them is gone.
    _, err = ours.communicate()
    assert ours.returncode == -sign
    assert err.count("Traceback") == (sign is signal.SIGINT)
