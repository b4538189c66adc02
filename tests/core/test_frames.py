"""The tape's alphabet: few kinds of frame, each stamped, none ever changed."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from booktape.core.frames import Disconnected, Frame, StreamFrame

KINDS: tuple[type, ...] = get_args(Frame)


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_stamped_first(kind: type) -> None:
    """Each line of a tape begins with our clock, in nanoseconds."""
    assert dataclasses.fields(kind)[0].name == "received_ns"


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_frozen(kind: type) -> None:
    """A tape is a record of what happened."""
    frozen = kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert frozen


def test_frames_are_equal_by_content() -> None:
    """A frame read back from the tape equals the frame that was written."""
    assert StreamFrame(1, 0, b"{}") == StreamFrame(1, 0, b"{}")
    assert StreamFrame(1, 0, b"{}") != StreamFrame(1, 1, b"{}")


def test_the_detail_of_a_loss_is_optional() -> None:
    """The reason is for the gap, the detail for people, who need not be told."""
    assert not Disconnected(1, 0, 1, "stopped").detail
