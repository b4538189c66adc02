"""Separate file systems, for tests that need a real one; skipped where mounting is not permitted."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[Path]:
    """`mount ARGUMENTS folder`, and unmount it afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        command = ["mount", *arguments, str(folder)]
        done = subprocess.run(command, check=False, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S607 the system's own


def tmpfs(folder: Path) -> AbstractContextManager[Path]:
    """Another disk."""
    return mounted(folder, "-t", "tmpfs", "tmpfs")


def again(source: Path, folder: Path) -> AbstractContextManager[Path]:
    """The same folder in a second place: another mount of the same file system."""
    return mounted(folder, "--bind", str(source))
