"""Records tapes again: `rebuild` at another N, `merge` as one recording of several of the same market.

For a merge, `tracks` finds the tapes and refuses those that do not fit together, `clocks` aligns the machines' clocks,
`interleave` makes one sequence of records, and `merge` records it. docs/rebuild.md and docs/merge.md are for users.
"""
