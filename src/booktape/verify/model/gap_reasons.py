"""The reasons of gaps, written down a second time: the model shares no rule with what it proves."""

from __future__ import annotations

from typing import Final

ID_GAP: Final = "id_gap"
DISPROVED: Final = "disproved"
SILENT: Final = "silent"
IDS_RESET: Final = "ids_reset"
TOO_LARGE: Final = "too_large"
IN_BREAK: Final = "break"
SENT_AFTER_DELISTING: Final = "delisted"
DISCONNECTED: Final = "disconnected"

BETWEEN_RECORDINGS: Final = frozenset({"stopped", "killed", "no_tape"})
"""From the end of one recording to the start of the next, which stores them."""

GAP_REASONS: Final = BETWEEN_RECORDINGS | {
    *(ID_GAP, DISPROVED, SILENT, IDS_RESET, TOO_LARGE, IN_BREAK, SENT_AFTER_DELISTING, DISCONNECTED)
}
