"""A TCP proxy in front of a server. It serves one request for each connection, with a fault that the test chooses."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Final, Self, TypeAlias

PIECES: Final = 20
PAUSE_S: Final = 0.005
"""A slow connection carries an answer in this number of pieces, and pauses before each."""


class Fault(Enum):
    """What happens to a request. With the faults marked by a star the server carries out the request."""

    NONE = "it passes *"
    REFUSED = "the connection is reset before anything was read"
    CUT_REQUEST = "the server gets half of it"
    CUT_ANSWER = "the client gets half of the answer *"
    CUT_HEAD = "the client gets the first line of the answer *"
    BUSY = "the client is answered 503"
    BROKEN = "the client is answered 500"
    LATE = "the client is answered 500, after the server did it *"
    SLOW = "request and answer come in small pieces *"
    SILENT = "the client gets no answer"
    FORBIDDEN = "the client is answered 403"
    OTHER_ETAG = "the answer has another ETag *"
    SHORTENED = "the server gets a body that is one byte shorter, and does not know it *"


@dataclass(frozen=True, slots=True)
class Request:
    """A request, and the fault applied to it."""

    method: str
    path: str
    fault: Fault


Choose: TypeAlias = Callable[[str, str], Fault]
"""The fault of a request, by its method and path."""


def _no_fault(_method: str, _path: str) -> Fault:
    return Fault.NONE


class FaultyProxy:
    """Listens on `port` until its context is left. `after_request` is called when a request has met its fault."""

    def __init__(self, upstream: int, choose: Choose = _no_fault) -> None:
        self.choose = choose
        self.requests: list[Request] = []
        self.after_request: Callable[[Request], None] = lambda _: None
        self._upstream = upstream
        self._ended = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listening.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # A client that was killed, or gave up, is not a failure of the proxy.
        with client:
            try:
                self._answer(client)
            except OSError:
                return

    def _answer(self, client: socket.socket) -> None:
        head, body = _read_request(client)
        if not head:
            return
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        request = Request(method, path, self.choose(method, path))
        self.requests.append(request)
        fault = request.fault
        if fault is Fault.SILENT:
            self._ended.wait()
        elif fault is Fault.REFUSED:
            # Zero seconds to linger: a reset instead of an orderly end.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif fault is Fault.CUT_REQUEST:
            with socket.create_connection(("127.0.0.1", self._upstream)) as server:
                server.sendall((head + body)[: len(head) + len(body) // 2])
        elif fault in _STATUS and fault is not Fault.LATE:
            client.sendall(_STATUS[fault])
        else:
            self._forward(client, head, body, fault)
        self.after_request(request)

    def _forward(self, client: socket.socket, head: bytes, body: bytes, fault: Fault) -> None:
        if fault is Fault.SHORTENED and body:
            length = str(len(body) - 1).encode()
            head = re.sub(rb"(?i)(content-length: )\d+", rb"\g<1>" + length, head)
            body = body[:-1]
        with socket.create_connection(("127.0.0.1", self._upstream)) as server:
            _send(server, head + body, slowly=fault is Fault.SLOW)
            answer = b"".join(iter(lambda: server.recv(65_536), b""))
        if fault is Fault.OTHER_ETAG:
            answer = re.sub(
                rb'(?i)(etag: )"\w+"', rb'\g<1>"00112233445566778899aabbccddeeff"', answer
            )
        if fault is Fault.CUT_HEAD:
            answer = answer[: answer.index(b"\n") + 1]
        if fault is Fault.CUT_ANSWER:
            answer = answer[: len(answer) // 2]
        _send(client, _STATUS.get(fault, answer), slowly=fault is Fault.SLOW)


def _status(line: str) -> bytes:
    return f"HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


_STATUS: Final = {
    Fault.BUSY: _status("503 Slow Down"),
    Fault.BROKEN: _status("500 Internal Server Error"),
    Fault.LATE: _status("500 Internal Server Error"),
    Fault.FORBIDDEN: _status("403 Forbidden"),
}


def _read_request(client: socket.socket) -> tuple[bytes, bytes]:
    """Head and body. The head asks the server to close the connection after its answer."""
    read = b""
    while b"\r\n\r\n" not in read:
        piece = client.recv(65_536)
        if not piece:
            return b"", b""
        read += piece
    head, _, body = read.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    length = int(found[1]) if found else 0
    while len(body) < length:
        piece = client.recv(65_536)
        if not piece:
            return b"", b""
        body += piece
    return head + b"\r\nConnection: close\r\n\r\n", body


def _send(to: socket.socket, data: bytes, *, slowly: bool) -> None:
    size = max(1, len(data) // PIECES) if slowly else max(1, len(data))
    for at in range(0, len(data), size):
        if slowly:
            time.sleep(PAUSE_S)
        to.sendall(data[at : at + size])
