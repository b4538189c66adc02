"""What was recorded, in the layouts of other tools; docs/export.md shows each of them loaded.

No format crosses a gap silently: a file ends there (Tardis), the book is cleared where
the gap begins (hftbacktest), or every row says its epoch (CSV, Parquet).
"""
