"""Records tapes once more: `rebuild` at another N, `merge` those of several recordings of the same market.

For a merge, `tracks` finds what there is and refuses what does not fit together, `clocks` aligns the machines' clocks,
`interleave` makes one sequence of records, `merge` records it. docs/rebuild.md and docs/merge.md are for users.
"""
