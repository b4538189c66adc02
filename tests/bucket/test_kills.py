"""`kill -9` at each step of shipping: everything visible is whole, and the next start puts the rest, once."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import signal
import threading
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import Queue
from typing import Final

import pytest

from booktape.ship.bucket import Bucket
from booktape.ship.receipts import read_receipts
from booktape.ship.shipper import Shipper
from booktape.store.layout import Layout
from bucket.faulty_proxy import Fault, FaultyProxy, Request
from bucket.segments import assert_whole, expected, objects, seal

FORKSERVER: Final = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["booktape.ship.bucket", "booktape.ship.shipper"])

SEGMENTS: Final = 2
REQUESTS: Final = SEGMENTS * 6 + 6
"""Requests of an undisturbed run: a put for each object, and a check before those of the first segment."""

pytestmark = pytest.mark.long


def ship(root: Path, address: str, environment: dict[str, str]) -> None:
    """Ship the sealed segments, in a separate process."""
    os.environ.update(environment)

    async def run() -> None:
        shipper = Shipper(Layout(root), Bucket("--ship", address))
        await shipper.end()
        await shipper.run()

    asyncio.run(run())


class Killer:
    """Kills a process at a given number of requests to a proxy, before or after the server carried out the last."""

    def __init__(self, proxy: FaultyProxy, number: int, *, before: bool) -> None:
        self._number = number
        self._seen = 0
        self._lock = threading.Lock()
        self._pid: Queue[int] = Queue()
        proxy.choose = self._before if before else lambda *_: Fault.NONE
        proxy.after_request = (lambda _: None) if before else self._after

    def aim_at(self, process: BaseProcess) -> None:
        """The process to be killed."""
        assert process.pid is not None
        self._pid.put(process.pid)

    def _count(self) -> bool:
        with self._lock:
            self._seen += 1
            if self._seen == self._number:
                # Its first request may come before its parent continues.
                os.kill(self._pid.get(timeout=60), signal.SIGKILL)
            return self._seen >= self._number

    def _before(self, _method: str, _path: str) -> Fault:
        return Fault.REFUSED if self._count() else Fault.NONE

    def _after(self, _request: Request) -> None:
        self._count()


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_kill_at_any_request_loses_and_duplicates_nothing(
    proxy: FaultyProxy, address: str, s3_port: int, tmp_path: Path, before: bool
) -> None:
    """At each request in turn; the next process finishes."""
    archive = tmp_path / "archive"
    for number in range(SEGMENTS):
        seal(archive, number)
    wanted = expected(archive)
    environment = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
    killed = 0
    for number in range(1, REQUESTS + 1):
        root, prefix = tmp_path / str(number), f"{address}/{number}"
        shutil.copytree(archive, root)
        killer = Killer(proxy, number, before=before)
        process = FORKSERVER.Process(target=ship, args=(root, prefix, environment))
        process.start()
        killer.aim_at(process)
        process.join(180)
        killed += process.exitcode == -signal.SIGKILL
        found = assert_whole(prefix, s3_port, wanted)
        noted = {segment.name for segment in read_receipts(Layout(root), prefix)}
        visible = {name.rpartition("/")[2].removesuffix(".json") for name in found}
        assert noted <= visible, "a receipt is written after its manifest is there"
        proxy.choose, proxy.after_request = lambda *_: Fault.NONE, lambda _: None
        proxy.requests.clear()
        ship(root, prefix, environment)
        assert objects(prefix, s3_port) == wanted
        sent = Counter(each.path for each in proxy.requests if each.method == "PUT")
        again = [name for name in found if any(path.endswith(_quoted(name)) for path in sent)]
        assert not again, "what was there is not sent again"
    assert killed == REQUESTS


def _quoted(name: str) -> str:
    return name.replace("%", "%25").replace("=", "%3D")
