"""Reads a tape line by line, with zstd and the standard library's JSON."""

from __future__ import annotations

import sys
from base64 import b64decode
from collections.abc import Iterator
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path
from typing import IO, Final, TypeVar

from booktape.errors import DamagedTape
from booktape.processes.descriptors import refuse_used_up
from booktape.store.layout import LINE_BYTES_MAX
from booktape.store.opening import open_file
from booktape.verify.model.decode import Object, parse_any, parse_message

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

T = TypeVar("T")

_CARRIERS: Final = ("ws", "rest", "trades")
_PAYLOAD: Final = b',"m":'


class Line:
    """One line. A field that is missing or has another type raises DamagedTape when it is read."""

    def __init__(self, fields: Object, inline: bytes | None = None) -> None:
        self.fields = fields
        self._inline = inline

    @classmethod
    def read(cls, text: bytes) -> Line:
        """Parse a line. The payload is everything between the first `,"m":` and the last brace."""
        if not text.endswith(b"\n"):
            raise DamagedTape("it has no newline at its end")
        head, inline, rest = text.partition(_PAYLOAD)
        fields = parse_any(head + b"}" if inline else text)
        if inline and not (isinstance(fields, Object) and fields.get("k") in _CARRIERS):
            fields, inline = parse_any(text), b""
        if not isinstance(fields, Object):
            raise DamagedTape("it is no JSON object")
        return cls(fields, rest.removesuffix(b"}\n") if inline else None)

    @property
    def kind(self) -> str:
        """The kind of record."""
        return self.text("k")

    def _typed(self, name: str, kind: type[T], what: str) -> T:
        """A field of exactly this type: a bool is no whole number."""
        found = self.fields.get(name)
        if type(found) is not kind:
            raise DamagedTape(f"its {name} is no {what}: {found!r}")
        return found

    def whole(self, name: str) -> int:
        """A whole number."""
        return self._typed(name, int, "whole number")

    def text(self, name: str) -> str:
        """A text."""
        return self._typed(name, str, "text")

    def part(self, name: str) -> Line:
        """An object, with fields of its own."""
        return Line(self._typed(name, Object, "object"))

    def parts(self, name: str) -> list[Line]:
        """A list of objects."""
        return [Line(Object({name: each})).part(name) for each in self._typed(name, list, "list")]

    def number(self, name: str, default: int = 0) -> Decimal:
        """A number that is not negative; `default` where there is none."""
        found = self.fields.get(name, default)
        if isinstance(found, bool) or not isinstance(found, int | Decimal) or found < 0:
            raise DamagedTape(f"its {name} is no number from 0 on: {found!r}")
        return Decimal(found)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        found = self._typed(name, list, "list of texts")
        if not all(isinstance(text, str) for text in found):
            raise DamagedTape(f"its {name} is no list of texts: {found!r}")
        return tuple(found)

    def payload(self) -> object:
        """What the exchange sent; None when it is not JSON.

        Each record of a message has one, so a line without `m` and without `base64` is damage.
        """
        sent = self._inline
        if sent is None:
            try:
                sent = b64decode(self.text("base64"), validate=True)
            except ValueError as error:
                raise DamagedTape(f"its base64 cannot be decoded: {error}") from error
        return parse_message(sent)


def lines(tape: Path | IO[bytes]) -> Iterator[tuple[int, int, Line]]:
    """Number (from 1), bytes of the file read so far, and each line. Raises DamagedTape."""
    number = 0
    try:
        with ExitStack() as stack:
            raw = stack.enter_context(open_file(tape)) if isinstance(tape, Path) else tape
            file = stack.enter_context(closing(zstd.ZstdFile(raw, "rb")))
            while text := file.readline(LINE_BYTES_MAX):
                number += 1
                if len(text) == LINE_BYTES_MAX:
                    raise DamagedTape(f"line {number} has more than {LINE_BYTES_MAX >> 20} MiB")
                yield number, raw.tell(), Line.read(text)
    except (EOFError, zstd.ZstdError, OSError) as error:
        refuse_used_up(error)
        raise DamagedTape(f"it is truncated after line {number}: {error}") from error
