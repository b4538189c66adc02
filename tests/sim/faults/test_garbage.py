"""Garbage, over a real socket: none of it is an event, and each form is as described."""

from __future__ import annotations

import json

import pytest

from booktape.core.events import DepthEvent
from booktape.errors import MalformedFrame
from booktape.sim.faults.conditions import Messages
from booktape.sim.faults.messages import Form, Garbage
from booktape.wire.binance import decode_event
from sim.exchange import BTC, SLOTS, faulty, last_id, pairs
from sim.visitor import visit

TENTH = Messages(first=10, last=10)


@pytest.mark.parametrize("form", ["text", "half", "html", "wrong", "binary", "utf8"])
@pytest.mark.parametrize("instead", [False, True])
async def test_garbage_comes_before_an_event_or_instead_of_it(form: Form, instead: bool) -> None:
    """Once, where the fault says so; every other event is unchanged."""
    async with visit(faulty(Garbage(TENTH, form=form, instead=instead))) as visit_:
        visitor = await visit_.listen(BTC)
        kept = [number for number in range(SLOTS) if not (instead and number == 9)]
        assert await visitor.events(last_id()) == pairs(kept)
        strange = [m for m in visitor.messages if not _is_event(m)] + visitor.binaries
        assert len(strange) == 1
        assert bool(visitor.binaries) == (form in {"binary", "utf8"})


def _is_event(message: bytes) -> bool:
    try:
        return isinstance(decode_event(message), DepthEvent)
    except MalformedFrame:
        return False


async def test_random_garbage_takes_every_form() -> None:
    """All six forms, and the same ones on every run."""
    found = []
    for _ in range(2):
        async with visit(faulty(Garbage(Messages(), seed=1), start_us=10**15)) as visit_:
            visitor = await visit_.listen(BTC)
            await visitor.events(last_id())
            strange = [m for m in visitor.messages if not _is_event(m)]
            found.append((strange, visitor.binaries))
    assert found[0] == found[1]
    texts, binaries = found[0]
    assert len(set(binaries)) == 2
    assert {text[:9] for text in texts} >= {
        b"no JSON",
        b"<!DOCTYPE",
        b'{"e":"dep',
        b'{"stream"',
    }


async def test_invalid_utf8_is_sent_in_a_binary_frame() -> None:
    """In a text frame it would make the protocol itself end the connection."""
    async with visit(faulty(Garbage(TENTH, form="utf8"))) as visit_:
        visitor = await visit_.listen(BTC)
        await visitor.events(last_id())
        with pytest.raises(UnicodeDecodeError):
            json.loads(visitor.binaries[0])
