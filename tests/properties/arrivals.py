"""The events of one symbol that arrived, by connection: which may be missing, and which may not."""

from __future__ import annotations

import json

from booktape.core import arbitration
from booktape.core.events import GapInterval
from booktape.core.sync import State, SymbolSync
from booktape.core.tape_records import (
    ROTATED,
    Connected,
    DepthAnswer,
    Disconnected,
    HoldExpired,
    SegmentEnd,
    StreamMessage,
    TapeRecord,
    Tick,
)
from support.oracle import SECOND


class Arrivals:
    """All events since the first connection came, and how far each connection is.

    `waived` is the newest id that had arrived when a hole was given up: a hole before it needs
    no other excuse.
    """

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.reached: dict[int, int | None] = {}
        self.events: list[tuple[int, int]] = []
        self.waived = 0
        self.waited_ns: int | None = None
        self.given_up: int | None = None
        self.frame: TapeRecord

    def note(self, frame: TapeRecord) -> None:
        self.frame, self.given_up = frame, None
        if isinstance(frame, Connected):
            self.reached[frame.connection] = None
        elif isinstance(frame, Disconnected):
            self.reached.pop(frame.connection)
        elif isinstance(frame, SegmentEnd):
            self.waited_ns = None
            if frame.reason != ROTATED:
                self.reached.clear()
        elif isinstance(frame, HoldExpired) and frame.symbol == self.symbol:
            self._give_up()
        elif isinstance(frame, Tick):
            self._note_tick(frame)
        elif isinstance(frame, StreamMessage):
            self._note_event(frame)

    def _note_event(self, frame: StreamMessage) -> None:
        try:
            event = json.loads(frame.payload)
        except ValueError:
            return
        # The messages of witnesses have a wrapper.
        if event.get("s") == self.symbol:
            self.events.append((event["U"], event["u"]))
            before = self.reached[frame.connection] or 0
            self.reached[frame.connection] = event["u"]
            if before > event["u"] or len(self.events) > arbitration.BUFFERED_MAX:
                self._waive()

    def _note_tick(self, tick: Tick) -> None:
        """Three seconds of tape time after the tick that found an event waiting, it no longer waits."""
        if not self.events:
            return
        before = self.waited_ns
        self.waited_ns = 0 if before is None else before + min(tick.elapsed_ns, 2 * SECOND)
        if self.waited_ns >= 3 * SECOND:
            self.waited_ns = 0
            self._give_up()

    def _give_up(self) -> None:
        self.given_up = min((first for first, _ in self.events), default=None)
        self._waive()

    def _waive(self) -> None:
        self.waived = max((last for _, last in self.events), default=0)

    def _behind(self, first_id: int) -> bool:
        """Whether a connection has not yet reached what is missing before `first_id`."""
        return any(at is None or at < first_id - 1 for at in self.reached.values())

    def could_avoid(self, gap: GapInterval) -> str:
        """Why this gap was avoidable; empty if it was not."""
        next_id = gap.last_update_id + 1
        later = min(first for first, last in self.events if last >= next_id)
        if next_id <= self.waived:
            return ""
        if later <= next_id:
            return f"a gap at id {next_id}, which had been delivered"
        # Holes before a snapshot are old: no connection could fill them when it was released.
        if self._behind(later) and not isinstance(self.frame, DepthAnswer):
            return f"a gap at id {next_id}, which could still be delivered"
        return ""

    def compare(self, machine: SymbolSync) -> str:
        """What is wrong with a LIVE machine that lacks events that arrived; empty if nothing is."""
        if machine.state is State.COLD:
            self.events, self.waived = [], 0
        elif machine.state is State.SYNCING:
            # A snapshot must bring the events that the machine dropped: it starts from those it holds.
            begins = machine.held[0].event.first_id if machine.held else 0
            self.events = [event for event in self.events if event[1] >= begins]
        else:
            self.events = [event for event in self.events if event[1] > machine.update_id]
        if not self.events:
            self.waited_ns = None
        if machine.state is not State.LIVE or not self.events:
            return ""
        first, next_id = min(self.events)[0], machine.update_id + 1
        if first <= next_id or not self._behind(first):
            return f"LIVE, and id {next_id} was delivered or cannot be any more"
        if len(self.events) > arbitration.BUFFERED_MAX:
            return "LIVE, and too much waits"
        if first == self.given_up:
            return "LIVE, and it still waits for what was given up"
        return ""
