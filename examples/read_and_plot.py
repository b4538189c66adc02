"""Open a recording, see what it holds, and draw it. `python examples/read_and_plot.py data`."""

# %%
from __future__ import annotations

import sys

import booktape
from booktape.plot import depth, heatmap, save, spread

rec = booktape.open(sys.argv[1] if len(sys.argv) > 1 else "data")
symbol = rec.symbols()[0]

# %% What is there, and what is missing
for own in rec.coverage():
    print(own.symbol, f"{own.rows:,} rows,", f"{own.coverage:.2%} of {own.span_s:,.0f} s", own.gaps)

# %% The last minute in steps of 10 s; then every row in order, where a gap is an object of its own
last = next(own.last for own in rec.coverage() if own.symbol == symbol)
for item in rec.quotes(symbol).resample("10s").to_arrow().to_pylist()[-6:]:
    print(item["time"], item["best_bid"], item["best_ask"])
for row in rec.snapshots(symbol, depth=1):
    if isinstance(row, booktape.Gap):
        print("not known from", row.start_time, "until", row.end_time, "because:", row.reason)

# %% Pictures: gaps are hatched, and nothing is drawn beyond what was known
print(save(heatmap(rec, symbol), f"{symbol}-heatmap.png"))
print(save(spread(rec, symbol), f"{symbol}-spread.svg"))
print(save(depth(rec, symbol, last), f"{symbol}-depth.png"))
