"""The reader: what was recorded, as data frames, tensors and books; `import booktape`.

    rec = booktape.open("data")                  a folder, or s3://bucket/prefix
    rec.symbols()                                ["BTCUSDT", …]
    rec.coverage()                               [Coverage(symbol, rows, first, last, lost_s, …), …]
    rec.gaps()  rec.checks()  rec.notes()        Arrow tables, docs/format.md says their columns

    rows = rec.snapshots("BTCUSDT", start, end, depth=20)      a `Snapshots`; nothing is read yet
    rows.to_arrow()  .to_polars()  .to_pandas()  shape="lists" (as stored) | "long" | "wide"
    rows.to_numpy()                              (T, 4K) in LOBSTER's order; `rows.epochs()` is (T,)
    rows.resample("1s")                          a `Resampled`; the same shapes, one row a second
    for item in rows: …                          `Book` and `Gap` objects, in order

    rec.at("BTCUSDT", time)                      the `Book` at that moment, or BookNotKnown
    rec.replay("BTCUSDT", start, end)            a `Step` (event, book after it) or a `Gap`, in order

**Time.** Every moment is a datetime with a time zone, or an ISO 8601 text with one; without one it
is refused. All times handed out are UTC. A query takes the rows with `start <= receive_time < end`:
our clock, which every row has and by which rows were written (`event_time` may be null).

**Gaps.** Every frame has the column `epoch`: rows of one epoch follow each other without a missing
update, rows of two do not. Iterating yields a `Gap` between them, `resample` never fills across, and
`at` raises BookNotKnown inside one.

**Memory.** Everything is read one row group at a time (at most 96 MB decoded), and cut to `depth`
before the next one is read. What `to_…` returns must fit; `batches()` and iteration are bounded.

**A recording that still runs** is readable to its last flushed moment: the rows that are not sealed
yet are computed from its tape (`booktape.open(…, unsealed=False)` leaves them out).

pandas and polars are extras: `pip install 'booktape[read]'`.
"""

from __future__ import annotations

from booktape.reader.coverage import Coverage
from booktape.reader.recording import Recording, open_recording
from booktape.reader.records import Book, Gap, Step
from booktape.reader.resample import Resampled
from booktape.reader.snapshots import Snapshots

open = open_recording  # noqa: A001 `booktape.open` is the name its users know

__all__ = ["Book", "Coverage", "Gap", "Recording", "Resampled", "Snapshots", "Step", "open"]
