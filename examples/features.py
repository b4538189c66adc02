"""Features and labels for a model, with no sample that spans a gap. `python examples/features.py data`.

Order-flow imbalance after Cont, Kukanov and Stoikov (2014), microprice, imbalance; the label is how
the mid moves in the second that follows.
"""

# %%
from __future__ import annotations

import sys

import pandas as pd

import booktape

rec = booktape.open(sys.argv[1] if len(sys.argv) > 1 else "data")
symbol = rec.symbols()[0]
rows = rec.snapshots(symbol, depth=5)

# %% The row before, in the same epoch only: the first row of an epoch has none, and so no flow
frame = rows.to_pandas("wide")
before = frame.groupby("epoch").shift()


def flow(side: str, rises: int) -> pd.Series[float]:
    """What was added at the best price of one side since the row before; `rises` is 1 for bids."""
    price, size = frame[f"{side}_px_00"], frame[f"{side}_sz_00"]
    old_price, old_size = before[f"{side}_px_00"], before[f"{side}_sz_00"]
    better, worse = rises * (price - old_price) >= 0, rises * (price - old_price) <= 0
    return (size * better - old_size * worse).where(old_price.notna())


frame["ofi"] = flow("bid", 1) - flow("ask", -1)

# %% One row a second. Seconds without a known book are there, and empty
second = frame["receive_time"].dt.floor("1s")
flows = frame.groupby(second)["ofi"].sum(min_count=1)
grid = rows.resample("1s").to_pandas("wide").set_index("time")

bid, ask = grid["bid_px_00"], grid["ask_px_00"]
bid_size, ask_size = grid["bid_sz_00"], grid["ask_sz_00"]
mid = (bid + ask) / 2
features = pd.DataFrame(
    {
        "ofi": flows.reindex(grid.index).fillna(0.0).where(mid.notna()),
        "imbalance": (bid_size - ask_size) / (bid_size + ask_size),
        "microprice": (bid * ask_size + ask * bid_size) / (bid_size + ask_size) - mid,
    }
)

# %% The label. Both seconds must lie in one epoch: a move across a gap is no prediction
epoch = grid["epoch"]
label = (mid.shift(-1) - mid).where(epoch.shift(-1) == epoch)

samples = pd.concat([features, label.rename("move")], axis=1).dropna()
x, y = samples[["ofi", "imbalance", "microprice"]].to_numpy(), samples["move"].to_numpy()
print(f"{len(samples):,} samples of {len(grid):,} seconds; {len(rows.gaps())} gaps left out")
print("shapes for a model:", x.shape, y.shape)
print(samples.corr()["move"].drop("move").to_string(float_format="%.3f"))
