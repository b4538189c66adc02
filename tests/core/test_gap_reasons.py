"""The reasons for gaps are defined in one place; verify has its own copy of the same list."""

from __future__ import annotations

from booktape.core import gap_reasons
from booktape.core.gap_reasons import GAP_REASONS
from booktape.verify.model import gap_reasons as verified


def test_the_reasons_on_tapes_and_in_gaps_never_change() -> None:
    """Users and other readers search for them; a new one is added here."""
    assert set(GAP_REASONS) == {
        *("id_gap", "disconnected", "stopped", "killed", "no_tape"),
        *("disproved", "delisted", "silent", "ids_reset", "too_large", "break"),
    }


def test_every_reason_has_a_meaning() -> None:
    """docs/format.md is generated from these texts, so a reason without one would be undocumented."""
    named = {
        text for name, text in vars(gap_reasons).items() if name.isupper() and isinstance(text, str)
    }
    assert named == set(GAP_REASONS)
    assert all(GAP_REASONS.values())


def test_verify_knows_the_same_reasons() -> None:
    """It shares no code with what it proves, so it has its own list."""
    assert set(GAP_REASONS) == verified.GAP_REASONS
