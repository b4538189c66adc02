"""What was recorded, in the layouts of other tools; docs/export.md shows each of them loaded.

No format crosses a gap silently: an epoch is a file of its own (Tardis), the book is cleared where
the gap begins (hftbacktest), or every row says its epoch (CSV, Parquet).
"""
