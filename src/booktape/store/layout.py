"""The path of every file under DIR. Pure: paths in, paths out.

    tape/date=2026-11-22/<segment>.jsonl.zst
    snapshots/symbol=BTCUSDT/date=2026-11-22/<segment>.parquet
    gaps/date=2026-11-22/<segment>.parquet
    checks/date=2026-11-22/<segment>.parquet
    notes/date=2026-11-22/<segment>.parquet
    trades/symbol=BTCUSDT/date=2026-11-22/<segment>.parquet     with --also trade, like the next
    trade_gaps/date=2026-11-22/<segment>.parquet
    manifests/date=2026-11-22/<segment>.json
    shipped/<bucket>/date=2026-11-22/<segment>    receipts: the segment is in that bucket
    removed/date=2026-11-22/<segment>.json        receipts: its tape, or all of it, was removed on purpose
    unsealed/<segment>/                    files that are being written; not for readers
    set-aside/                             what recovery could not use or booktape did not make; never read or removed

A segment's name begins with its start by our clock, so names sort by time unless the clock was wrong. The order in
which segments were really recorded is stated by their tapes, and store/lineage.py finds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

TAPE: Final = ".jsonl.zst"
TABLE: Final = ".parquet"
"""How file names end."""

LINE_BYTES_MAX: Final = 128 << 20
"""The longest tape line that is read, decompressed. The longest that is written is about 45 MiB: a
message of 32 MiB in base64, or the checkpoint of a symbol with 128 MiB of decoded events waiting."""

GROUP_BYTES_MAX: Final = 1 << 30
"""The largest row group of a table that is read, decoded. booktape writes 96 MiB, or one row more."""

MANIFEST_BYTES_MAX: Final = 16 << 20
"""The largest manifest that is read. The manifest of a segment with 1,400 symbols has 0.4 MB."""

NAME_BYTES_MAX: Final = 255
"""The longest name of a file or folder on nearly every file system."""

SMALL_TABLES: Final = ("gaps", "checks", "notes", "trade_gaps")
"""Folders of tables that have one file per segment, for all symbols."""

_TRADES_ENDING: Final = ".trades"
_STAMP: Final = "%Y%m%dT%H%M%S.%fZ"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_NS: Final = 86_400 * 10**9


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A part of a recording that is sealed as a whole. `tag` distinguishes restarts."""

    start_us: int
    tag: str

    @classmethod
    def at(cls, start_ns: int, tag: str) -> Segment:
        """The segment that begins at `start_ns`."""
        return cls(start_ns // 1_000, tag)

    @classmethod
    def parse(cls, name: str, ending: str = "") -> Segment | None:
        """The segment of exactly this name with this ending. None for names that booktape does not give."""
        stamp, _, tag = name.removesuffix(ending).partition("-")
        try:
            start = datetime.fromisoformat(stamp).replace(tzinfo=UTC)
        except ValueError:
            return None
        segment = cls((start - _EPOCH) // timedelta(microseconds=1), tag)
        # `fromisoformat` accepts other spellings too, and a tag contains no dot.
        return segment if segment.name + ending == name and tag.isalnum() else None

    @property
    def name(self) -> str:
        """`20261122T101300.000000Z-3f9a2c81`."""
        return f"{self._start.strftime(_STAMP)}-{self.tag}"

    @property
    def date(self) -> str:
        """The UTC day on which it begins, as a hive partition: `date=2026-11-22`."""
        return f"date={self._start:%Y-%m-%d}"

    @property
    def run(self) -> str:
        """The part of the tag that all workers of one recorder share."""
        return self.tag.partition("w")[0]

    @property
    def _start(self) -> datetime:
        return _EPOCH + timedelta(microseconds=self.start_us)


def segment_end_ns(start_ns: int, length_ns: int) -> int:
    """When a segment that begins at `start_ns` ends.

    Segments end at round times (those of an hour on the hour), and at midnight UTC at the latest, so that
    every row is stored under its own date.
    """
    end = (start_ns // length_ns + 1) * length_ns
    midnight = (start_ns // _DAY_NS + 1) * _DAY_NS
    return min(end, midnight)


def segment_start_ns(time_ns: int, length_ns: int) -> int:
    """The round time at which a segment containing this moment began. See `segment_end_ns`."""
    return max(time_ns // length_ns * length_ns, time_ns // _DAY_NS * _DAY_NS)


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one archive."""

    root: Path

    @property
    def lock(self) -> Path:
        """Locked by the one recorder."""
        return self.root / ".lock"

    @property
    def workers_lock(self) -> Path:
        """Locked by the recorder's workers, if it has any: they may outlive it by a moment."""
        return self.root / ".lock-workers"

    @property
    def prune_lock(self) -> Path:
        """Locked by whatever removes old segments."""
        return self.root / ".lock-prune"

    @property
    def snapshots(self) -> Path:
        """All rows. Other tools can open this folder as one data set."""
        return self.root / "snapshots"

    @property
    def unsealed(self) -> Path:
        """Everything that is not yet sealed."""
        return self.root / "unsealed"

    @property
    def set_aside(self) -> Path:
        """Where booktape moves files that it did not make or could not recover."""
        return self.root / "set-aside"

    def tape(self, segment: Segment) -> Path:
        """A sealed tape."""
        return self.root / "tape" / segment.date / f"{segment.name}{TAPE}"

    def rows(self, segment: Segment, symbol: str) -> Path:
        """A sealed file of one symbol's rows."""
        folder = self.snapshots / symbol_folder(symbol)
        return folder / segment.date / f"{segment.name}{TABLE}"

    def trades(self, segment: Segment, symbol: str) -> Path:
        """A sealed file of one symbol's trades."""
        folder = self.root / "trades" / symbol_folder(symbol)
        return folder / segment.date / f"{segment.name}{TABLE}"

    def table(self, segment: Segment, name: str) -> Path:
        """A sealed file of `gaps`, `checks`, `notes` or `trade_gaps`, for all symbols."""
        return self.root / name / segment.date / f"{segment.name}{TABLE}"

    def manifest(self, segment: Segment) -> Path:
        """The manifest: sizes and checksums of the segment's files when it was sealed."""
        return self.root / "manifests" / segment.date / f"{segment.name}.json"

    @property
    def shipped(self) -> Path:
        """A folder of receipts for each bucket."""
        return self.root / "shipped"

    def receipts(self, address: str) -> Path:
        """The receipts of one bucket, such as `s3://bucket/prefix`."""
        return self.shipped / quote(address, safe="")

    def receipt(self, address: str, segment: Segment) -> Path:
        """The receipt of a segment that is in this bucket."""
        return self.receipts(address) / segment.date / segment.name

    @property
    def removed(self) -> Path:
        """A receipt for each segment from which anything was removed on purpose."""
        return self.root / "removed"

    def removal(self, segment: Segment) -> Path:
        """The receipt for what was removed from a segment (store/removals.py)."""
        return self.removed / segment.date / f"{segment.name}.json"

    def is_file_of(self, name: str, segment: Segment) -> bool:
        """Whether this is the name, relative to the archive, of a sealed file that a manifest lists."""
        room, _, rest = name.partition("/")
        folder = rest.partition("/")[0]
        if room in {"snapshots", "trades"}:
            path = self.rows if room == "snapshots" else self.trades
            wanted = path(segment, symbol_of(folder)) if is_symbol_folder(folder) else None
        elif room == "tape":
            wanted = self.tape(segment)
        else:
            wanted = self.table(segment, room) if room in SMALL_TABLES else None
        return self.root / name == wanted

    def unsealed_of(self, segment: Segment) -> Path:
        """The folder of this segment until it is sealed."""
        return self.unsealed / segment.name

    def starting_tape(self, segment: Segment) -> Path:
        """The tape while its opening is being written. Recovery ignores it: its opening may be incomplete."""
        return self.unsealed_of(segment) / f"starting{TAPE}"

    def writing_tape(self, segment: Segment) -> Path:
        """The tape while it is being written, with its opening complete."""
        return self.unsealed_of(segment) / f"tape{TAPE}"

    def torn_tape(self, segment: Segment) -> Path:
        """The tape of a recorder that was killed, while it is being recovered."""
        return self.unsealed_of(segment) / f"torn{TAPE}"

    def writing_rows(self, segment: Segment, symbol: str) -> Path:
        """A symbol's rows while they are being written."""
        return self.unsealed_of(segment) / f"{symbol_folder(symbol)}{TABLE}"

    def writing_trades(self, segment: Segment, symbol: str) -> Path:
        """A symbol's trades while they are being written. The name is no longer than that of its rows."""
        return self.unsealed_of(segment) / f"{symbol_folder(symbol)}{_TRADES_ENDING}"

    def writing_table(self, segment: Segment, name: str) -> Path:
        """A small table while it is being written."""
        return self.unsealed_of(segment) / f"{name}{TABLE}"

    def writing_manifest(self, segment: Segment) -> Path:
        """The manifest while it is being written."""
        return self.unsealed_of(segment) / "manifest.json"


_UNSEALED: Final = frozenset(
    {
        *(f"{name}{TAPE}" for name in ("starting", "tape", "torn")),
        *(f"{name}{TABLE}" for name in SMALL_TABLES),
        "manifest.json",
    }
)


def is_unsealed_name(name: str) -> bool:
    """Whether booktape gives this name to a file of an unsealed segment."""
    folder, _, ending = name.rpartition(".")
    return name in _UNSEALED or (
        f".{ending}" in {TABLE, _TRADES_ENDING} and is_symbol_folder(folder)
    )


def is_symbol_folder(name: str) -> bool:
    """Whether this is exactly a name that booktape gives to a symbol's folder."""
    if not name.startswith("symbol="):
        return False
    try:
        return symbol_folder(symbol_of(name)) == name
    except UnicodeError:
        return False


def is_date_folder(name: str) -> bool:
    """Whether this is exactly a name that booktape gives to a day's folder."""
    try:
        return f"date={date.fromisoformat(name.removeprefix('date=')):%Y-%m-%d}" == name
    except ValueError:
        return False


def symbol_folder(symbol: str) -> str:
    """`symbol=BTCUSDT`; anything but plain ASCII is percent-encoded, which readers undo.

    Known weakness: two symbols that differ only in case share a folder on a disk that ignores case, such as
    macOS's. Binance lists symbols in capitals.
    """
    return f"symbol={quote(symbol, safe='')}"


def can_be_stored(symbol: str) -> bool:
    """Whether every file name made from a symbol is short enough.

    The longest is the name of its rows while they are being written. About 27 Chinese characters are too many.
    """
    return len(symbol_folder(symbol) + TABLE) <= NAME_BYTES_MAX


def symbol_of(folder: str) -> str:
    """The symbol in the name of a symbol's folder."""
    return unquote(folder.removeprefix("symbol="))
