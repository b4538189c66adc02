"""Reads the receipts of what was removed from an archive on purpose (store/removals.py writes them).

A receipt protects against accidents, as a manifest does, and not against a forger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from booktape.errors import Damaged
from booktape.store.layout import Segment
from booktape.verify.findings import Findings, damage
from booktape.verify.stored_files import EntryType, StoredFiles, read_object, readable_entries

_FORMATS: Final = (1,)
_BYTES_MAX: Final = 1 << 20
"""The longest receipt that is read. The receipt of a segment with 1,400 symbols has 50 kB."""

_FIELDS: Final = (
    *("segment", "removed", "format", "verified_by", "manifest_sha256"),
    *("continued_by", "unproven", "unproven_rows"),
)


@dataclass(frozen=True)
class Removed:
    """What a receipt says about one segment. `is_verified`: it had been verified before anything was removed."""

    is_whole: bool
    is_verified: bool
    manifest_sha256: str
    continued_by: frozenset[str]
    unproven: frozenset[str]
    unproven_rows: Mapping[str, int]


def read_removed(stored: StoredFiles, found: Findings) -> dict[Segment, Removed]:
    """Every receipt. A receipt that cannot be read is a difference."""
    receipts = []
    for day in readable_entries(stored, "removed", found):
        if day.type is EntryType.FOLDER and day.name.startswith("date="):
            folder = f"removed/{day.name}"
            receipts += [
                f"{folder}/{entry.name}" for entry in readable_entries(stored, folder, found)
            ]
    removed = {}
    for receipt in sorted(receipts):
        segment = Segment.parse(PurePosixPath(receipt).name, ".json")
        if segment is None:
            continue  # not a name that booktape gives
        try:
            with stored.open(receipt) as file:
                removed[segment] = _removed(read_object(file, _BYTES_MAX, _FIELDS), segment)
        except (OSError, Damaged) as error:
            found.different(receipt, damage(error))
    return removed


def _removed(fields: dict[str, Any], segment: Segment) -> Removed:
    if fields["segment"] != segment.name or fields["removed"] not in ("tape", "all"):
        raise Damaged("it is not a receipt of this segment")
    if fields["format"] not in _FORMATS:
        raise Damaged(f"its format is {fields['format']}, but this version reads 1")
    after, unproven, rows = (fields[name] for name in ("continued_by", "unproven", "unproven_rows"))
    if not (_are_texts(after) and _are_texts(unproven) and _are_counts(rows)):
        raise Damaged("it has other values than a receipt")
    return Removed(
        fields["removed"] == "all",
        bool(fields["verified_by"]),
        str(fields["manifest_sha256"]),
        frozenset(after),
        frozenset(unproven),
        rows,
    )


def _are_texts(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(text, str) for text in found)


def _are_counts(found: object) -> bool:
    return isinstance(found, dict) and all(type(count) is int for count in found.values())
