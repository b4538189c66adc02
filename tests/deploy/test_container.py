"""What the image and the compose file deny the recorder: a writable root, a home, all privileges of root."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

CONFINED: Final = """
mount -t tmpfs tmpfs "$0" && mount -o remount,bind,ro / || exit 99
cd "$0"
echo >/tmp/written && exit 98
unset HOME TMPDIR
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""
"""In a separate mount namespace: only this folder is writable, as with `read_only: true` and a volume."""


@pytest.mark.long
@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_records_and_verifies_under_a_read_only_root(workers: str, tmp_path: Path) -> None:
    """Also with several processes, which share memory and need no file for that."""
    booktape = f"{sys.executable} -m booktape"
    record = (
        f"{booktape} record BTCUSDT ETHUSDT --exchange sim --web 0 --out books --workers {workers} 2>log & "
        "until grep -q 'book synced' log; do kill -0 $! || { cat log >&2; exit 1; }; sleep 0.1; done; "
        "kill $!; wait $!"
    )
    done = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c", CONFINED, tmp_path),
            *("sh", "-ec", f"{record}; {booktape} verify books"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare:" in done.stderr or done.returncode == 99:
        pytest.skip(f"no namespace of its own is granted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert "Verified: everything stored" in done.stdout
