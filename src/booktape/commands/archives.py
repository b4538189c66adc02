"""An archive that a command reads: which of its symbols, and what of it could not be read.

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
    """After the block, also after an error, name every file that could not be read on stderr.

    Tapes that were removed on purpose are named, too, and are no damage.

    Raises DamagedArchive instead of NotRecorded where a file is damaged: it may hold what is missing.
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
    """Those that are named, in any case of letters; all without a name. Raises NotRecorded."""
    known = recording.symbols()
    for name in wanted:
        if name.upper() not in known:
            raise NotRecorded(
                f"{directory} has no data for {name}. `booktape info` lists its symbols."
            )
    return list(dict.fromkeys(name.upper() for name in wanted)) or known
