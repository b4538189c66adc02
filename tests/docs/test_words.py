"""One word, one meaning: private metaphors, and words that say too little, stay out."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Final

from docs.generated import DOCS

ROOT: Final = DOCS.parent
START: Final = "(?<![A-Za-z])"
END: Final = "(?![A-Za-z])"
"""Where a word begins and ends, also within `a_name_like_this`."""

PICTURES: Final = re.compile(
    rf"{START}(cellar|pantry|hall|the[ _]doors?|front[ _]door|rest[ _]door|desk|playroom|ground[ _]floor|the[ _]window"
    rf"|vigil|rota|inbox|goodbye|lanes?|accus[a-z]+|disown[a-z]*|suspects?|testif[a-z]+){END}",
    re.IGNORECASE,
)
"""A house and a court of law, which only their author knows."""

VAGUE: Final = re.compile(
    rf"{START}(whoever|nobody|somebody|so[ _]many|so[ _]long){END}", re.IGNORECASE
)
VAGUE_MOST: Final = 10
"""The number that read well where they stand."""


def texts() -> dict[Path, str]:
    """Everything that a person reads; but this file, which names the words."""
    found = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), ROOT / "pyproject.toml", ROOT / "Makefile"]
    for folder in ("src", "tests", "examples"):
        found += (ROOT / folder).rglob("*.py")
    return {path: path.read_text() for path in found if path != Path(__file__)}


def places(pattern: re.Pattern[str]) -> Counter[str]:
    """How often each match occurs in each file."""
    return Counter(
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path, text in texts().items()
        for match in pattern.finditer(text)
    )


def test_no_private_metaphor_is_left() -> None:
    """Rooms of a house, and words of a courtroom."""
    assert not places(PICTURES)


def test_vague_words_are_rare() -> None:
    """A reader need not guess who or how many are meant."""
    found = places(VAGUE)
    assert found.total() < VAGUE_MOST, found
