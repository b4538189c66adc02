"""Old segments: removed (`booktape record --keep`, `--keep-tape`, `booktape prune`), or copied day by day (`compact`).

limits    how much is kept: for a time, or of a size
stored    the segments that are there, in order, with their sizes
proof     whether a segment is verified, and what continues it begins as it ended
prune     one pass over an archive: what is past its limit, verified and not needed goes
beside    the same beside a recorder, in a process of its own
compact   a copy of the rows with a file for each day
"""
