"""The tape's alphabet: few kinds of record, each stamped, none ever changed."""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING
from typing import get_args

import pytest

from booktape.core import tape_records
from booktape.core.tape_records import (
    Checkpoint,
    Disconnected,
    SegmentStart,
    StreamMessage,
    TapeRecord,
)

KINDS: tuple[type, ...] = get_args(TapeRecord)


@pytest.mark.parametrize("kind", KINDS)
def test_every_record_is_stamped_first(kind: type) -> None:
    """Each line of a tape begins with our clock, in nanoseconds."""
    assert dataclasses.fields(kind)[0].name == "received_ns"


def test_names_on_tapes_never_change() -> None:
    """Other readers rely on them; changing one requires a new format number."""
    words = (tape_records.ROTATED, tape_records.TRADING, tape_records.DELISTED)
    assert words == ("rotated", "TRADING", "DELISTED")
    assert tape_records.FORMAT == 2


def defaults_of(kind: type) -> dict[str, object]:
    """The fields that a record may lack, and their default values."""
    optional = {}
    for field in dataclasses.fields(kind):
        if field.default is not MISSING:
            optional[field.name] = field.default
        elif field.default_factory is not MISSING:
            optional[field.name] = field.default_factory()
    return optional


def test_the_defaults_of_fields_that_older_tapes_lack() -> None:
    """They had no witnesses, audits, pulse, shards or trades, and each symbol was trading."""
    assert defaults_of(SegmentStart) == {
        "witness": "none",
        "audit_s": 0.0,
        "pulse_s": 0.0,
        "format": 1,
        "continues": None,
        "shard": "",
        "trades": False,
    }
    moments = ("audit_due_ns", "asked_ns", "synced_ns", "stamp_ns", "evidence_age_ns")
    assert defaults_of(Checkpoint) == {
        "passed": None,
        "reached": {},
        "ahead": [],
        "newest_us": 0,
        "newest_id": 0,
        "status": "TRADING",
        "tick_size": "",
        "lot_size": "",
        "trades": None,
        **dict.fromkeys(moments, 0),
    }


def test_records_are_equal_by_content() -> None:
    """A record read back from the tape equals the one that was written."""
    assert StreamMessage(1, 0, b"{}") == StreamMessage(1, 0, b"{}")
    assert StreamMessage(1, 0, b"{}") != StreamMessage(1, 1, b"{}")


def test_the_detail_of_a_loss_is_optional() -> None:
    """The reason goes into the gap; the detail is for people, and may be absent."""
    assert not Disconnected(1, 0, 1, "stopped").detail
