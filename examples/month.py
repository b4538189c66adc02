"""SQL over a long recording: one line reads a month, and no file is opened that is not needed.

`python examples/month.py data`. Symbol and date are in the folders' names; a filter on them skips all other
folders. Best prices have their own columns; levels are read only when a query uses them.
"""

# %%
from __future__ import annotations

import sys

import duckdb

data = sys.argv[1] if len(sys.argv) > 1 else "data"
duckdb.sql("SET TimeZone = 'UTC'")
duckdb.sql(f"CREATE OR REPLACE VIEW books AS FROM '{data}/snapshots/**/*.parquet'")
duckdb.sql(f"""
    CREATE OR REPLACE VIEW gaps AS FROM '{data}/gaps/**/*.parquet'
    QUALIFY row_number() OVER (PARTITION BY symbol, epoch ORDER BY end_time NULLS LAST) = 1
""")

# %% Day by day and symbol by symbol, without reading any levels
print(
    duckdb.sql("""
    SELECT symbol, date, count(*) AS rows, count(DISTINCT epoch) AS epochs,
           min(receive_time) AS first, max(receive_time) AS last
    FROM books GROUP BY symbol, date ORDER BY symbol, date
""")
)

# %% What was lost each day. A gap that spans midnight counts for the day on which it began
print(
    duckdb.sql("""
    SELECT symbol, CAST(start_time AS DATE) AS day, count(*) AS gaps,
           sum(epoch_us(coalesce(end_time, start_time)) - epoch_us(start_time)) / 1e6 AS lost_s
    FROM gaps GROUP BY ALL ORDER BY ALL
""")
)

# %% The spread by hour of the day, over the whole month
print(
    duckdb.sql("""
    SELECT symbol, hour(receive_time) AS hour,
           median((best_ask - best_bid) / (best_ask + best_bid) * 20000) AS bps
    FROM books GROUP BY symbol, hour ORDER BY symbol, hour
""")
)

# %% One day of one symbol: every other file stays closed
first = duckdb.execute("SELECT symbol, min(date) FROM books GROUP BY ALL ORDER BY ALL").fetchall()[
    0
]
one_day = "SELECT count(*), avg(best_ask - best_bid) FROM books WHERE symbol = ? AND date = ?"
print(duckdb.execute(one_day, first).fetchall())

# %% Realised volatility of each day, from minute to minute, never across a gap
print(
    duckdb.sql("""
    WITH minutes AS (
        SELECT symbol, date, epoch, date_trunc('minute', receive_time) AS minute,
               last((best_bid + best_ask) / 2 ORDER BY update_id) AS mid
        FROM books GROUP BY ALL),
    steps AS (
        SELECT symbol, date, ln(mid / lag(mid) OVER (PARTITION BY symbol, epoch ORDER BY minute))
               AS step
        FROM minutes)
    SELECT symbol, date, count(step) AS steps, sqrt(sum(step * step)) * 10000 AS bps
    FROM steps GROUP BY symbol, date ORDER BY symbol, date
""")
)
