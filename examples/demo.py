"""The main job, without a network: record the built-in exchange, read the rows back, verify and draw them.

Three symbols for 20 seconds into demo-data/, a full snapshot after every 10 updates.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import duckdb

OUT = Path("demo-data")
PICTURE = OUT / "heatmap.png"
BOOKTAPE = (sys.executable, "-m", "booktape")
RECORD = ("record", "BTCUSDT", "ETHUSDT", "XRPBTC", "--every", "10", "--duration", "20")
QUERY = f"""
    SELECT symbol, event_time, update_id, epoch,
           best_bid, best_ask, len(bid_price) AS bids, len(ask_price) AS asks
    FROM '{OUT}/snapshots/**/*.parquet'
    ORDER BY symbol, update_id
"""


def run(*arguments: str) -> None:
    """Print a command, and run it as a user would."""
    print(f"\n$ booktape {' '.join(arguments)}", flush=True)
    subprocess.run([*BOOKTAPE, *arguments], check=True)


def main() -> None:
    """Record, show the archive, read its rows, verify them all, draw a book."""
    shutil.rmtree(OUT, ignore_errors=True)
    run(*RECORD, "--exchange", "sim", "--out", str(OUT))
    run("info", str(OUT))
    print(f"$ duckdb: {' '.join(QUERY.split())}")
    duckdb.sql("SET TimeZone = 'UTC'")
    print(duckdb.sql(QUERY))
    run("verify", str(OUT))
    run("plot", str(OUT), "heatmap", "--symbol", "BTCUSDT", "--file", str(PICTURE))
    print(f"\nThe rows are in {OUT}/snapshots, the raw messages in {OUT}/tape,")
    print(f"and a picture of the book over time in {PICTURE}.")


if __name__ == "__main__":
    main()
