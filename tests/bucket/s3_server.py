"""A real S3 server on loopback, in a separate process: moto's, which `make bucket` installs."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.request import Request, urlopen

SERVER: Final = Path(__file__).parents[2] / ".venv-s3-server/bin/moto_server"

KEYS: Final = {
    "AWS_ACCESS_KEY_ID": "anyone",
    "AWS_SECRET_ACCESS_KEY": "a-word-that-no-log-may-hold",
    "AWS_REGION": "us-east-1",
}


@contextmanager
def serving() -> Iterator[int]:
    """The server's port, while it runs."""
    with tempfile.NamedTemporaryFile() as log:
        server = subprocess.Popen([SERVER, "-p", "0"], stdout=log, stderr=log)
        try:
            yield _port(server, Path(log.name))
        finally:
            server.kill()
            server.wait()


def _port(server: subprocess.Popen[bytes], log: Path) -> int:
    deadline_s = time.monotonic() + 180
    while time.monotonic() < deadline_s and server.poll() is None:
        if found := re.search(r"Running on http://127\.0\.0\.1:(\d+)", log.read_text()):
            return int(found[1])
        time.sleep(0.05)
    raise AssertionError(f"the server does not come up: {log.read_text()}")


def make_bucket(port: int, name: str) -> None:
    """A new, empty bucket."""
    with urlopen(Request(f"http://127.0.0.1:{port}/{name}", method="PUT")):
        pass
