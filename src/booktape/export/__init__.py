"""Recordings in the layouts of other tools. docs/export.md shows how each of those tools loads them.

No format crosses a gap silently: a file ends there (Tardis), the book is cleared where
the gap begins (hftbacktest), or every row has its epoch (CSV, Parquet).
"""
