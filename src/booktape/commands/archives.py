"""An archive that a command reads: which of its symbols are wanted, and which of its files could not be read.

Damaged files are named on stderr, and the exit code is not 0. Removed tapes are named on stderr.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from booktape.errors import DamagedArchive, DamagedFile, NotRecorded, TapesRemoved
from booktape.processes.terminal import write_to_stderr
from booktape.reader import Recording

NAMED_MAX: Final = 20
"""The most files that are named one by one."""


@contextmanager
def naming_damage(recording: Recording) -> Iterator[None]:
    """After the block, even after an error, name on stderr every file that could not be read.

    Tapes that were removed on purpose are named too, but do not count as damage.

    If a file is damaged, raises DamagedArchive instead of NotRecorded: what is missing may be in that file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedFile)
        warnings.simplefilter("ignore", TapesRemoved)
        try:
            yield
        except NotRecorded as error:
            if not recording.damaged:
                raise
            raise DamagedArchive(f"{error} It may be in a file that cannot be read.") from error
        finally:
            for sentence in recording.lacks:
                write_to_stderr(sentence)
            damaged = list(recording.damaged.items())
            for path, why in damaged[:NAMED_MAX]:
                write_to_stderr(str(DamagedFile(path, why)))
            if more := len(damaged[NAMED_MAX:]):
                write_to_stderr(f"and {more:,} more. `booktape verify` names them.")


def chosen_symbols(recording: Recording, directory: str, wanted: Sequence[str]) -> list[str]:
    """The symbols that are named, in upper or lower case; all if none is named. Raises NotRecorded."""
    known = recording.symbols()
    for name in wanted:
        if name.upper() not in known:
            raise NotRecorded(
                f"{directory} has no data for {name}. `booktape info` lists its symbols."
            )
    return list(dict.fromkeys(name.upper() for name in wanted)) or known
