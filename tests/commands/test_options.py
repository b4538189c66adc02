"""What several commands take: a moment is one moment, wherever the user is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from booktape.commands.options import moment
from booktape.errors import UsageError


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1970-01-02", datetime(1970, 1, 2, tzinfo=UTC)),
        ("1970-01-01T00:00:01.5", datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC)),
        ("1970-01-01T01:00:00+01:00", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_moment(text: str, found: datetime) -> None:
    """UTC unless it says otherwise."""
    assert moment("--from", text) == found


def test_a_moment_that_is_none() -> None:
    """Is refused by the option's name, and an example is shown."""
    with pytest.raises(UsageError, match=r"--from soon is no time\. Write 2026-11-22 or"):
        moment("--from", "soon")
