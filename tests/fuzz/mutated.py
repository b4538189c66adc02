"""Inputs that were right once: bytes turned, left out, put in or doubled; numbers and texts that nothing expects."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st

LONG: Final = "BOOKTAPE_FUZZ_EXAMPLES" in os.environ
"""Set by `make fuzz`: as many examples of each target, and other ones in every run."""

PIECES: Final = st.sampled_from(
    [
        *(b"", b"0", b"-1", b"1e9999999999", b"9" * 40, b"0." + b"1" * 400, b"NaN", b"Infinity"),
        *(b'"', b"{", b"}", b"[", b"]", b",", b":", b"\n", b"null", b"true", b'"e":1,'),
        *(b"\xff", b"\\ud800", b"\x00", b"[" * 2_000, "币".encode(), b"\xe2\x80\xae"),
    ]
)


def examples(count: int) -> settings:
    """`count` in the suite, always the same ones; more and others by `make fuzz`."""
    if not LONG:
        return settings(max_examples=count)
    return settings(max_examples=int(os.environ["BOOKTAPE_FUZZ_EXAMPLES"]), derandomize=False)


thousand: Final = examples(1_000)


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds after up to four changes; or bytes of any kind."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 8)))
        data = data[:start] + draw(PIECES | st.binary(max_size=4)) + data[end:]
    return data
