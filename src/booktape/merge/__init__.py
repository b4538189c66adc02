"""Makes one archive of several recordings of the same market: what one missed, another one fills.

`tracks` finds what there is and refuses what does not fit together, `clocks` aligns the machines' clocks,
`interleave` makes one sequence of records, `archive` records it. docs/merge.md is for users.
"""
