"""The tables of docs/ that follow from the code. `make docs` writes them, a test compares them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from booktape.core.gap_reasons import GAP_REASONS
from booktape.core.sync import TABLE
from booktape.core.trades import TRADE_GAP_REASONS
from booktape.store.schema import (
    CHECK_COLUMNS,
    GAP_COLUMNS,
    NOTE_COLUMNS,
    NOTE_KINDS,
    SNAPSHOT_COLUMNS,
    TRADE_COLUMNS,
    TRADE_GAP_COLUMNS,
    Column,
)

DOCS = Path(__file__).parents[2] / "docs"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def columns(of: Sequence[Column]) -> str:
    """A table of columns: name, type, meaning."""
    rows = [
        (f"`{c.name}`", f"{c.type}".replace("element: ", "").replace(" not null", ""), c.meaning)
        for c in of
    ]
    return table(("column", "type", "meaning"), rows)


def state_machine() -> str:
    """The rules, in the words of the functions that implement them."""
    rows = [
        (
            rule.state.name,
            f"`{rule.input.__name__}`",
            rule.condition.__name__.strip("_").replace("_", " "),
            rule.next_state.name,
            rule.action.__name__.strip("_").replace("_", " "),
        )
        for rule in TABLE
    ]
    return table(("state", "input", "when", "becomes", "does"), rows)


def blocks() -> dict[tuple[str, str], str]:
    """Every generated block: file, name → text."""
    reasons = [(f"`{name}`", meaning) for name, meaning in GAP_REASONS.items()]
    trade_reasons = [(f"`{name}`", meaning) for name, meaning in TRADE_GAP_REASONS.items()]
    kinds = [(f"`{name}`", meaning) for name, meaning in NOTE_KINDS.items()]
    return {
        ("protocol.md", "state machine"): state_machine(),
        ("format.md", "snapshots"): columns(SNAPSHOT_COLUMNS),
        ("format.md", "gaps"): columns(GAP_COLUMNS),
        ("format.md", "reasons"): table(("reason", "meaning"), reasons),
        ("format.md", "checks"): columns(CHECK_COLUMNS),
        ("format.md", "notes"): columns(NOTE_COLUMNS),
        ("format.md", "kinds"): table(("kind", "detail"), kinds),
        ("format.md", "trades"): columns(TRADE_COLUMNS),
        ("format.md", "trade gaps"): columns(TRADE_GAP_COLUMNS),
        ("format.md", "trade reasons"): table(("reason", "meaning"), trade_reasons),
    }


def replaced(text: str, name: str, block: str) -> str:
    """A document with one block rewritten."""
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    assert pattern.search(text), f"no block {name!r}"
    return pattern.sub(lambda _: f"{begin}\n{block}\n{end}", text)


if __name__ == "__main__":
    for (file, name), block in blocks().items():
        path = DOCS / file
        path.write_text(replaced(path.read_text(), name, block))
