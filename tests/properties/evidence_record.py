"""Compares what the machine says in a faulty world with that world's truth.

After every frame:
- a row is the exchange's book at its id; its time never goes back, unless a clock was set;
- gaps never overlap, and no row stands inside one;
- a gap begins no later than its book was outdated (its best levels, where a pulse shows those), give
  or take `SLACK_NS`, and no earlier than the last message that showed this book was made;
- `ids_reset` is said only of ids that started over; in a break no book is known; an honest exchange is
  never suspected;
- a machine that continued into a segment says the same as one that read this segment alone.

At every tick, of each book that is LIVE then (the bound, in tape time):
- what showed it last was read no longer ago than five pulses or two audits (and `SETTLE_NS`), if there are any;
- no message that shows a later id was read `OVERDUE_NS` ago, unless an event came since, or one waits;
- no event waits `OVERDUE_NS` for the same other event, nor for one that only a silent connection could deliver;
- while the witness is heard, or a pulse can see it, the book is not outdated for longer than `UNSEEN_NS`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from booktape.checks.freshness import bound_ns
from booktape.core.checks import Check
from booktape.core.events import BookLost, BookRow, BookSynced, GapInterval, Note
from booktape.core.sync import State, SymbolSync
from booktape.core.tape_records import (
    ROTATED,
    ClockStep,
    Connected,
    DepthAnswer,
    Disconnected,
    Pulse,
    SegmentEnd,
    StreamMessage,
    TapeRecord,
    Tick,
)
from booktape.reconstruct import Output
from properties.ledger import promise
from support.oracle import SECOND, differences, frozen

if TYPE_CHECKING:
    from properties.faulty_world import World

TICK_MAX_NS: Final = 2 * SECOND
OVERDUE_NS: Final = 5 * SECOND
"""Three seconds, which begin at a tick up to two seconds late."""

SETTLE_NS: Final = 4 * SECOND
"""A pulse counts from the second tick after its answer."""

SLACK_NS: Final = 2 * SECOND
"""An honest message takes less than a second, and is not called late for one more."""

UNSEEN_NS: Final = 20 * SECOND
"""For a pulse of every 2 s: its period, two ticks, a snapshot, `OVERDUE_NS`."""

BUSY_TICKS: Final = 30
SILENT_NS: Final = 5 * SECOND


class Shown(NamedTuple):
    """The state that a message shows, and when it was made, by the exchange's clock."""

    symbol: str
    generation: int
    update_id: int
    made_ns: int


@dataclass
class Page:
    """One symbol. `at` is the state of its book while that is LIVE: epoch and id."""

    at: tuple[int, int] | None = None
    generation: int = 0
    began_anew: bool = False
    gap: GapInterval | None = None
    row_ns: int = 0
    ended_ns: int = 0
    synced_ns: int = 0
    made_ns: int = 0
    is_fresh: bool = False
    age_ns: int = 0
    ahead_id: int | None = None
    ahead_ns: int = 0
    waits_for: int | None = None
    waits_ns: int = 0
    over_ns: int = 0

    def moves(self, at: tuple[int, int] | None) -> None:
        """Another state, or none: what was seen of the previous one no longer counts."""
        if at is None or (self.ahead_id is not None and at[1] >= self.ahead_id):
            self.ahead_id = None
        self.at, self.is_fresh = at, True
        self.made_ns = self.ahead_ns = self.over_ns = 0


@dataclass
class Link:
    """One connection, as far as its habit goes."""

    brought: bool = False
    streak: int = 0
    idle_ns: int = 0

    def tick(self, passed_ns: int) -> None:
        if self.brought:
            self.streak = 1 if self.idle_ns else self.streak + 1
        self.idle_ns = 0 if self.brought else self.idle_ns + passed_ns
        self.brought = False

    @property
    def is_silent(self) -> bool:
        return self.streak >= BUSY_TICKS and self.idle_ns >= SILENT_NS and not self.brought


class Record:
    """A page for each symbol, and the habits of all connections."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.honest = False
        self.pages = {symbol: Page() for symbol in world.places}
        self.links: dict[int, Link] = {}
        self.bound_ns = bound_ns(world.pulse_s, world.audit_s)
        self.usual_ns: int | None = None
        self.waited = False
        self.outputs: list[Output] = []

    # ── what the machine says ───────────────────────────────────────────────────────────────

    def before(self, frame: TapeRecord) -> None:
        """The beginning of a gap is decided by what was usual until now."""
        lag = self.world.machine._usual_lag
        self.usual_ns, self.waited = lag.usual_ns, lag.messages_waited
        if isinstance(frame, ClockStep) and frame.step_ns <= -SECOND:
            for page in self.pages.values():
                self._set_back(page, frame.step_ns)

    def _set_back(self, page: Page, step_ns: int) -> None:
        page.row_ns += step_ns
        page.ended_ns += step_ns
        page.synced_ns += step_ns
        page.made_ns += step_ns if page.made_ns else 0
        if page.gap:
            page.gap = replace(page.gap, start_ns=page.gap.start_ns + step_ns)

    def see(self, frame: TapeRecord, outputs: list[Output], shown: Shown | None) -> None:
        for output in outputs:
            self._see_output(output)
        self._see_frame(frame)
        for symbol, page in self.pages.items():
            sync = self.world.machine.syncs[symbol]
            promise(sync.gap == page.gap, "the machine has another open gap than it told")
            at = (sync.epoch, sync.update_id) if sync.state is State.LIVE else None
            if at != page.at:
                page.moves(at)
            is_break = self.world.places[symbol].status == "BREAK"
            promise(not (is_break and at), "a book is known in a break")
        if shown:
            self._see_shown(shown)
        if isinstance(frame, Tick):
            self._see_tick(min(frame.elapsed_ns, TICK_MAX_NS))

    def see_alone(self, outputs: list[Output], alone: list[Output]) -> None:
        """What is stored follows from the segment alone; how connections are kept does not."""
        stored = (BookRow, Check, GapInterval, BookLost, Note, BookSynced)
        whole, part = (
            [frozen(output) for output in found if isinstance(output, stored)]
            for found in (outputs, alone)
        )
        promise(whole == part, f"a segment read alone gives {part}, and not {whole}")

    def _see_output(self, output: Output) -> None:
        self.outputs.append(output)
        if isinstance(output, BookLost):
            self._see_lost(self.pages[output.gap.symbol], output.gap)
        elif isinstance(output, GapInterval):
            self._see_gap(self.pages[output.symbol], output)
        elif isinstance(output, BookRow):
            self._see_row(self.pages[output.symbol], output)
        elif isinstance(output, Check) and self.honest:
            promise(not output.differences, f"a false alarm: {output}")

    def _see_lost(self, page: Page, gap: GapInterval) -> None:
        promise(not self.honest, f"a needless gap: {gap}")
        promise(page.gap is None, "a gap opens while another is open")
        promise(gap.start_ns >= page.ended_ns, "gaps overlap")
        # Three old answers in a row are believed.
        may_reset = page.began_anew or self.world.was_stale
        promise(gap.reason != "ids_reset" or may_reset, "ids never began anew")
        page.gap = gap
        early_ns = page.made_ns - gap.start_ns
        promise(early_ns <= 0, f"a gap begins {early_ns} ns before its last evidence: {gap}")
        place = self.world.places[gap.symbol]
        when = place.seen_over_ns if self.world.pulse_s else place.over_ns
        over_ns = when(page.generation, gap.last_update_id)
        if self.usual_ns is not None or not self.world.was_paused:
            latest_ns = (over_ns or self.world.now) + self.world.wall_ahead_ns + SLACK_NS
            # An old answer is taken for as new as it comes.
            is_old = self.world.was_stale and gap.start_ns == page.synced_ns
            late_ns = gap.start_ns - latest_ns
            promise(
                late_ns <= 0 or is_old, f"a gap begins {late_ns} ns after its book was over: {gap}"
            )

    def _see_gap(self, page: Page, gap: GapInterval) -> None:
        if gap.end_ns is None:
            promise(gap == page.gap, "the ending tells a gap that is not open")
            return
        promise(page.gap, "a gap closes that was not open")
        promise(gap.end_ns >= gap.start_ns, "a gap ends before it begins")
        page.gap, page.ended_ns = None, gap.end_ns

    def _see_row(self, page: Page, row: BookRow) -> None:
        promise(page.gap is None, "a row in a gap")
        promise(row.received_ns >= page.row_ns, "row times go back")
        promise(row.received_ns <= self.world.wall + SECOND, "a row of the future")
        promise(row.received_ns >= page.ended_ns, "a row stands in a gap that is closed")
        page.row_ns = row.received_ns
        page.synced_ns = page.synced_ns if row.updates else row.received_ns
        place = self.world.places[row.symbol]
        wrong = ["no market has this id"]
        for generation in range(page.generation, place.generation + 1):
            market = place.markets[generation]
            if market.first_id <= row.update_id <= market.last_id:
                wrong = differences(row, *market.at(row.update_id))
            if not wrong:
                page.began_anew = page.began_anew and generation < place.generation
                page.generation = generation
                return
        promise(not wrong, "; ".join(wrong))

    # ── evidence ────────────────────────────────────────────────────────────────────────────

    def _see_frame(self, frame: TapeRecord) -> None:
        if isinstance(frame, StreamMessage) and frame.connection in self.links:
            self.links[frame.connection].brought = True
        elif isinstance(frame, Connected):
            self.links[frame.connection] = Link()
        elif isinstance(frame, Disconnected):
            self.links.pop(frame.connection, None)
        elif isinstance(frame, SegmentEnd):
            again = self.links if frame.reason == ROTATED else {}
            self.links = {connection: Link() for connection in again}
            for page in self.pages.values():
                page.ahead_id = page.waits_for = None
        elif isinstance(frame, DepthAnswer):
            self.pages[frame.symbol].is_fresh = True
        elif isinstance(frame, Pulse):
            for symbol, best in frame.tops.items():
                place, at = self.world.places[symbol], self.pages[symbol].at
                if at and best == place.best(self.pages[symbol].generation, at[1]):
                    self.pages[symbol].is_fresh = True

    def _see_shown(self, shown: Shown) -> None:
        page = self.pages[shown.symbol]
        if page.at is None or shown.generation != page.generation:
            return
        if shown.update_id > page.at[1]:
            if page.ahead_id is None:
                page.ahead_id, page.ahead_ns = shown.update_id, 0
        elif shown.update_id == page.at[1] and not self.waited:
            page.is_fresh = True
            page.made_ns = max(page.made_ns, shown.made_ns + self.world.wall_ahead_ns)

    # ── the bound ───────────────────────────────────────────────────────────────────────────

    def _see_tick(self, passed_ns: int) -> None:
        for link in self.links.values():
            link.tick(passed_ns)
        for symbol, page in self.pages.items():
            if page.at is None:
                page.waits_for = None
                continue
            sync = self.world.machine.syncs[symbol]
            waits = self._see_waiting(page, sync, passed_ns)
            page.age_ns = 0 if page.is_fresh else page.age_ns + passed_ns
            page.is_fresh = False
            bound = self.bound_ns
            promise(
                bound is None or page.age_ns <= bound + SETTLE_NS,
                f"LIVE, and nothing proved it for {page.age_ns / 1e9} s",
            )
            page.ahead_ns = 0 if waits or page.ahead_id is None else page.ahead_ns + passed_ns
            promise(page.ahead_ns < OVERDUE_NS, f"LIVE, and {page.ahead_id} was shown long ago")
            is_over = self.world.is_seen_to_be_over(symbol, page.generation, page.at[1])
            page.over_ns = page.over_ns + passed_ns if is_over and not waits else 0
            promise(page.over_ns < UNSEEN_NS, "LIVE, and over for long")

    def _see_waiting(self, page: Page, sync: SymbolSync, passed_ns: int) -> bool:
        feed = self.world.machine.arbiter.feeds[sync.symbol]
        if not feed.buffered:
            page.waits_for = None
            return False
        first_id = feed.buffered[0].event.first_id
        page.waits_ns = page.waits_ns + passed_ns if first_id == page.waits_for else 0
        page.waits_for = first_id
        promise(page.waits_ns < OVERDUE_NS, f"an event waits for {first_id - 1} for ever")
        heard = (
            at
            for connection, at in feed.last_by_connection.items()
            if not self.links[connection].is_silent
        )
        behind = any(at is None or at < first_id - 1 for at in heard)
        promise(behind, "an event waits for a connection that is silent")
        return True
