"""How a file of an archive is opened: a regular file, or none at all.

Who put a FIFO where a file should be would else make whoever opens it wait for ever; a device may never
end. A link is followed, since a whole room of an archive may stand elsewhere; `booktape verify` reports
each.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


def open_file(path: Path) -> BufferedReader:
    """For reading. Raises OSError, also for what is no regular file; never waits for a writer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return os.fdopen(descriptor, "rb")
