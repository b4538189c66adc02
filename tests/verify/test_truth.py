"""The verifier's own reading against the built-in exchange's truth: the recorder has no part in it.

Two connections bring a market's events, late, twice or not at all; a snapshot is given whenever the
verifier has lost its book. Every book it then calls known must be the truth, every id it does not
know must lie in a gap.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from booktape.verify.model.checks import ModelCheck
from booktape.verify.model.decode import Trade
from booktape.verify.model.replay import NoteOnTape, SegmentReplay
from booktape.verify.model.sync import ModelState, ModelSync, OpenGap
from booktape.verify.model.tape import Line
from booktape.verify.model.trades import Missing
from booktape.wire.encode import encode_event
from support.truth import TracedMarket, Truth

SYMBOL = "XMRBTC"


@dataclass
class Seen:
    """The books that the reading calls known: each as texts, by its id."""

    truth: Truth
    rows: list[tuple[int, int]] = field(default_factory=list)
    gaps: list[tuple[int, int | None]] = field(default_factory=list)
    checks: list[ModelCheck] = field(default_factory=list)

    def row(self, sync: ModelSync, stamp_ns: int) -> None:
        assert stamp_ns > 0
        true = self.truth.book(sync.symbol, sync.update_id)
        for side, texts in (
            (sync.book.bids, true.bid_texts),
            (sync.book.asks, true.ask_texts),
        ):
            truth = {Decimal(price): Decimal(size) for price, size in texts}
            mine = {price: size.value for price, size in side.sizes.items()}
            inside = {price: size for price, size in truth.items() if side.knows(price)}
            assert {p: s for p, s in mine.items() if side.knows(p)} == inside
            assert mine.items() <= truth.items(), "beyond the horizon levels are real"
            prices, sizes = side.doubles()
            best_first = sorted(mine, key=lambda price: -side.sign * price)
            assert prices.tolist() == [float(price) for price in best_first]
            assert sizes.tolist() == [float(mine[price]) for price in best_first]
        self.rows.append((sync.epoch, sync.update_id))

    def gap(
        self, symbol: str, gap: OpenGap, end_ns: int | None = None, next_id: int | None = None
    ) -> None:
        assert symbol == SYMBOL
        assert end_ns is None or end_ns >= gap.start_ns
        self.gaps.append((gap.last_update_id, next_id))

    def check(self, check: ModelCheck) -> None:
        self.checks.append(check)

    def note(self, note: NoteOnTape) -> None:
        raise AssertionError(note)

    def trade(self, trade: Trade, _: int, *, filled: bool) -> None:
        raise AssertionError(trade, filled)

    def trade_gap(self, _symbol: str, missing: Missing, _: int, reason: str) -> None:
        raise AssertionError(missing, reason)


class RandomTape:
    """A market's messages as lines of a tape, with all their losses and delays."""

    def __init__(self, seed: int, limit: int, every: int) -> None:
        self.market = TracedMarket((SYMBOL,), seed=seed, levels=12)
        self.market.start(1_780_000_000_000_000)
        self.seen = Seen(self.market.truth())
        self.reading = SegmentReplay(self.seen)
        self.limit = limit
        self.now_ns = 0
        self.last_ids: list[int] = []
        self.write("start", version="1", exchange="sim", every=every, depth=limit, symbols=[SYMBOL])

    def write(self, kind: str, **fields: object) -> None:
        self.now_ns += 1_000
        line = {"k": kind, "received_ns": self.now_ns, **fields}
        self.reading.feed(Line.read(json.dumps(line, separators=(",", ":")).encode() + b"\n"))

    def bring(self, connection: int, message: bytes) -> None:
        body = {"stream": "x@depth@100ms", "data": json.loads(message)}
        self.write("ws", connection=connection, m=body)

    def answer(self) -> None:
        body = json.loads(self.market.depth(SYMBOL, self.limit, 0.5))
        self.write("rest", symbol=SYMBOL, limit=self.limit, m=body)

    @property
    def sync(self) -> ModelSync:
        return self.reading.syncs[SYMBOL]

    def slot(self) -> bytes | None:
        """The next event, if anything happened."""
        events = self.market.advance()
        if not events or not events[0].event:
            return None
        self.last_ids.append(events[0].event.last_id)
        return encode_event(events[0].event)


@given(
    seed=st.integers(0, 10**6),
    limit=st.sampled_from([3, 12, 100]),
    every=st.integers(1, 3),
    loss=st.sampled_from([0.0, 0.05, 0.4]),
)
def test_every_book_called_known_is_true(seed: int, limit: int, every: int, loss: float) -> None:
    """For any script; and without any loss no gap is reported."""
    rng, tape = Random(seed), RandomTape(seed, limit, every)
    late: list[tuple[int, bytes]] = []
    for connection in (1, 2):
        tape.write("connected", connection=connection, symbols=[SYMBOL])
    for _ in range(80):
        message = tape.slot()
        late += [(n, message) for n in (1, 2) if message and rng.random() >= loss]
        while late and rng.random() < 0.7:
            tape.bring(*late.pop(0))
            if rng.random() < 0.1 and late:
                tape.bring(*late[0])
        if tape.sync.state == ModelState.SYNCING and rng.random() < 0.5:
            tape.answer()
    tape.write("end", reason="stopped")
    _assert_complete(tape, lossless=loss == 0)


def _assert_complete(tape: RandomTape, *, lossless: bool) -> None:
    rows, gaps = tape.seen.rows, tape.seen.gaps
    assert rows == sorted(rows)
    epochs = [epoch for epoch, _ in rows]
    assert set(epochs) == set(range(1, max(epochs, default=0) + 1))
    closed = [gap for gap in gaps if gap[1] is not None]
    assert len(closed) == len(set(epochs)) - 1 if epochs else not closed
    if lossless:
        assert not gaps


def test_audits_and_witnesses_agree_with_the_truth() -> None:
    """A true book is never called wrong, either by a snapshot or by another stream."""
    tape = RandomTape(seed=3, limit=5, every=1)
    tape.write("connected", connection=1, symbols=[SYMBOL])
    tape.answer()
    for _ in range(200):
        message = tape.slot()
        if message is None:
            continue
        if len(tape.last_ids) % 10 == 0:
            tape.write("asked", symbol=SYMBOL, limit=5)
            tape.answer()
        true = tape.market.truth().book(SYMBOL, tape.last_ids[-1])
        top = {
            "lastUpdateId": true.update_id,
            "bids": true.bid_texts[:20],
            "asks": true.ask_texts[:20],
        }
        body = {"stream": f"{SYMBOL.lower()}@depth20@100ms", "data": top}
        tape.write("ws", connection=1, m=body)
        tape.bring(1, message)
    tape.write("end", reason="rotated")
    checks = tape.seen.checks
    assert {check.witness for check in checks} == {"rest", "depth20"}
    assert not any(check.mismatches for check in checks)
    assert sum(check.comparisons for check in checks if check.witness == "depth20") > 20
    assert sum(check.witness == "rest" for check in checks) > 2
    assert not tape.seen.gaps
