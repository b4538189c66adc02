"""A backtest with hftbacktest on recorded data. `python examples/backtest.py data`.

It buys when bids outweigh asks and sells when asks outweigh bids: a starting point, not advice. Without trades in
the recording an order is filled when the opposite price reaches it; the orders here take what is there.
hftbacktest is not a dependency of booktape: pip install hftbacktest (it needs Python below 3.14).
"""

# %%
from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

try:
    from hftbacktest import GTC, LIMIT, BacktestAsset, HashMapMarketDepthBacktest
except ImportError:
    sys.exit("This example needs hftbacktest. Try: pip install hftbacktest")

import booktape

DATA = sys.argv[1] if len(sys.argv) > 1 else "data"
TICK, LOT, LATENCY_NS, STEP_NS = 0.01, 0.00001, 1_000_000, 1_000_000_000
SIZE, TIPPED = 0.01, 0.5
rec = booktape.open(DATA)
symbol = rec.symbols()[0]

# %% Every recorded event in hftbacktest's layout; a gap empties the book
out = Path(mkdtemp())
arguments = ("export", DATA, "--format", "hftbacktest", "--symbol", symbol, "--out", str(out))
subprocess.run([sys.executable, "-m", "booktape", *arguments], check=True)
files = sorted(map(str, out.rglob("*.npz")))

# %% The exchange as hftbacktest plays it: a millisecond each way, no fees
asset = (
    BacktestAsset()
    .data(files)
    .linear_asset(1.0)
    .constant_order_latency(LATENCY_NS, LATENCY_NS)
    .risk_adverse_queue_model()
    .no_partial_fill_exchange()
    .trading_value_fee_model(0.0, 0.0)
    .tick_size(TICK)
    .lot_size(LOT)
)
market = HashMapMarketDepthBacktest([asset])

# %% Check the book once a second
seconds = known = orders = 0
while market.elapse(STEP_NS) == 0:
    seconds += 1
    market.clear_inactive_orders(0)
    depth = market.depth(0)
    # Inside a gap there is no book: do nothing rather than trade on an old one.
    if not depth.best_bid < depth.best_ask:
        continue
    known += 1
    bids, asks = depth.best_bid_qty, depth.best_ask_qty
    imbalance, position = (bids - asks) / (bids + asks), market.position(0)
    if imbalance > TIPPED and position <= 0:
        orders += 1
        market.submit_buy_order(0, orders, depth.best_ask, SIZE, GTC, LIMIT, False)
    elif imbalance < -TIPPED and position >= 0:
        orders += 1
        market.submit_sell_order(0, orders, depth.best_bid, SIZE, GTC, LIMIT, False)

# %% The result
state, last = market.state_values(0), rec.quotes(symbol).to_pandas().iloc[-1]
equity = state.balance + state.position * (last["best_bid"] + last["best_ask"]) / 2
print(f"{seconds} seconds, the book was known in {known} of them; {orders} orders")
print(f"position {state.position:.5f}, result {equity:.4f}")
market.close()
