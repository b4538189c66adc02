"""Reads a tape line by line, with zstd and the standard library's JSON."""

from __future__ import annotations

import sys
from base64 import b64decode
from collections.abc import Iterator
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path
from typing import IO, Final

from booktape.errors import DamagedTape
from booktape.processes.descriptors import refuse_used_up
from booktape.store.layout import LINE_BYTES_MAX
from booktape.store.opening import open_file
from booktape.verify.model.decode import Object, parse_answer, parse_message, parse_object

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

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
        fields = parse_object(head + b"}" if inline else text)
        if inline and (fields is None or fields.get("k") not in _CARRIERS):
            fields, inline = parse_object(text), b""
        if fields is None:
            raise DamagedTape("it is no JSON object")
        return cls(fields, rest.removesuffix(b"}\n") if inline else None)

    @property
    def kind(self) -> str:
        """The kind of record."""
        return self.text("k")

    def part(self, name: str) -> Line:
        """An object, with fields of its own."""
        return self._part(name, self.fields.get(name))

    def parts(self, name: str) -> list[Line]:
        """A list of objects."""
        found = self.fields.get(name)
        if not isinstance(found, list):
            raise DamagedTape(f"its {name} is no list: {found!r}")
        return [self._part(name, each) for each in found]

    @staticmethod
    def _part(name: str, found: object) -> Line:
        if not isinstance(found, Object):
            raise DamagedTape(f"its {name} is no object: {found!r}")
        return Line(found)

    def whole(self, name: str) -> int:
        """A whole number."""
        found = self.fields.get(name)
        if type(found) is not int:
            raise DamagedTape(f"its {name} is no whole number: {found!r}")
        return found

    def text(self, name: str) -> str:
        """A text."""
        found = self.fields.get(name)
        if not isinstance(found, str):
            raise DamagedTape(f"its {name} is no text: {found!r}")
        return found

    def number(self, name: str, default: int = 0) -> Decimal:
        """A number that is not negative; `default` where there is none."""
        found = self.fields.get(name, default)
        if isinstance(found, bool) or not isinstance(found, int | Decimal) or found < 0:
            raise DamagedTape(f"its {name} is no number from 0 on: {found!r}")
        return Decimal(found)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        found = self.fields.get(name)
        if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
            raise DamagedTape(f"its {name} is no list of texts: {found!r}")
        return tuple(found)

    def payload(self) -> Object | None:
        """The exchange's own message; None when it is not a JSON object.

        Each record of a message has one, so a line without `m` and without `base64` is damage.
        """
        return parse_message(self._payload())

    def answer(self) -> object:
        """The same for an answer, which may be a list."""
        return parse_answer(self._payload())

    def _payload(self) -> bytes:
        if self._inline is not None:
            return self._inline
        try:
            return b64decode(self.text("base64"), validate=True)
        except ValueError as error:
            raise DamagedTape(f"its base64 cannot be decoded: {error}") from error


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
