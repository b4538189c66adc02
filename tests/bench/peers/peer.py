"""The form that every order book beside ours is given: the same few methods for the same named work.

Each is driven without its network and its logging, through the innermost of its own functions that takes
an event and keeps the exchange's rules as that library keeps them. Work that a library does around that function is
left out, in its favour; `includes` says which work, and is printed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine, Generator, Iterable
from importlib.metadata import version
from types import coroutine
from typing import Any, ClassVar, TypeAlias

from booktape.core.events import DepthEvent, Level
from booktape.wire.encode import encode_combined, encode_event

SYMBOL = "BTCUSDT"

Pairs: TypeAlias = list[Level]


class Peer(ABC):
    """One library's book of one symbol. It is made from a REST `/depth` answer and is then warm."""

    package: ClassVar[str]
    kind: ClassVar[str] = ""
    """What distinguishes it from another book of the same package."""
    includes: ClassVar[str]
    """Which functions of the library run for an event and for a snapshot, and what they leave out."""
    combined: ClassVar[bool] = False
    """Whether its own connection asks for `/stream`, which wraps each event, or for `/ws`."""
    binary: ClassVar[bool] = False
    """Whether its own connection hands on bytes, or text that is already a `str`."""
    depth: ClassVar[int | None] = None
    """How many levels a side it keeps, if not all."""
    makes_rows: ClassVar[bool] = False
    """Whether `apply` already makes snapshots, so that `levels` costs nothing more."""

    @abstractmethod
    def __init__(self, snapshot: bytes) -> None:
        """A warm book."""

    @classmethod
    def asked(cls, snapshot: bytes, every: int) -> Peer:  # noqa: ARG003 - only ours plans ahead
        """A warm book whose `levels` will be read after every `every` events."""
        return cls(snapshot)

    @abstractmethod
    def apply(self, message: Any) -> object:
        """Take one message as it leaves the socket: decode it and change the book."""

    @abstractmethod
    def levels(self) -> tuple[Any, Any]:
        """Bids and asks, whole, best first, in a form that later events do not touch."""

    def pairs(self) -> tuple[Pairs, Pairs]:
        """The same as numbers, to be compared; not measured."""
        bids, asks = self.levels()
        return _plain(bids), _plain(asks)

    @classmethod
    def title(cls) -> str:
        """Name and version, as a table shows them."""
        return f"{cls.package} {version(cls.package)}{cls.kind}"

    @classmethod
    def message(cls, event: DepthEvent) -> bytes | str:
        """The event as this library's own socket would hand it on."""
        raw = encode_event(event)
        if cls.combined:
            raw = encode_combined(f"{SYMBOL.lower()}@depth@100ms", raw)
        return raw if cls.binary else raw.decode()


def _plain(side: Iterable[tuple[Any, Any]]) -> Pairs:
    """Rounded to the exchange's 8 decimals: fixed-point numbers come back with a last bit wrong."""
    return [(round(float(price), 8), round(float(size), 8)) for price, size in side]


@coroutine
def next_message() -> Generator[None, Any, Any]:
    """Awaited by a peer's loop: the next message, without an event loop's own cost."""
    return (yield)


def finish(work: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError(f"{work} waits for something")
