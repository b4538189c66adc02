"""The mean spread over the known time: compared with a plain loop, for any rows."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import booktape
from booktape.errors import UsageError
from booktape.reader.resample import ends_of_epochs
from booktape.reader.rows import QUOTES
from booktape.reader.spread import COLUMNS, SPREAD, mean_spread
from reader.conftest import CUTS
from reader.truth import moment, truths

SCHEMA = pa.schema([QUOTES.field(name) for name in COLUMNS])


class Row(NamedTuple):
    """Times in microseconds."""

    time: int
    epoch: int
    bid: float | None
    ask: float | None


def by_hand(
    rows: list[Row], ended: dict[int, int], interval: int, end: int | None
) -> dict[int, tuple[float | None, float | None, float]]:
    """Spread, bps and known seconds by interval, microsecond by microsecond."""
    found: dict[int, list[tuple[float, float]]] = {}
    now = 0
    spans = []
    for number, row in enumerate(rows):
        now = max(now, row.time)
        following = rows[number + 1] if number + 1 < len(rows) else None
        if following is None:
            until = min(ended.get(row.epoch, now), now + 10**9 if end is None else end)
        elif following.epoch == row.epoch:
            until = following.time
        else:
            until = min(max(following.time, now), ended.get(row.epoch, now))
        spans.append((now, until, row))
    for begin, until, row in spans:
        for at in range(begin, until):
            if row.bid is not None and row.ask is not None:
                mid = (row.bid + row.ask) / 2
                found.setdefault(at // interval, []).append(
                    (row.ask - row.bid, (row.ask - row.bid) / mid * 1e4)
                )
    if not rows:
        return {}
    last = max([spans[-1][0], *(until - 1 for *_, until, _ in [spans[-1]])])
    means = {}
    for number in range(rows[0].time // interval, last // interval + 1):
        values = found.get(number, [])
        count = len(values)
        mean = [sum(part) / count for part in zip(*values, strict=True)] or [None, None]
        means[number] = (mean[0], mean[1], count / 1e6)
    return means


prices = st.none() | st.sampled_from([90.0, 99.5, 100.0, 101.0])
rows_of_time = st.lists(
    st.tuples(st.integers(-3, 20), st.integers(0, 8), prices, prices), max_size=12
)


@given(
    rows_of_time,
    st.lists(st.integers(0, 15), min_size=3, max_size=3),
    st.integers(1, 40),
    st.none() | st.integers(0, 30),
    st.data(),
)
def test_the_mean_is_that_of_every_known_microsecond(
    drawn: list[tuple[int, int, float | None, float | None]],
    lengths: list[int],
    interval: int,
    beyond: int | None,
    data: st.DataObject,
) -> None:
    """Rows with equal times, clocks set back, empty sides, epochs with and without a gap, in batches of any length."""
    time, epoch, rows = 100, 1, []
    for step, more, bid, ask in drawn:
        time = max(0, time + step)
        epoch += more == 8
        rows.append(Row(time, epoch, bid, ask))
    latest = {row.epoch: row.time for row in rows}
    ended = {
        epoch: latest[epoch] + lengths[epoch % 3] for epoch in latest if lengths[epoch % 3] < 14
    }
    end = None if beyond is None or not rows else max(row.time for row in rows) + 1 + beyond
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    bounds = zip([0, *cuts], [*cuts, len(rows)], strict=True)
    batches = [
        pa.RecordBatch.from_pylist(
            [dict(zip(COLUMNS, row, strict=True)) for row in rows[a:b]], SCHEMA
        )
        for a, b in bounds
    ]
    found = mean_spread(batches, ended, interval, end_us=end).to_pydict()
    times = [int(time.timestamp() * 1e6 + 0.5) for time in found["time"]]
    wanted = by_hand(rows, ended, interval, end)
    assert times == [number * interval for number in wanted]
    columns = (found["spread"], found["spread_bps"], found["known_s"])
    for row, true in zip(zip(*columns, strict=True), wanted.values(), strict=True):
        assert row == tuple(None if v is None else pytest.approx(v, rel=1e-9) for v in true)
    cut = data.draw(st.integers(50, 200))
    whole, first, second = (
        sums(mean_spread(batches, ended, interval, *limits))
        for limits in ((None, None), (None, cut), (cut, None))
    )
    assert first + second == pytest.approx(whole, rel=1e-9)


def sums(table: pa.Table) -> Any:
    """Known seconds, and the spreads multiplied by them."""
    spread, bps, known = (table[name].to_numpy() for name in SPREAD.names[1:])
    return np.array([known.sum(), np.nansum(spread * known), np.nansum(bps * known)])


def test_a_gap_does_not_count(rec: booktape.Recording) -> None:
    """The spread of each ten seconds of the synthetic day, and how much of them was known."""
    table = rec.spread("BTCUSDT", interval="10s")
    rows = list(truths("BTCUSDT"))
    assert table.schema == SPREAD
    assert table["time"].to_pylist() == [moment(10 * n) for n in range(30)]
    known: list[Any] = table["known_s"].to_pylist()
    gaps = {cut // 10: (cut % 10, 10) for cut in CUTS}
    assert [known[n] for n in gaps] == [10 - (10 - begin) for begin, _ in gaps.values()]
    assert sum(known) == 300 - 1 - 10 * len(CUTS)
    assert {row.asks[0][0] - row.bids[0][0] for row in rows} == {1.0}
    assert table["spread"].to_pylist() == [1.0 if seconds else None for seconds in known]
    assert table["spread_bps"].to_pylist() == [
        pytest.approx(1 / 100.5 * 1e4) if seconds else None for seconds in known
    ]


@pytest.mark.parametrize("name", ["sealed", "running"])
def test_a_time_read_in_parts_has_the_same_seconds(
    name: str, request: pytest.FixtureRequest
) -> None:
    """Wherever it is cut: at a row, between two, at the edge of a segment, inside a gap, around everything."""
    rec = booktape.open(request.getfixturevalue(name))
    whole = sums(rec.spread("BTCUSDT", interval="7s"))
    cuts = [-5, 0, 0.5, 20, 20.25, 20.75, 40, 45, 50.5, 100, 199.5, 200, 299, 400]
    parts = [
        sums(rec.spread("BTCUSDT", moment(start), moment(end), interval="7s"))
        for start, end in pairwise(cuts)
    ]
    assert sum(parts) == pytest.approx(whole)
    within = rec.spread("BTCUSDT", moment(20.25), moment(20.75), interval="1s").to_pydict()
    assert within["time"] == [moment(20)]
    assert (within["spread"], within["known_s"]) == ([1.0], [0.5])


def test_of_two_gaps_of_one_epoch_the_first_ends_it() -> None:
    """A symbol that was delisted before its book was known again has two gaps."""
    gaps = [
        booktape.Gap("X", 1, moment(5), moment(6), 1, 2, 0, "disconnected"),
        booktape.Gap("X", 1, moment(6), moment(9), 1, 2, 0, "delisted"),
        booktape.Gap("X", 2, moment(11), None, 3, None, None, "killed"),
    ]
    ends = {1: moment(5), 2: moment(11)}
    assert ends_of_epochs(gaps) == {n: int(at.timestamp()) * 10**6 for n, at in ends.items()}


def test_an_invalid_interval_is_refused(rec: booktape.Recording) -> None:
    """Before anything is read."""
    with pytest.raises(UsageError, match="0s is not a valid duration"):
        rec.spread("BTCUSDT", interval="0s")
