"""Inputs that were right once: bytes turned, left out, put in or doubled; numbers and texts that nothing expects."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st

TIMES: Final = int(os.environ.get("BOOKTAPE_FUZZ_TIMES", "0"))
"""Set by `make fuzz`: as many times the suite's examples, and other ones in every round."""

USUAL: Final = 25
"""Examples of a property test in the suite (tests/conftest.py)."""

PIECES: Final = st.sampled_from(
    [
        *(b"", b"0", b"-1", b"1e9999999999", b"9" * 40, b"0." + b"1" * 400, b"NaN", b"Infinity"),
        *(b'"', b"{", b"}", b"[", b"]", b",", b":", b"\n", b"null", b"true", b'"e":1,'),
        *(b"\xff", b"\\ud800", b"\x00", b"[" * 2_000, "币".encode(), b"\xe2\x80\xae"),
    ]
)

VALUES: Final[st.SearchStrategy[Any]] = st.sampled_from(
    [
        *(0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**30, 0.5, 1e308, -1e308),
        *(
            "",
            "0",
            "-1",
            "1e308",
            "5e-324",
            "NaN",
            "x" * 300,
            "../../x",
            "币",
            "\x1b[31m",
            "BTCUSDT",
        ),
        *(None, True, [], {}, [["1", "2"]], [[]], {"BTCUSDT": "1"}),
    ]
)


def examples(count: int) -> settings:
    """`count` in the suite, always the same ones, four times as many in `make test-long`; others by `make fuzz`."""
    if TIMES:
        return settings(max_examples=count * TIMES, derandomize=False)
    return settings(max_examples=count * settings().max_examples // USUAL)


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


@st.composite
def revalued(draw: st.DrawFn, line: bytes) -> bytes:
    """A line of JSON with another value in up to three places; one that is no JSON any more stays as it is."""
    try:
        root: Any = [json.loads(line)]
    except (ValueError, RecursionError):
        return line
    for _ in range(draw(st.integers(1, 3))):
        parent, at = root, 0
        while isinstance(parent[at], dict | list) and parent[at] and draw(st.booleans()):
            parent, places = parent[at], list(range(len(parent[at])))
            keys = list(parent) if isinstance(parent, dict) else places
            at = draw(st.sampled_from(keys))
        parent[at] = deepcopy(draw(VALUES))
    return json.dumps(root[0], separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
