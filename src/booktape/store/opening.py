"""Opens files of an archive for reading: regular files only.

Opening a FIFO would wait forever, and a device may never end. Links are followed, because a folder of an
archive may be kept elsewhere; `booktape verify` reports each link.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


def open_file(path: Path) -> BufferedReader:
    """Open for reading. Raises OSError, including for anything but a regular file; never waits for a writer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")
