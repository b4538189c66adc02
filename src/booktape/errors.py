"""Everything booktape raises, in one tree.

    BooktapeError
    ├── UsageError                the user's mistake: one sentence, exit 2, nothing was written
    │   ├── UnknownSymbol           the exchange does not list it
    │   ├── InexactSymbol           its prices need more digits than a double holds
    │   ├── DirectoryInUse          another recorder has the directory
    │   ├── TooFewDescriptors       the process may not open as many files and sockets as it needs
    │   ├── CannotMerge             these archives are not recordings of one market, or must be merged first
    │   ├── SchedulerUnreachable    no Dask scheduler answers at the address of --dask
    │   ├── FolderNotShared         a worker on another machine does not see the same folder
    │   └── NotRecorded             the archive does not hold it
    │       └── BookNotKnown          the book was not known at that moment
    ├── DamagedArchive            the requested data may be in files that cannot be read
    ├── WireError                 bytes that do not follow the exchange's protocol
    │   ├── MalformedFrame
    │   └── MalformedNumber
    ├── ExchangeError             the exchange, or the way to it, failed; worth another try
    │   ├── Unreachable             no answer: DNS, refused, time-out, cut
    │   ├── Oversized               an answer or message with more bytes than a real one can have
    │   └── HttpStatusError         an HTTP status other than 200
    │       └── RateLimited           429, 418 or 403: no request before `retry_after_s` have passed
    ├── BadSettings               record --check found something that would spoil the recording: exit 78
    ├── NotHealthy                a recorder does not answer, or says what is wrong with it
    ├── NothingRecorded           no book was known during all of --duration: exit 69
    ├── WorkerFailed              one of several processes ended before it was asked to
    ├── BucketError               a bucket, or the way to it: exit 75, work already done is kept
    │   ├── BucketUnavailable       no answer, or one that is worth another try
    │   ├── BucketRefused           no such bucket, or no permission: exit 2
    │   ├── ObjectDiffers           another object has the name; it is never overwritten: exit 1
    │   ├── ObjectTooLarge          a file has more bytes than an object can have: exit 1
    │   └── NotShipped              segments are not in the bucket at the end
    └── StoreError                the disk: exit 74, sealed files are intact
        ├── WriteFailed             full, read-only, gone
        ├── CannotLock              the file system does not lock files
        └── Damaged                 an archive's file is not what booktape writes
            └── DamagedTape           a tape
                └── LaterFormat         a tape written by a later version

    UserWarning
    ├── DamagedFile               a file cannot be read; all others are shown
    └── TapesRemoved              tapes of the requested time were removed on purpose

A caller decides by type, never by text. Exceptions from libraries are mapped where they enter: aiohttp's in
`net`, the operating system's in `store`, msgspec's in `wire`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePath


class BooktapeError(Exception):
    """The base of all. Its text is a sentence for the user: what happened, to what, and what to do."""

    exit_code = 1

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the text and the attributes: errors come back from other processes.

        By default, Python would call the class with the text alone.
        """
        return _copied, (type(self), self.args), self.__dict__


def _copied(kind: type[BooktapeError], args: tuple[object, ...]) -> BooktapeError:
    return kind.__new__(kind, *args)


class UsageError(BooktapeError):
    """The user asked for something that cannot be done; nothing was written."""

    exit_code = 2


class UnknownSymbol(UsageError):
    """A symbol that the exchange does not list."""

    def __init__(self, symbol: str, exchange: str, suggestion: str | None) -> None:
        hint = f" Did you mean {suggestion}?" if suggestion else ""
        super().__init__(f"{symbol} is not a {exchange} symbol.{hint}")
        self.symbol = symbol
        self.suggestion = suggestion


class InexactSymbol(UsageError):
    """A symbol whose prices may not survive text → double → text."""

    def __init__(self, symbol: str) -> None:
        super().__init__(
            f"{symbol} is refused: its price can need more digits than a double holds exactly, "
            f"so its stored book could not be proved right. Leave {symbol} out."
        )
        self.symbol = symbol


class DirectoryInUse(UsageError):
    """Another recorder holds the directory's lock."""

    def __init__(self, directory: str) -> None:
        super().__init__(
            f"{directory} is in use by another recorder. Stop that one, or choose another --out."
        )


class TooFewDescriptors(UsageError):
    """The process may not open as many files and sockets as it needs (`ulimit -n`)."""


class CannotMerge(UsageError):
    """Recordings that do not fit together: of different exchanges, with different N, or in an old format."""


class SchedulerUnreachable(UsageError):
    """No Dask scheduler answers at this address."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(
            f"No Dask scheduler answers at {address}: {why}. Start one with `dask scheduler`, or give the "
            "address that it prints."
        )
        self.address = address


class FolderNotShared(UsageError):
    """A worker does not see the files that the command was asked to work on."""

    def __init__(self, machine: str, path: str) -> None:
        super().__init__(
            f"The worker on {machine} does not see {path}. All workers need the same folder under the "
            "same path: on a shared file system, or a mirror of it."
        )
        self.machine = machine


class NotRecorded(UsageError):
    """There is no archive, or nothing of this symbol in it, or the tape that is needed is missing."""


class BookNotKnown(NotRecorded):
    """A moment inside a gap, or before or after everything recorded."""


class DamagedArchive(BooktapeError):
    """None of the requested data was found, but it may be in files that could not be read."""


class WireError(BooktapeError):
    """Bytes that do not follow the exchange's protocol."""


class MalformedFrame(WireError):
    """A message that cannot be read. It stays on the tape; the book does not change."""


class MalformedNumber(WireError):
    """A text that should be a number and is not one, or is a number that no exchange can mean."""


class ExchangeError(BooktapeError):
    """The exchange, or the way to it, failed. Trying again later is right."""


class Unreachable(ExchangeError):
    """No answer at all: name not found, refused, timed out, cut."""


class Oversized(ExchangeError):
    """More bytes than a real answer or message can have. The part that arrived was dropped."""


class HttpStatusError(ExchangeError):
    """An HTTP status other than 200. `code` is the exchange's own error number, if the answer has one."""

    def __init__(self, status: int, what: str, code: int | None = None) -> None:
        super().__init__(what)
        self.status = status
        self.code = code


class RateLimited(HttpStatusError):
    """HTTP 429, 418 or 403. Any request before `retry_after_s` seconds have passed makes it worse."""

    def __init__(self, status: int, what: str, retry_after_s: float) -> None:
        super().__init__(status, what)
        self.retry_after_s = retry_after_s


class BadSettings(BooktapeError):
    """`record --check` found something that would keep it from recording, or from recording well."""

    exit_code = 78  # EX_CONFIG of sysexits.h


class NotHealthy(BooktapeError):
    """A recorder that was asked for its health does not answer, or says what is wrong."""


class NothingRecorded(BooktapeError):
    """No book was known during all of `--duration`, so there is no row."""

    exit_code = 69  # EX_UNAVAILABLE of sysexits.h


class WorkerFailed(BooktapeError):
    """One of several processes ended before it was asked to; what the others recorded has been sealed."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class BucketError(BooktapeError):
    """A bucket, or the way to it, failed. The archive on this machine and all work done so far are intact."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


class BucketUnavailable(BucketError):
    """No answer, or one that says to try again. `why` contains nothing secret."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"{address} cannot be reached: {why}.")
        self.why = why


class BucketRefused(BucketError):
    """The service answered that it will not: no such bucket, no permission, wrong credentials."""

    exit_code = 2

    def __init__(self, address: str, why: str) -> None:
        super().__init__(
            f"{address} refused: {why}. Check the address, and the credentials in the environment."
        )
        self.why = why


class ObjectDiffers(BucketError):
    """Another object already has the name of one of ours."""

    exit_code = 1

    def __init__(self, address: str, key: str) -> None:
        super().__init__(
            f"{address}/{key} already exists, with different content. Nothing is overwritten: "
            "choose another prefix, or find out whose it is and remove it."
        )


class ObjectTooLarge(BucketError):
    """A file has more bytes than one request may carry."""

    exit_code = 1

    def __init__(self, path: PurePath, size_bytes: int, most_bytes: int) -> None:
        super().__init__(
            f"{path} has {size_bytes:,} bytes, but an object may have at most {most_bytes:,}. Copy this segment by "
            "other means, and record shorter ones, for example with --segment 15m."
        )


class NotShipped(BucketError):
    """Segments that are sealed here are not in the bucket yet. `exit_code` is 1 if trying again is useless."""

    def __init__(self, sentence: str, exit_code: int = BucketError.exit_code) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class StoreError(BooktapeError):
    """The disk failed. Files under their final names are whole."""

    exit_code = 74  # EX_IOERR of sysexits.h


class WriteFailed(StoreError):
    """The operating system refused a write: disk full, read-only, gone.

    `may_pass`: only space or a descriptor is missing, so waiting may help.
    """

    def __init__(self, path: PurePath, why: str, *, may_pass: bool = False) -> None:
        super().__init__(
            f"Cannot write {path}: {why}. What was sealed is intact; fix the disk, then start again."
        )
        self.why = why
        self.may_pass = may_pass


class CannotLock(StoreError):
    """The file system does not lock files, so nothing would keep two recorders apart."""

    def __init__(self, directory: str, why: str) -> None:
        super().__init__(
            f"{directory} cannot be locked ({why}), and two recorders in one folder would spoil it. "
            "Choose a folder on a file system that locks files, such as a local disk."
        )


class Damaged(StoreError):
    """The content of an archive's file is not what booktape writes. The text is the reason, without the file's name.

    It is raised where the damage is seen. Code that reads archives catches it and OSError, and nothing else: a mistake
    of booktape's own never counts as damage.
    """


class DamagedTape(Damaged):
    """A tape that is not what booktape wrote. The text says which tape."""


class LaterFormat(DamagedTape):
    """A tape of a format that this version does not know."""


class DamagedFile(UserWarning):
    """One file of an archive cannot be read. The data in the other files is shown without it."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            f"{path} cannot be read ({why}). Everything else is shown. "
            "`booktape rebuild` can make any file except a tape again, from the tapes."
        )
        self.path = path
        self.why = why


class TapesRemoved(UserWarning):
    """Tapes of the requested time were removed on purpose. The data in the other tapes is shown without them."""
