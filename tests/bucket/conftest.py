"""One S3 server for all tests, and a separate bucket for each."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from bucket.faulty_proxy import FaultyProxy
from bucket.s3_server import KEYS, SERVER, make_bucket, serving


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    if not SERVER.exists():
        pytest.skip("no S3 server is installed: `make bucket` does it")
    with serving() as port:
        yield port


def lead_to(port: int, environment: pytest.MonkeyPatch) -> None:
    """Point the environment to an S3 server on loopback."""
    for name, value in KEYS.items():
        environment.setenv(name, value)
    environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")


@pytest.fixture
def proxy(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """A proxy in front of the server, to which the environment points."""
    with FaultyProxy(s3_port) as found:
        lead_to(found.port, monkeypatch)
        yield found


@pytest.fixture
def address(proxy: FaultyProxy, s3_port: int) -> str:
    """An empty bucket, and a prefix."""
    assert proxy.port
    return new_address(s3_port)


def new_address(port: int) -> str:
    """An empty bucket, and a prefix."""
    name = f"bucket-{secrets.token_hex(8)}"
    make_bucket(port, name)
    return f"s3://{name}/some/prefix"
