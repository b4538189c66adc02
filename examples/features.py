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
quotes = rec.quotes(symbol)

# %% The previous row, within the same epoch: the first row of an epoch has none, so it has no flow
frame = quotes.to_pandas()
before = frame.groupby("epoch").shift()


def flow(side: str, rises: int) -> pd.Series[float]:
    """What was added at the best price of one side since the previous row; `rises` is 1 for bids, -1 for asks."""
    price, size = frame[f"best_{side}"], frame[f"best_{side}_size"]
    old_price, old_size = before[f"best_{side}"], before[f"best_{side}_size"]
    better, worse = rises * (price - old_price) >= 0, rises * (price - old_price) <= 0
    return (size * better - old_size * worse).where(old_price.notna())


frame["ofi"] = flow("bid", 1) - flow("ask", -1)

# %% One row a second. Seconds without a known book are present but empty
second = frame["receive_time"].dt.floor("1s")
flows = frame.groupby(second)["ofi"].sum(min_count=1)
grid = quotes.resample("1s").to_pandas().set_index("time")

bid, ask = grid["best_bid"], grid["best_ask"]
bid_size, ask_size = grid["best_bid_size"], grid["best_ask_size"]
mid = (bid + ask) / 2
features = pd.DataFrame(
    {
        "ofi": flows.reindex(grid.index).fillna(0.0).where(mid.notna()),
        "imbalance": (bid_size - ask_size) / (bid_size + ask_size),
        "microprice": (bid * ask_size + ask * bid_size) / (bid_size + ask_size) - mid,
    }
)

# %% The label. Both seconds must be in one epoch: a move across a gap cannot be predicted
epoch = grid["epoch"]
label = (mid.shift(-1) - mid).where(epoch.shift(-1) == epoch)

samples = pd.concat([features, label.rename("move")], axis=1).dropna()
x, y = samples[["ofi", "imbalance", "microprice"]].to_numpy(), samples["move"].to_numpy()
print(f"{len(samples):,} samples of {len(grid):,} seconds; {len(quotes.gaps())} gaps left out")
print("shapes for a model:", x.shape, y.shape)
print(samples.corr()["move"].drop("move").to_string(float_format="%.3f"))
