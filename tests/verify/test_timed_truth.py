"""Tapes of format 2 against the built-in exchange's truth, over random scripts of losses, delays and dead streams.

The recorder has no part in it. What is proved: every book that is called known is the truth at its id, no
row is stamped before its book could be known, a book is never called known when nothing has shown it
current for longer than the bound, and no gap begins later than the last moment at which the book's best
levels were the exchange's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from booktape.verify.model.replay import NoteOnTape
from booktape.verify.model.sync import ModelState, ModelSync, OpenGap
from verify.test_truth import SYMBOL, RandomTape, Seen

SLOT_NS = 10**8
SECOND = 10**9
BEGIN_US = 1_780_000_000_000_000
PULSE_S = 2
BOUND_NS = 5 * PULSE_S * SECOND
SLACK_NS = 3 * SECOND
"""Two ticks from a pulse's answer to its comparison, and one at which its age begins."""

LAG_NS = 1_500_000_000
"""A gap's start may lie this long after the last evidence: an event that is late by less than a second
beyond the usual lag (here 0.3 s at most) is not called late."""

AHEAD_NS = 9 * SECOND
"""With a witness: a hold of 3 s, then 3 s for what is ahead, each from a tick to a tick, and the delay."""


@dataclass
class Stamped(Seen):
    """It also keeps the earliest time at which each book could be known."""

    came_ns: dict[int, int] = field(default_factory=dict)
    stamps: list[int] = field(default_factory=list)
    starts: list[tuple[int, int, str]] = field(default_factory=list)
    pauses: int = 0

    def row(self, sync: ModelSync, stamp_ns: int) -> None:
        super().row(sync, stamp_ns)
        assert stamp_ns >= self.came_ns.get(sync.update_id, 0)
        self.stamps.append(stamp_ns)

    def gap(
        self, symbol: str, gap: OpenGap, end_ns: int | None = None, next_id: int | None = None
    ) -> None:
        super().gap(symbol, gap, end_ns, next_id)
        self.starts.append((gap.start_ns, gap.last_update_id, gap.reason))

    def note(self, note: NoteOnTape) -> None:
        assert note.kind == "pause"
        self.pauses += 1


class TimedTape(RandomTape):
    """A market in real time: a slot every 100 ms, a tick every second, a pulse every two."""

    def __init__(self, seed: int, *, has_witness: bool) -> None:
        self.now_ns = BEGIN_US * 1_000
        super().__init__(seed, limit=100, every=3)
        self.seen: Stamped = Stamped(self.market.truth())
        self.reading._sink = self.seen
        for sync in self.reading.syncs.values():
            sync.sink = self.seen
        self.rng = Random(seed)
        self.has_witness = has_witness
        self.tops = self.market.truth()
        # When the exchange reached each id, and its best levels from then on.
        self.history: list[tuple[int, int, tuple[str, str, str, str]]] = []
        self.late: list[tuple[int, int, bytes]] = []
        self.last_tick_ns, self.unseen_ns = self.now_ns, 0
        self.was_stopped = False

    def write(self, kind: str, **fields: object) -> None:
        if kind == "start":
            fields |= {"format": 2, "pulse_s": PULSE_S, "audit_s": 0}
            self.now_ns = BEGIN_US * 1_000
        super().write(kind, **fields)

    def step(self, *, is_deaf: bool, loss: float, is_stopped: bool = False) -> None:
        """One slot: the changes at the exchange, and the messages that arrive; nothing while we are stopped."""
        self.now_ns = max(self.now_ns, (BEGIN_US * 1_000) + (self.market.slot + 1) * SLOT_NS)
        message = self.slot()
        if message:
            self._remember()
            for connection in (1, 2):
                if not is_deaf and self.rng.random() >= loss:
                    delay_ns = self.rng.randrange(3 * SLOT_NS)
                    self.late.append((self.now_ns + delay_ns, connection, message))
            if self.has_witness and not is_stopped:
                self._witness()
        if is_stopped:
            self.was_stopped = True
            return
        if self.was_stopped:
            # The tick is on the tape before messages that waited in the socket.
            self.was_stopped = False
            self.tick()
        self.late.sort(key=lambda one: one[0])
        while self.late and self.late[0][0] <= self.now_ns:
            _, connection, sent = self.late.pop(0)
            last = json.loads(sent)["u"]
            self.seen.came_ns.setdefault(last, self.now_ns)
            self.bring(connection, sent)
        if self.sync.state == ModelState.SYNCING and self.rng.random() < 0.3:
            self.answer()

    def _remember(self) -> None:
        true = self.tops.book(SYMBOL, self.last_ids[-1])
        sides = [side[0] if side else ("0", "0") for side in (true.bid_texts, true.ask_texts)]
        best = (str(sides[0][0]), str(sides[0][1]), str(sides[1][0]), str(sides[1][1]))
        self.history.append((self.now_ns, self.last_ids[-1], best))

    def _witness(self) -> None:
        true = self.tops.book(SYMBOL, self.last_ids[-1])
        sides = {"bids": true.bid_texts[:20], "asks": true.ask_texts[:20]}
        body = {"lastUpdateId": true.update_id, **sides}
        stream = f"{SYMBOL.lower()}@depth20@100ms"
        self.write("ws", connection=1, m={"stream": stream, "data": body})

    def tick(self) -> None:
        elapsed_ns, self.last_tick_ns = self.now_ns - self.last_tick_ns, self.now_ns
        self.write("tick", elapsed_ns=elapsed_ns)
        self.unseen_ns += max(0, elapsed_ns - 2 * SECOND)
        self._assert_proved()

    def pulse(self) -> None:
        tops = {SYMBOL: list(self.history[-1][2])} if self.history else {}
        self.write("pulse", asked_ns=self.now_ns, tops=tops)

    def best_at(self, update_id: int) -> tuple[str, str, str, str] | None:
        """The best levels of the state that ends with this id, if an event ends there."""
        return next((best for _, last, best in self.history if last == update_id), None)

    def last_true(self, update_id: int) -> int | None:
        """The last moment at which the best levels of this state were the exchange's."""
        mine, until = self.best_at(update_id), None
        if mine is None:
            return None
        ends = [at for at, _, _ in self.history[1:]] + [self.now_ns]
        for (_, _, best), end in zip(self.history, ends, strict=True):
            if best == mine:
                until = end
        return until

    def _assert_proved(self) -> None:
        sync = self.sync
        true = self.last_true(sync.update_id)
        if not sync.live or true is None:
            return
        # Known weakness of the limit: any time while the recorder is stopped counts as two seconds.
        assert self.now_ns - true <= BOUND_NS + SLACK_NS + self.unseen_ns
        behind = [at for at, last, _ in self.history if last > sync.update_id]
        if self.has_witness and behind:
            assert self.now_ns - behind[0] <= AHEAD_NS + self.unseen_ns


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    loss=st.sampled_from([0.0, 0.05, 0.4]),
    has_witness=st.booleans(),
    deaf=st.tuples(st.integers(20, 300), st.integers(20, 300)),
    pause=st.sampled_from([0, 4, 20]),
)
def test_every_book_called_known_was_proved(
    seed: int, loss: float, has_witness: bool, deaf: tuple[int, int], pause: int
) -> None:
    """For any script."""
    tape = TimedTape(seed, has_witness=has_witness)
    for connection in (1, 2):
        tape.write("connected", connection=connection, symbols=[SYMBOL])
    begin, length = deaf
    for slot in range(1, 400):
        is_deaf, is_stopped = begin <= slot < begin + length, 151 <= slot < 151 + 10 * pause
        tape.step(is_deaf=is_deaf, loss=loss, is_stopped=is_stopped)
        if slot % 10 == 0 and not is_stopped:
            tape.tick()
        if slot % (10 * PULSE_S) == 5 and not is_stopped:
            tape.pulse()
    tape.write("end", reason="stopped")
    assert tape.seen.stamps == sorted(tape.seen.stamps)
    assert tape.seen.pauses == bool(pause)
    for start_ns, last, reason in tape.seen.starts:
        true = tape.last_true(last)
        assert true is None or start_ns <= true + LAG_NS, reason


def test_a_dead_stream_is_found_and_a_living_one_is_not() -> None:
    """With a witness and without one; a quiet market is proved by the pulse alone."""
    for has_witness, reason in ((True, "silent"), (False, "silent")):
        tape = TimedTape(7, has_witness=has_witness)
        tape.write("connected", connection=1, symbols=[SYMBOL])
        for slot in range(1, 600):
            tape.step(is_deaf=slot > 200, loss=0)
            if slot % 10 == 0:
                tape.tick()
            if slot % (10 * PULSE_S) == 5:
                tape.pulse()
            if slot == 200:
                assert tape.sync.live
                assert not tape.sync.gap
        tape.write("end", reason="stopped")
        assert reason in {why for _, _, why in tape.seen.starts}
