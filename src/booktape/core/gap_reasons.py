"""Why a book was not known: the reasons for gaps, as written on tapes and in `gaps`. They never change.

CONTRIBUTING.md says what else a new reason needs. `verify` has its own list, on purpose.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

# What the exchange sent, or did not send, shows that the book is not known (core/sync.py).
ID_GAP: Final = "id_gap"
DISPROVED: Final = "disproved"
SILENT: Final = "silent"
IDS_RESET: Final = "ids_reset"
TOO_LARGE: Final = "too_large"
IN_BREAK: Final = "break"
SENT_AFTER_DELISTING: Final = "delisted"

# A connection was lost, or a recording ended.
DISCONNECTED: Final = "disconnected"
STOPPED: Final = "stopped"
KILLED: Final = "killed"
NO_TAPE: Final = "no_tape"

GAP_REASONS: Final = MappingProxyType(
    {
        ID_GAP: "an event began after the next expected update id",
        DISCONNECTED: "no connection carried the symbol any more",
        STOPPED: "the recorder was stopped (SIGINT, SIGTERM, --duration)",
        KILLED: "the recorder died without sealing its files, and was started again",
        NO_TAPE: "the recorder started on an archive whose last tape is missing; in a merge, the next tape is missing",
        DISPROVED: "a later snapshot had different levels from the book",
        SENT_AFTER_DELISTING: "the exchange had stopped listing the symbol, but continued to send it",
        SILENT: "an event that was due did not arrive, or nothing had shown the book to be current for too long",
        IDS_RESET: "the exchange restarted its update ids",
        TOO_LARGE: "the exchange sent a book of more than a million levels",
        IN_BREAK: "the exchange generated no market data (BREAK, END_OF_DAY), and orders could be cancelled",
    }
)
"""What each reason means. A table in docs/format.md is generated from it."""
