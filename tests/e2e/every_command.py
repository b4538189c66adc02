"""Every command on one archive, as a user types it. A command that is not here fails `test_every_command.py`."""

from __future__ import annotations

import base64
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from e2e.commands import BOOKTAPE
from verify.small import build

Line: TypeAlias = Callable[[Path, Path], list[str | Path]]
"""The arguments, made from the archive and a folder to write to."""


def _sound(root: Path) -> Path:
    """Another archive, with nothing hostile in it."""
    build(root)
    return root


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


COMMANDS: Final[Mapping[str, Line]] = MappingProxyType(
    {
        "info": lambda root, _: [root],
        "verify": lambda root, _: [root, "--jobs", "1"],
        "rebuild": lambda root, out: [root, "--every", "1", "--jobs", "1", "--out", out / "new"],
        "export": lambda root, out: [
            *(root, "--format", "parquet", "--symbol", "BTCUSDT", "--out", out / "exported")
        ],
        "plot": lambda root, out: [
            *(root, "heatmap", "--symbol", "BTCUSDT", "--file", out / "plot.png")
        ],
        "record": lambda root, _: [
            *("BTCUSDT", "--exchange", "sim", "--duration", "1", "--out", root)
        ],
        "replay": lambda root, _: [root, "--port", "0", "--speed", "inf"],
        "merge": lambda root, out: [root, _sound(out / "sound"), "--out", out / "merged"],
        "ship": lambda root, out: [root, _folder(out / "bucket").as_uri()],
        "prune": lambda root, _: [root, "--keep-tape", "0"],
        "compact": lambda root, out: [root, "--out", out / "days"],
        "health": lambda _, __: ["http://127.0.0.1:9"],
        "view": lambda root, _: [root, "--web", "127.0.0.1:0"],
        # Reads nothing.
        "completion": lambda _, __: ["bash"],
        # Reads no archive, only a script of faults.
        "simulate": lambda root, _: ["--port", "0", "--faults", root / "faults.toml"],
    }
)

SERVERS: Final = frozenset({"replay", "simulate", "view"})
"""Commands that serve until they are stopped, or until a client has received everything."""

DEADLINE_S: Final = 120


_MEASURED: Final = """
import os, signal, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, setsigdef=[signal.SIGTERM])
signal.signal(signal.SIGTERM, signal.SIG_IGN)
_, status, usage = os.wait4(pid, 0)
print("peak", usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status) % 256)
"""
"""A small process in between: otherwise the memory of the test itself would count as its child's."""


class Done(NamedTuple):
    """A command that has ended. `peak_mib` is the highest memory use of it or of any of its processes."""

    code: int
    out: str
    err: str
    peak_mib: float


def run(name: str, root: Path, out: Path) -> Done:
    """Run a command to its end; the output of a server is read until it closes the connection."""
    line = [*BOOKTAPE, name, *map(str, COMMANDS[name](root, out))]
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", _MEASURED, *line],
            stdout=stdout,
            stderr=stderr,
            cwd=out,
            start_new_session=True,
        )
        try:
            if name in SERVERS:
                _listen(process, name, stdout.fileno())
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {DEADLINE_S} s: {line}") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        texts = []
        for file in (stdout, stderr):
            file.seek(0)
            texts.append(file.read().decode())
    err, _, peak = texts[1].rpartition("peak ")
    return Done(process.returncode, texts[0], err, int(peak) / 1024)


def _listen(process: subprocess.Popen[bytes], name: str, stdout: int) -> None:
    """Once the address is printed: read a replay to its end, ask a page all its questions, or stop a market at once."""
    until, address = time.monotonic() + DEADLINE_S, None
    while address is None:
        if process.poll() is not None:
            return
        assert time.monotonic() < until, f"{name} does not listen"
        text = os.pread(stdout, 1 << 16, 0).decode()
        address = re.search(r"(?:ws|Open http)://127\.0\.0\.1:(\d+)", text)
        time.sleep(0.02)
    if name == "view":
        _ask_all(int(address[1]))
        os.killpg(process.pid, signal.SIGTERM)
        return
    with socket.create_connection(("127.0.0.1", int(address[1])), DEADLINE_S) as client:
        key = base64.b64encode(bytes(16)).decode()
        client.sendall(
            "GET /stream?streams=btcusdt@depth@100ms HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        client.recv(1 << 16)
        if name == "simulate":
            os.killpg(process.pid, signal.SIGTERM)
        while client.recv(1 << 16):
            pass


def _ask_all(port: int) -> None:
    """Every answer of the page that shows a recording is either data or a sentence."""
    for question in (
        "overview",
        "history?symbol=BTCUSDT&start=0&end=1000&columns=10",
        "book?symbol=BTCUSDT&time=1970-01-01T00:00:05Z",
    ):
        page = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        page.request("GET", f"/recording/{question}")
        assert page.getresponse().status < http.HTTPStatus.INTERNAL_SERVER_ERROR, question
        page.close()
