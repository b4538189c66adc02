"""The examples of docs/scale.md about jobs, run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from docs.generated import DOCS
from reader.day import write


def test_a_users_own_function_over_all_segments(tmp_path: Path) -> None:
    """One line for each segment, from processes that a script starts."""
    section = (DOCS / "scale.md").read_text().partition("\n## Jobs\n")[2].partition("\n## ")[0]
    (example,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    write(tmp_path / "data", 20, segment_s=10)
    (tmp_path / "example.py").write_text(example)
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert re.fullmatch(r"(\d{8}T\d{6}\.\d{6}Z-synthetic 1\.00\n){2}", done.stdout), done.stdout
