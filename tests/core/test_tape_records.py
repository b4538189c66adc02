"""The tape's alphabet: few kinds of frame, each stamped, none ever changed."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from booktape.core import tape_records
from booktape.core.events import GapInterval
from booktape.core.tape_records import (
    Checkpoint,
    Disconnected,
    SegmentStart,
    StreamMessage,
    TapeRecord,
)

KINDS: tuple[type, ...] = get_args(TapeRecord)


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_stamped_first(kind: type) -> None:
    """Each line of a tape begins with our clock, in nanoseconds."""
    assert dataclasses.fields(kind)[0].name == "received_ns"


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_frozen(kind: type) -> None:
    """A tape is a record of what happened."""
    frozen = kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert frozen


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_small(kind: type) -> None:
    """Thousands a second wait in a queue: none has a dict of its own."""
    assert "__slots__" in vars(kind)


def test_the_words_that_stand_on_tapes() -> None:
    """Other readers look for them: they never change."""
    words = (tape_records.ROTATED, tape_records.TRADING, tape_records.DELISTED)
    assert words == ("rotated", "TRADING", "DELISTED")


def test_what_older_tapes_do_not_say() -> None:
    """They had no witness and no audits, and each symbol traded."""
    start = SegmentStart(1, "0.1", "sim", 10, 5_000, ("A",))
    assert (start.witness, start.audit_s) == ("none", 0)
    gap = GapInterval("A", 1, 0, 9, "stopped")
    saved = Checkpoint(1, "A", "cold", 1, 9, 0, None, 0, 0, gap, None, None, [], [], [])
    # What tapes of format 1 lack.
    assert (saved.synced_ns, saved.stamp_ns, saved.evidence_age_ns) == (0, 0, 0)
    assert (saved.passed, saved.reached, saved.ahead) == (None, {}, [])
    assert (saved.status, saved.audit_due_ns, saved.asked_ns) == ("TRADING", 0, 0)


def test_frames_are_equal_by_content() -> None:
    """A frame read back from the tape equals the frame that was written."""
    assert StreamMessage(1, 0, b"{}") == StreamMessage(1, 0, b"{}")
    assert StreamMessage(1, 0, b"{}") != StreamMessage(1, 1, b"{}")


def test_the_detail_of_a_loss_is_optional() -> None:
    """The reason is for the gap, the detail for people, who need not be told."""
    assert not Disconnected(1, 0, 1, "stopped").detail
