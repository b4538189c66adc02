"""The reader: recordings as data frames, arrays and books; `import booktape`.

    rec = booktape.open("data")                  a folder, or s3://bucket/prefix
    rec = booktape.open(["first", "second"])     several, each with symbols of its own, as one
    rec.symbols()                                ["BTCUSDT", …]
    rec.coverage()                               [Coverage(symbol, rows, first, last, lost_s, …), …]
    rec.gaps()  rec.checks()  rec.notes()        Arrow tables; their columns are in docs/format.md

    rows = rec.snapshots("BTCUSDT", start, end, depth=20)      a `Snapshots`, which reads only when it is used
    rows.to_arrow()  .to_polars()  .to_pandas()  shape="lists" (as stored) | "long" | "wide"
    rows.to_numpy()                              (T, 4K) in LOBSTER's order; `rows.epochs()` is (T,)
    rows.resample("1s")                          a `Resampled`; the same shapes, one row a second
    for item in rows: …                          `Book` and `Gap` objects, in order; `rows.last()` is the last `Book`

    rec.quotes("BTCUSDT", start, end)            a `Quotes`: best prices only, without decoding a level; `.resample`
    rec.spread("BTCUSDT", interval="1h")         an Arrow table: the mean spread of each hour, without its gaps

    map_segments(fn, rec)                        {segment: fn(its part of the recording)}, on all cores or a cluster

    rec.trades("BTCUSDT", start, end)            an Arrow table, by `trade_time`; rec.trade_gaps() has the missing ones

    rec.at("BTCUSDT", time)                      the `Book` at that moment, or BookNotKnown
    rec.replay("BTCUSDT", start, end)            a `Step` (event, book after it) or a `Gap`, in order

**Time.** Every time is a datetime with a time zone, or an ISO 8601 text with one; a time without a zone is
refused. All returned times are UTC. A query selects the rows with `start <= receive_time < end`. `receive_time`
is the time of our clock; every row has one, whereas `event_time` may be null.

**Gaps.** Every data frame has the column `epoch`. Between rows of one epoch no update is missing; between
rows of two epochs some are. Iteration yields a `Gap` there, `resample` never fills across it, and `at`
raises BookNotKnown inside it.

**Memory.** One row group (at most 96 MB decoded) is read at a time, and cut to `depth` before the next one is read.
Without lists of levels, up to half a million rows of some 80 bytes are read at a time.
The result of `to_…` must fit in memory; `batches()` and iteration take a bounded amount.

**A running recording** can be read up to its last flush: rows that are not sealed yet are computed from
its tape (`booktape.open(…, unsealed=False)` leaves them out).

pandas and polars are extras: `pip install 'booktape[read]'`.
"""

from __future__ import annotations

from booktape.reader.coverage import Coverage
from booktape.reader.recording import Recording, map_segments
from booktape.reader.records import Book, Gap, Step
from booktape.reader.resample import Resampled
from booktape.reader.several import SeveralRecordings, open_recordings
from booktape.reader.snapshots import Quotes, Snapshots

open = open_recordings  # noqa: A001 users call it `booktape.open`

__all__ = [
    "Book",
    "Coverage",
    "Gap",
    "Quotes",
    "Recording",
    "Resampled",
    "SeveralRecordings",
    "Snapshots",
    "Step",
    "map_segments",
    "open",
]
