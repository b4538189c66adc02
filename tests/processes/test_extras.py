"""A library of an extra that is missing, or broken, is one sentence; a mistake of booktape's own is not hidden."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from booktape.errors import UsageError
from booktape.processes.extras import import_extra


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("import library", r"^library is not installed\. Try: pip install 'booktape\[plot\]'$"),
        ("import os.no_such_part", "^library is installed, but cannot be imported: No module"),
        ("raise ImportError('its shared object is lost')", "imported: its shared object is lost"),
    ],
)
def test_the_error_says_what_is_wrong_with_a_library(
    tmp_path: Path, content: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is absent, lacks something itself, or cannot be loaded."""
    (tmp_path / "needs_library.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "needs_library", raising=False)
    with pytest.raises(UsageError, match=sentence):
        import_extra("needs_library", "library", "plot")


@pytest.mark.parametrize(
    "content", ["import booktape.no_such_room", "from booktape.errors import NoSuchError"]
)
def test_our_own_mistake_is_not_blamed_on_a_library(
    tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that the user could install would help."""
    (tmp_path / "needs_library.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "needs_library", raising=False)
    with pytest.raises(ImportError, match="booktape"):
        import_extra("needs_library", "library", "plot")
