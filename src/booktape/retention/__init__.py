"""Old segments: removed (`booktape record --keep`, `--keep-tape`, `booktape prune`), or copied day by day (`compact`).

limits    how much is kept: an age, or a total size
stored    the segments of an archive, in order, with their files and sizes
proof     whether a segment is verified, and whether those that continue it begin as it ended
prune     one pass over an archive: segments that are past their limit, verified and not needed are removed
beside    the same beside a recorder, in a separate process
compact   a copy of the rows with a file for each day
"""
