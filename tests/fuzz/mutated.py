"""Inputs that were valid once: bytes flipped, left out, inserted or doubled; numbers and texts that nothing expects."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from copy import deepcopy
from random import Random
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st

TIMES: Final = int(os.environ.get("BOOKTAPE_FUZZ_TIMES", "0"))
"""Set by `make fuzz`: this many times the suite's examples, and different ones in every round."""

USUAL: Final = 25
"""Examples of a property test in the suite (tests/conftest.py)."""

PIECES: Final = (
    *(b"", b"0", b"-1", b"1e9999999999", b"9" * 40, b"0." + b"1" * 400, b"NaN", b"Infinity"),
    *(b'"', b"{", b"}", b"[", b"]", b",", b":", b"\n", b"null", b"true", b'"e":1,'),
    *(b"\xff", b"\\ud800", b"\x00", b"[" * 2_000, "币".encode(), b"\xe2\x80\xae"),
)

VALUES: Final[tuple[Any, ...]] = (
    *(0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**30, 0.5, 1e308, -1e308),
    *("", "0", "-1", "1e308", "5e-324", "NaN", "x" * 300, "../../x", "币", "\x1b[31m", "BTCUSDT"),
    *(None, True, [], {}, [["1", "2"]], [[]], {"BTCUSDT": "1"}),
)


def examples(count: int) -> settings:
    """`count` in the suite, always the same ones, and four times as many in `make test-long`; `make fuzz` tries
    others."""
    if TIMES:
        return settings(max_examples=count * TIMES, derandomize=False)
    return settings(max_examples=count * settings().max_examples // USUAL)


thousand: Final = examples(1_000)


CHANCES: Final = st.builds(Random, st.integers(0, 2**64 - 1))
"""All random choices of an example follow from one number: ten times cheaper than drawing each choice separately."""


def mutated(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of the seeds after up to four changes; or bytes of any kind."""
    return st.builds(
        lambda chance, changes: mutate(chance, seeds, changes), CHANCES, st.integers(0, 4)
    )


def mutate(chance: Random, seeds: Sequence[bytes], changes: int) -> bytes:
    """One of the seeds after this number of changes."""
    data = chance.choice(seeds)
    for _ in range(changes):
        start = chance.randint(0, len(data))
        end = min(len(data), start + chance.randint(0, 8))
        piece = chance.choice((chance.choice(PIECES), chance.randbytes(chance.randint(0, 4))))
        data = data[:start] + piece + data[end:]
    return data


def revalue(chance: Random, line: bytes) -> bytes:
    """A line of JSON with another value in up to three places; a line that is no longer JSON stays as it is."""
    try:
        root: Any = [json.loads(line)]
    except (ValueError, RecursionError):
        return line
    for _ in range(chance.randint(1, 3)):
        parent, at = root, 0
        while isinstance(parent[at], dict | list) and parent[at] and chance.random() < 0.7:
            parent = parent[at]
            at = chance.choice(list(parent if isinstance(parent, dict) else range(len(parent))))
        parent[at] = deepcopy(chance.choice(VALUES))
    text = json.dumps(root[0], separators=(",", ":"), ensure_ascii=False)
    # Half of a character, which PIECES may have inserted as an escape, is written as it is, which is not UTF-8.
    return text.encode("utf-8", "surrogatepass") + b"\n"
